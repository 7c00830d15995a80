"""pocketsphinx 5.1.1 with the en-us model of its wheel: transcription, and alignment of a sentence with alternatives.

Runs inside worker processes (`metrics.pocketsphinx_worker`): a decoder holds the interpreter lock while it works. Only
numpy and pocketsphinx are imported here, so that a worker starts quickly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.packages import package_file, sha256

SAMPLE_RATE = 16_000
PADDING_S = 0.2
DITHER = 1.0  # amplitude in steps of 16 bits: exact zeros have no logarithm
_SEED = 5_110

_SCORE_SHIFT = 1024  # the decoder drops 10 bits of a log score and then gives its exponential
_WIDEST_BEAM = 1e-300  # with the default beams some sentences cannot be aligned
BEAM_NATS = -math.log(_WIDEST_BEAM)

_MODEL = "model/en-us/en-us"
DICTIONARY = "model/en-us/cmudict-en-us.dict"
_LANGUAGE_MODEL = "model/en-us/en-us.lm.bin"
_PHONE_MODEL = "model/en-us/en-us-phone.lm.bin"
_MARK = "="  # begins every word that stands for a reading; no word of the dictionary begins so
_ACOUSTIC_FILES = ("mdef", "means", "variances", "transition_matrices", "sendump", "feat.params", "noisedict")


def to_pcm(samples: NDArray[np.float32]) -> bytes:
    """float32 [samples] at 16 kHz, full scale +-1 -> 16-bit little-endian PCM, padded and dithered.

    0.2 s of quiet at both ends give the silence model its place. The dither has a fixed seed: equal clips, equal bytes.
    """
    padded = np.pad(samples, round(PADDING_S * SAMPLE_RATE)) * np.float32(32767)
    dither = np.random.default_rng(_SEED).uniform(-DITHER, DITHER, len(padded))
    return np.clip(np.round(padded + dither), -32768, 32767).astype("<i2").tobytes()


def weights(language_model: bool = False, phone_model: bool = False) -> dict[str, str]:
    """sha256 of the model files that a decoder reads, by their path in the wheel."""
    files = [f"{_MODEL}/{name}" for name in _ACOUSTIC_FILES] + [DICTIONARY]
    files += [_LANGUAGE_MODEL] * language_model + [_PHONE_MODEL] * phone_model
    return {file: sha256(package_file("pocketsphinx", file)) for file in files}


def _decoder(**settings: Any) -> Any:
    from pocketsphinx import Decoder

    return Decoder(
        hmm=str(package_file("pocketsphinx", f"{_MODEL}/mdef").parent),
        dict=str(package_file("pocketsphinx", DICTIONARY)),
        samprate=SAMPLE_RATE,
        loglevel="FATAL",
        **settings,
    )


def _decode(decoder: Any, pcm: bytes) -> Any:
    """Run one utterance; its hypothesis, or None.

    The feature extraction is made anew first (0.1 ms): it remembers noise levels and cepstral means of earlier
    utterances, and a clip would not score the same alone as after others.
    """
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    return decoder.hyp()


class Transcriber:
    """Large-vocabulary decoding with the wheel's trigram language model."""

    def __init__(self) -> None:
        self._decoder = _decoder(lm=str(package_file("pocketsphinx", _LANGUAGE_MODEL)))

    def transcribe(self, pcm: bytes) -> str:
        """The words heard, in lower case; "" if none."""
        hypothesis = _decode(self._decoder, pcm)
        return str(hypothesis.hypstr) if hypothesis else ""


@dataclass(frozen=True)
class Stretch:
    """Where one slot of a sentence was found. start, end: frames of 10 ms, [start, end); score: nats."""

    reading: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Path:
    """The best path of a clip through a sentence: its log likelihood in nats, and one stretch per slot."""

    score: float
    stretches: tuple[Stretch, ...]


@dataclass(frozen=True)
class Phone:
    """A phone, a pause or a noise as the model names it. start, end: frames of 10 ms, [start, end); score: nats."""

    name: str
    start: int
    end: int
    score: float


class PhoneRecognizer:
    """Free recognition of phones with the wheel's phone language model."""

    def __init__(self) -> None:
        # compallsen: see `Aligner`; the scores of the two are compared.
        self._decoder = _decoder(lm=None, allphone=str(package_file("pocketsphinx", _PHONE_MODEL)), compallsen=True)

    def recognize(self, pcm: bytes) -> tuple[Phone, ...]:
        if _decode(self._decoder, pcm) is None:
            return ()
        return tuple(
            Phone(segment.word, segment.start_frame, segment.end_frame + 1, _nats(segment.ascore))
            for segment in self._decoder.seg()
        )


class Aligner:
    """Viterbi alignment of a sentence whose places have alternative readings."""

    def __init__(self) -> None:
        # The decoder normalises each frame by the best state it computed. Only if it computes all of them are scores
        # comparable between sentences, and between readings of a name (97.7 % of 354 clips right instead of 96.0 %).
        beams = {"beam": _WIDEST_BEAM, "pbeam": _WIDEST_BEAM, "wbeam": _WIDEST_BEAM}
        # Without bestpath=False the hypothesis comes from a lattice, which may end before the last word.
        self._decoder = _decoder(lm=None, compallsen=True, bestpath=False, **beams)
        self._known: set[str] = set()

    def pronunciations(self, word: str) -> tuple[str, ...]:
        """Every pronunciation of a lower-case word in the wheel's cmudict (without stress), () if it is not there."""
        found: list[str] = []
        entry = word
        while phones := self._decoder.lookup_word(entry):
            found.append(phones)
            entry = f"{word}({len(found) + 1})"
        return tuple(found)

    def align(self, pcm: bytes, slots: Sequence[Sequence[str]]) -> Path | None:
        """The best path through a sentence, given the readings (see `bare`) that each slot may have.

        None if no path reaches the last slot: the clip is too short for the sentence, or quite another sound.
        """
        for reading in sorted({reading for readings in slots for reading in readings} - self._known):
            self._decoder.add_word(_word(reading), reading, False)
            self._known.add(reading)
        transitions = [
            (place, place + 1, 1.0, _word(reading)) for place, readings in enumerate(slots) for reading in readings
        ]
        self._decoder.add_fsg("sentence", self._decoder.create_fsg("sentence", 0, len(slots), transitions))
        self._decoder.activate_search("sentence")
        hypothesis = _decode(self._decoder, pcm)
        if hypothesis is None:
            return None
        stretches = tuple(
            Stretch(_reading(segment.word), segment.start_frame, segment.end_frame + 1, _nats(segment.ascore))
            for segment in self._decoder.seg()
            if segment.word.startswith(_MARK)
        )
        return Path(_nats(hypothesis.score), stretches)


def _word(reading: str) -> str:
    """The decoder's word for a reading. It is named by its phones, so it means the same in every sentence."""
    return _MARK + reading.replace(" ", "_")


def _reading(word: str) -> str:
    return word.removeprefix(_MARK).replace("_", " ")


def _nats(score: float) -> float:
    return math.log(score) * _SCORE_SHIFT
