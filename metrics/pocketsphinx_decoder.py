"""pocketsphinx 5.1.1 with the en-us model of its wheel: transcription, and alignment of a sentence with alternatives.

Used inside worker processes (`metrics.pocketsphinx_worker`): a decoder holds the interpreter lock while it works. Only
numpy and pocketsphinx are imported here, so a worker starts quickly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.packages import package_file

SAMPLE_RATE = 16_000
FRAME_RATE = 100
MODEL_FILES = ("means", "variances", "transition_matrices", "sendump", "mdef", "feat.params", "noisedict")
PHONES = (
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
).split()

_LOG_BASE = math.log(1.0001)
_NATS_PER_UNIT = _LOG_BASE * 1024  # scores are kept in units of the log base, shifted right by 10 bits
_ALL_PATHS = 1e-300  # a beam that prunes nothing: with the default beams some sentences cannot be aligned
_PADDING_S = 0.2
_DITHER = 1.0  # amplitude in steps of 16 bits: exact zeros have no logarithm
_SEED = 20_240_101


def to_pcm(samples: NDArray[np.float32]) -> bytes:
    """float32 samples at 16 kHz, full scale +-1 -> 16-bit little-endian PCM, padded and dithered.

    0.2 s of quiet at both ends give the silence models their place. The dither has a fixed seed, so equal clips give
    equal bytes.
    """
    padding = np.zeros(round(_PADDING_S * SAMPLE_RATE), dtype=np.float32)
    padded = np.concatenate([padding, samples, padding]) * 32767.0
    dither = np.random.default_rng(_SEED).uniform(-_DITHER, _DITHER, padded.shape)
    return np.clip(np.round(padded + dither), -32768, 32767).astype("<i2").tobytes()


def _decoder(**settings: Any) -> Any:
    from pocketsphinx import Decoder

    model = package_file("pocketsphinx", "model/en-us/en-us/mdef").parent
    dictionary = package_file("pocketsphinx", "model/en-us/cmudict-en-us.dict")
    return Decoder(hmm=str(model), dict=str(dictionary), samprate=SAMPLE_RATE, loglevel="FATAL", **settings)


def _decode(decoder: Any, pcm: bytes) -> Any:
    """Run one utterance; the hypothesis, or None.

    The feature extraction is made anew first: it remembers noise and cepstral means of earlier utterances, and a clip
    would not score the same alone as after others.
    """
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    return decoder.hyp()


class Transcriber:
    """Large-vocabulary decoding with the wheel's trigram language model (en-us.lm.bin)."""

    def __init__(self) -> None:
        self._decoder = _decoder(lm=str(package_file("pocketsphinx", "model/en-us/en-us.lm.bin")))

    def transcribe(self, pcm: bytes) -> str:
        """The words heard, lower case, "" if none."""
        hypothesis = _decode(self._decoder, pcm)
        return hypothesis.hypstr if hypothesis else ""


@dataclass(frozen=True)
class Slot:
    """One place in a sentence: any of these readings (phones separated by blanks), or anything at all if empty."""

    readings: tuple[str, ...]


@dataclass(frozen=True)
class Stretch:
    """Where a slot was found and with which reading: frames of 10 ms, [start, end)."""

    reading: str  # "" for anything
    start: int
    end: int
    score: float  # nats


@dataclass(frozen=True)
class Path:
    """The best alignment of a sentence: its log likelihood in nats and one stretch per slot."""

    score: float
    stretches: tuple[Stretch, ...]


class Aligner:
    """Viterbi alignment of a sentence in which some places have alternatives; nothing is pruned."""

    def __init__(self) -> None:
        self._decoder = _decoder(lm=None, compallsen=True, beam=_ALL_PATHS, pbeam=_ALL_PATHS, wbeam=_ALL_PATHS)
        self._known: set[str] = set()
        for phone in PHONES:
            self._word(phone)

    def dictionary(self, word: str) -> tuple[str, ...]:
        """Every pronunciation of a word in the wheel's cmudict, () if it is not there."""
        found = [self._decoder.lookup_word(word)]
        while found[-1] is not None:
            found.append(self._decoder.lookup_word(f"{word}({len(found) + 1})"))
        return tuple(found[:-1])

    def align(self, pcm: bytes, slots: Sequence[Slot]) -> Path | None:
        """The best path through the sentence, None if the clip is too short for it."""
        # States 2i and 2i+1 hold slot i: a reading crosses at once, anything loops over single phones.
        transitions: list[tuple[int, int, float, str]] = []
        owner: dict[str, str] = {}
        state = 0
        for slot in slots:
            for reading in slot.readings:
                transitions.append((state, state + 1, 1.0, self._word(reading)))
            if not slot.readings:
                transitions += [(state, state + 1, 1.0, self._word(phone)) for phone in PHONES]
                transitions += [(state + 1, state + 1, 1.0, self._word(phone)) for phone in PHONES]
            state += 1
        grammar = self._decoder.create_fsg("sentence", 0, state, transitions)
        self._decoder.add_fsg("sentence", grammar)
        self._decoder.activate_search("sentence")
        hypothesis = _decode(self._decoder, pcm)
        if hypothesis is None:
            return None
        return hypothesis, self._decoder.seg()

    def _word(self, reading: str) -> str:
        """The decoder's word for a reading. Its name is made of its phones, so it means the same in every sentence."""
        phones = [phone.rstrip("012") for phone in reading.split()]
        word = "=" + "_".join(phones)
        if word not in self._known:
            self._decoder.add_word(word, " ".join(phones), False)
            self._known.add(word)
        return word
