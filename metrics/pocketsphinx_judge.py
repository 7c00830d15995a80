"""Tasks for pocketsphinx workers: hear a clip, or say which reading of each name in a sentence was spoken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from metrics.packages import package_file
from metrics.pocketsphinx_decoder import BEAM_NATS, Aligner, Path, Stretch, Transcriber, bare

EXTRA_WORDS = "data/extra_words.dict"
_VOICELESS = frozenset({"P", "T", "K", "F", "TH"})
_SIBILANT = frozenset({"S", "Z", "SH", "ZH", "CH", "JH"})


@dataclass(frozen=True)
class Transcribe:
    """Task: the words heard. pcm: see `pocketsphinx_decoder.to_pcm`. The answer is a string."""

    pcm: bytes


@dataclass(frozen=True)
class Part:
    """A word of a sentence, in lower case, or a name in it. A name has readings; one to be judged has wrong ones too.

    possessive: 's follows, as part of the word. No reading may be among both the accepted and the wrong ones.
    """

    word: str
    accepted: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    possessive: bool = False


@dataclass(frozen=True)
class Judge:
    """Task: which readings were spoken. The answer is a `Judgement`, or a `Failure` where a word has no reading."""

    pcm: bytes
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Verdict:
    """What a clip says about one name.

    best: the likeliest of its readings, as the part gives it; margin: log likelihood with the best accepted minus that
    with the best wrong reading, in nats per frame of the name; fit: log likelihood of the name's own frames, in nats
    per frame (at most 0; far below: something else was said); context: the same of the text's other words, None if
    there are none.
    """

    best: str
    margin: float
    fit: float
    context: float | None


@dataclass(frozen=True)
class Judgement:
    """One verdict per part that has wrong readings, in order; None if the clip does not align with the sentence."""

    verdicts: tuple[Verdict, ...] | None


@dataclass(frozen=True)
class Failure:
    """A task that has no answer, and why."""

    reason: str


Task = Transcribe | Judge
Answer = str | Judgement | Failure


class Worker:
    """Answers tasks one after another. Each decoder is made at its first task."""

    @cached_property
    def _transcriber(self) -> Transcriber:
        return Transcriber()

    @cached_property
    def _aligner(self) -> Aligner:
        return Aligner()

    @cached_property
    def _extra_words(self) -> dict[str, tuple[str, ...]]:
        lines = package_file("metrics", EXTRA_WORDS).read_text(encoding="ascii").splitlines()
        entries = [line.split(maxsplit=1) for line in lines if not line.startswith("#")]
        return {word: (phones,) for word, phones in entries}

    def answer(self, task: Task) -> Answer:
        if isinstance(task, Transcribe):
            return self._transcriber.transcribe(task.pcm)
        slots = [self._readings(part) for part in task.parts]
        unknown = sorted({part.word for part, readings in zip(task.parts, slots, strict=True) if not readings})
        if unknown:
            return Failure(f"the judge has no pronunciation for {', '.join(map(repr, unknown))}")
        path = self._aligner.align(task.pcm, slots)
        if path is None:
            return Judgement(None)
        judged = [place for place, part in enumerate(task.parts) if part.wrong]
        return Judgement(tuple(self._verdict(task, slots, path, place) for place in judged))

    def _verdict(self, task: Judge, slots: Sequence[Sequence[str]], path: Path, place: int) -> Verdict:
        """Compare the best path of all with the best on which this name has a reading of the other kind."""
        part, heard = task.parts[place], path.stretches[place]
        accepted = {_spoken(reading, part.possessive): reading for reading in part.accepted}
        wrong = {_spoken(reading, part.possessive): reading for reading in part.wrong}
        right = heard.reading in accepted
        rival = self._aligner.align(
            task.pcm, [*slots[:place], tuple(wrong if right else accepted), *slots[place + 1 :]]
        )
        # A path that the beams cut off before its end is at least that much less likely.
        advantage = path.score - rival.score if rival else BEAM_NATS
        frames = heard.end - heard.start
        margin = (advantage if right else -advantage) / frames
        others = [*path.stretches[:place], *path.stretches[place + 1 :]]
        return Verdict(
            (accepted | wrong)[heard.reading], margin, _per_frame([heard]), _per_frame(others) if others else None
        )

    def _readings(self, part: Part) -> tuple[str, ...]:
        """Readings of a part as the aligner wants them; () if there are none."""
        own = part.accepted + part.wrong
        known = own or self._aligner.pronunciations(part.word) or self._extra_words.get(part.word, ())
        return tuple(dict.fromkeys(_spoken(reading, part.possessive) for reading in known))


def _per_frame(stretches: Sequence[Stretch]) -> float:
    """Nats per frame."""
    return sum(stretch.score for stretch in stretches) / sum(stretch.end - stretch.start for stretch in stretches)


def _spoken(reading: str, possessive: bool) -> str:
    """A reading without stress, and with the ending that the possessive takes after its last phone."""
    phones = bare(reading)
    if not possessive:
        return phones
    last = phones.split()[-1]
    return f"{phones} {'AH Z' if last in _SIBILANT else 'S' if last in _VOICELESS else 'Z'}"
