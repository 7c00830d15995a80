"""How likely a clip is under each reading of its names, by a wav2vec2 phoneme recogniser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

import torch
from torch import Tensor

from metrics.phones_vocabulary import BLANK, PhoneClasses
from metrics.pronunciation_ctc import Alignment, align, log_likelihoods
from metrics.pronunciation_judge import IMPOSSIBLE_NATS, Failure, Judgement, NameScore, Part
from metrics.pronunciation_wav2vec2_model import SAMPLE_RATE, Emissions, Wav2Vec2Phones
from metrics.pronunciation_words import no_reading, spoken

FRAME_S = 0.01  # margins and fits are per frame of 10 ms, as the bundled judge's


@dataclass(frozen=True)
class _Sentence:
    """A clip's sentence while it is judged. clip: its row in the emissions; readings: of each part, as it is spoken;
    settled: the reading that each part has while another is compared."""

    clip: int
    parts: Sequence[Part]
    readings: Sequence[Sequence[str]]
    settled: list[str]

    @property
    def judged(self) -> list[int]:
        return [place for place, part in enumerate(self.parts) if part.wrong]

    def with_reading(self, place: int, reading: str) -> list[str]:
        return [*self.settled[:place], reading, *self.settled[place + 1 :]]


class Wav2Vec2Judge:
    """CTC likelihood of the whole sentence, with each reading of a name in its place.

    A plain word has the first pronunciation of the dictionary; in a sentence with several names the others have their
    likeliest reading. Where the name is comes from the CTC alignment of the sentence with the likeliest readings: from
    the first frame of its first phone to the last of its last. All readings of a batch are scored in one call.
    """

    def __init__(self, phones: Wav2Vec2Phones, words: Mapping[str, Sequence[str]]) -> None:
        """words: plain word -> readings. Raises ValueError if the model has no symbol for a phone."""
        self._phones = phones
        self._classes = PhoneClasses(phones.vocabulary, phones.blank)
        self._symbols = {index: symbol for symbol, index in phones.vocabulary.items()}
        self._words = words
        self._per_frame = phones.samples_per_frame / SAMPLE_RATE / FRAME_S  # frames of 10 ms in one of the model's

    def score_variants(
        self, clips: Sequence[Tensor], sentences: Sequence[Sequence[Part]]
    ) -> Sequence[Judgement | Failure]:
        """See `VariantJudge`."""
        answers: dict[int, Judgement | Failure] = {}
        asked: dict[int, _Sentence] = {}
        for place, (clip, parts) in enumerate(zip(clips, sentences, strict=True)):
            readings = [self._readings(part) for part in parts]
            if failure := no_reading(parts, readings):
                answers[place] = failure
            elif not self._phones.frames(len(clip)):
                answers[place] = Judgement(None)
            else:
                asked[place] = _Sentence(len(asked), parts, readings, [options[0] for options in readings])
        if asked:
            emissions = self._phones.emissions([clips[place] for place in asked])
            answers |= dict(zip(asked, self._judge(list(asked.values()), emissions), strict=True))
        return [answers[place] for place in range(len(clips))]

    def _readings(self, part: Part) -> tuple[str, ...]:
        known = part.accepted + part.wrong or tuple(self._words.get(part.word, ()))
        return tuple(dict.fromkeys(spoken(reading, part.possessive) for reading in known))

    def _judge(self, sentences: Sequence[_Sentence], emissions: Emissions) -> list[Judgement]:
        classes = self._classes.log_probs(emissions.log_probs)
        likelihoods = self._settle(sentences, classes, emissions.lengths)
        several = [sentence for sentence in sentences if len(sentence.judged) > 1]
        likelihoods |= self._settle(several, classes, emissions.lengths)
        return [
            self._judgement(sentence, likelihoods, alignments, classes, emissions)
            for sentence, alignments in zip(
                sentences, self._align(sentences, likelihoods, classes, emissions.lengths), strict=True
            )
        ]

    def _settle(
        self, sentences: Sequence[_Sentence], classes: Tensor, lengths: Tensor
    ) -> dict[tuple[int, int], dict[str, float]]:
        """(clip, place) -> log likelihood by spoken reading; every name is then settled on its likeliest reading."""
        rows: list[tuple[_Sentence, int, str, tuple[int, ...]]] = [
            (sentence, place, reading, target)
            for sentence in sentences
            for place in sentence.judged
            for reading in sentence.readings[place]
            for target in self._targets(sentence.with_reading(place, reading), place)
        ]
        found = log_likelihoods(
            classes, lengths, [row[0].clip for row in rows], [row[3] for row in rows], BLANK
        ).tolist()
        spellings: dict[tuple[int, int], dict[str, list[float]]] = {}
        for (sentence, place, reading, _), value in zip(rows, found, strict=True):
            spellings.setdefault((sentence.clip, place), {}).setdefault(reading, []).append(value)
        result = {
            key: {reading: float(torch.tensor(values).logsumexp(0)) for reading, values in by_reading.items()}
            for key, by_reading in spellings.items()
        }
        for sentence in sentences:
            for place in sentence.judged:
                by_reading = result[sentence.clip, place]
                sentence.settled[place] = max(by_reading, key=by_reading.__getitem__)
        return result

    def _targets(self, readings: Sequence[str], place: int) -> list[tuple[int, ...]]:
        """Class sequences of a sentence: the name at `place` in each of its spellings, the rest in the first."""
        before = tuple(chain.from_iterable(self._classes.spellings(reading)[0] for reading in readings[:place]))
        after = tuple(chain.from_iterable(self._classes.spellings(reading)[0] for reading in readings[place + 1 :]))
        return [before + spelling + after for spelling in self._classes.spellings(readings[place])]

    def _align(
        self,
        sentences: Sequence[_Sentence],
        likelihoods: Mapping[tuple[int, int], Mapping[str, float]],
        classes: Tensor,
        lengths: Tensor,
    ) -> list[list[Alignment | None]]:
        """Per sentence: its alignment as settled, and with the likeliest accepted reading of each judged name."""
        wanted: list[tuple[_Sentence, list[str]]] = []
        for sentence in sentences:
            wanted.append((sentence, sentence.settled))
            for place in sentence.judged:
                wanted.append((sentence, sentence.with_reading(place, _best_accepted(sentence, place, likelihoods))))
        targets = [list(chain.from_iterable(self._classes.spellings(r)[0] for r in readings)) for _, readings in wanted]
        found = iter(align(classes, lengths, [sentence.clip for sentence, _ in wanted], targets, BLANK))
        return [[next(found) for _ in range(1 + len(sentence.judged))] for sentence in sentences]

    def _judgement(
        self,
        sentence: _Sentence,
        likelihoods: Mapping[tuple[int, int], Mapping[str, float]],
        alignments: Sequence[Alignment | None],
        classes: Tensor,
        emissions: Emissions,
    ) -> Judgement:
        path = alignments[0]
        if path is None:
            return Judgement(None)
        frames = int(emissions.lengths[sentence.clip])
        symbols = emissions.log_probs[sentence.clip, :frames].cpu()
        # The free path: the best of all symbols and classes in each frame.
        free = torch.maximum(symbols.amax(dim=1), classes[sentence.clip, :frames].amax(dim=1).cpu())
        places = self._places(sentence.settled, path)
        names: list[NameScore] = []
        for place, accepted_path in zip(sentence.judged, alignments[1:], strict=True):
            accepted = _best_accepted(sentence, place, likelihoods)
            start, end = places[place]
            others = [span for other, span in enumerate(places) if other != place]
            names.append(
                NameScore(
                    _by_given_reading(sentence.parts[place], likelihoods[sentence.clip, place]),
                    frames=(end - start) * self._per_frame,
                    fit=self._per_10_ms(path.scores, [(start, end)]),
                    context=self._per_10_ms(path.scores, others) if others else None,
                    heard=self._heard(symbols[start:end]),
                    gop=None
                    if accepted_path is None
                    else self._per_10_ms(
                        accepted_path.scores - free,
                        [self._places(sentence.with_reading(place, accepted), accepted_path)[place]],
                    ),
                )
            )
        return Judgement(tuple(names))

    def _places(self, readings: Sequence[str], path: Alignment) -> list[tuple[int, int]]:
        """First frame of each word, and the one after its last."""
        places: list[tuple[int, int]] = []
        phone = 0
        for reading in readings:
            count = len(self._classes.spellings(reading)[0])
            places.append((int(path.spans[phone, 0]), int(path.spans[phone + count - 1, 1])))
            phone += count
        return places

    def _per_10_ms(self, scores: Tensor, spans: Iterable[tuple[int, int]]) -> float:
        frames = torch.cat([scores[start:end] for start, end in spans])
        return float(frames.sum()) / (len(frames) * self._per_frame)

    def _heard(self, symbols: Tensor) -> str:
        """The likeliest symbol of each frame, repetitions and blanks taken out."""
        best = [index for index, _ in groupby(symbols.argmax(dim=1).tolist())]
        written = [self._symbols.get(index, "") for index in best if index != self._phones.blank]
        return "".join(symbol for symbol in written if not symbol.startswith("<"))


def _best_accepted(sentence: _Sentence, place: int, likelihoods: Mapping[tuple[int, int], Mapping[str, float]]) -> str:
    part = sentence.parts[place]
    accepted = [spoken(reading, part.possessive) for reading in part.accepted]
    return max(accepted, key=likelihoods[sentence.clip, place].__getitem__)


def _by_given_reading(part: Part, by_spoken: Mapping[str, float]) -> dict[str, float]:
    """Log likelihoods under the readings as the part has them, none so low that a margin would be infinite."""
    lowest = max(by_spoken.values()) - IMPOSSIBLE_NATS
    return {reading: max(by_spoken[spoken(reading, part.possessive)], lowest) for reading in part.accepted + part.wrong}
