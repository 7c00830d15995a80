"""A fingerprint stays recognisable through what happens to recordings, and is nobody else's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import soxr
from diagnose_tables import READINGS, REFERENCE, coded, noisy, read

from evalkit.diagnostics.training.fingerprints import KEPT, fingerprint
from evalkit.diagnostics.training.near_copies import Prints, same_recording

CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gain": lambda x: 0.1 * x,
    "mp3": lambda x: coded(x, "MP3", "MPEG_LAYER_III"),
    "opus": lambda x: coded(x, "OGG", "OPUS"),
    "resampled": lambda x: coded(x, "WAV", "PCM_16", 22050),
    "telephone": lambda x: soxr.resample(soxr.resample(x, 16000, 8000), 8000, 16000),
    "noise": lambda x: noisy(x, 25),
    "trimmed": lambda x: x[1111:-1500],
    "trimmed, opus, quieter": lambda x: 0.3 * coded(x[700:-400], "OGG", "OPUS"),
}


def prints(*clips: np.ndarray) -> Prints:
    words = np.zeros((len(clips), KEPT), dtype=np.uint32)
    own = [fingerprint(clip) for clip in clips]
    for row, numbers in zip(words, own, strict=True):
        row[: len(numbers)] = numbers
    return Prints(
        words, np.array([len(numbers) for numbers in own]), np.array([len(x) / 16000 for x in clips], np.float32)
    )


def alike(*clips: np.ndarray) -> np.ndarray:
    """bool [clips, clips] of those before the diagonal."""
    first, second = np.triu_indices(len(clips), 1)
    found = np.zeros((len(clips), len(clips)), dtype=bool)
    found[first, second] = same_recording(prints(*clips), first, second)
    return found


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_the_same_recording(change: str) -> None:
    for path in sorted(REFERENCE.glob("*/*-[12].flac")):
        original = read(path)
        assert alike(original, CHANGES[change](original))[0, 1], path.name


def test_other_sentences_of_the_same_voice_are_other_recordings() -> None:
    clips = [read(path) for path in sorted(READINGS.glob("*-right-slt.flac"))[:12]]
    assert not alike(*clips).any()


def test_sentences_that_share_their_first_half_to_the_sample_are_other_recordings() -> None:
    """As those of a synthetic voice do that begin with the same words."""
    start, one, other = (read(path)[:24000] for path in sorted(REFERENCE.glob("*/*-[12].flac"))[:3])
    assert not alike(np.concatenate([start, one]), np.concatenate([start, other]))[0, 1]
    assert alike(np.concatenate([start, one]), noisy(np.concatenate([start, one]), 25))[0, 1]


def test_another_reading_of_the_same_sentence_is_another_recording() -> None:
    names = [path.name.removesuffix("-right-slt.flac") for path in sorted(READINGS.glob("*-right-slt.flac"))[:8]]
    for name in names:  # one word is pronounced otherwise; another voice
        right, wrong = read(READINGS / f"{name}-right-slt.flac"), read(READINGS / f"{name}-right-rms.flac")
        assert not alike(right, wrong)[0, 1], name


def test_the_same_words_spoken_more_slowly_are_another_recording() -> None:
    from librosa.effects import time_stretch

    for path in sorted(REFERENCE.glob("*/*-1.flac")):
        original = read(path)
        for rate in (0.97, 0.9):
            assert not alike(original, time_stretch(original, rate=rate))[0, 1], (path.name, rate)


def test_trimming_beyond_the_limit_is_not_looked_for_and_a_little_is() -> None:
    original = read(sorted(REFERENCE.glob("*/*-1.flac"))[0])
    assert alike(original, original[1600:])[0, 1]
    assert not alike(original, original[8000:])[0, 1]


def test_what_has_no_peaks_has_no_fingerprint() -> None:
    assert fingerprint(np.zeros(16000, np.float32)) == []
    assert fingerprint(np.ones(100, np.float32)) == []
    assert fingerprint(np.zeros(0, np.float32)) == []
    assert not alike(np.zeros(16000, np.float32), np.zeros(16000, np.float32))[0, 1]


def test_it_is_small_and_does_not_depend_on_the_level() -> None:
    clip = read(sorted(REFERENCE.glob("*/*-1.flac"))[0])
    own = fingerprint(np.tile(clip, 12))
    assert 0 < len(own) <= KEPT
    assert all(0 <= number < 2**32 for number in own)
    assert fingerprint(clip) == fingerprint(0.25 * clip)
