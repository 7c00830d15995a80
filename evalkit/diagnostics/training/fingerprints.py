"""A fingerprint of a recording that another gain, codec, rate, a little noise or trimming leave recognisable.

The idea is Wang's (An industrial-strength audio search algorithm, ISMIR 2003): peaks of the spectrogram in pairs, each
pair said by the two frequencies and the time between. Of a clip's pairs the `KEPT` lowest by a hash are kept, so that
two copies keep the same ones whatever their length, with the time at which each lies. Another reading of the same
sentence, even by the same synthetic voice, has its peaks at other frequencies or times.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 16000
HOP_S = 0.016
KEPT = 48  # pairs, 192 bytes a clip
TIME_BITS = 12  # 65 s of hops; longer clips wrap around

_WINDOW, _HOP = 1024, 256  # samples
_LOW, _HIGH = 16, 224  # bins of 15.6 Hz: 250 to 3500 Hz, which a telephone passes too
_AROUND_TIME, _AROUND_BINS = 3, 8  # a peak is the greatest of so many frames and bins to each side
_PEAKS_PER_S = 30
_FLOOR_DB = 50.0  # peaks further below the clip's strongest are not robust, nor is what silence holds
_FURTHEST = 40  # hops between the peaks of a pair
_SPREAD = 48  # bins between them
_COARSER = 2  # hops that the time between them is rounded to: another trimming moves peaks by a hop
_FAN = 6  # pairs that a peak begins
_FRAMES_AT_ONCE = 4096

Samples = npt.NDArray[np.float32]


def fingerprint(samples: Samples) -> list[int]:
    """At most `KEPT` unsigned 32-bit numbers, sorted by time: a pair's hash above, the hop of its first peak below.

    samples: float32 [samples] at 16 kHz, finite, at any level. Without peaks (silence, less than 64 ms) it is empty;
    an empty fingerprint is nobody's copy.
    """
    times, bins = _peaks(_levels(np.ascontiguousarray(samples, dtype=np.float32)))
    pairs, at = _pairs(times, bins)
    if not len(pairs):
        return []
    mixed = _mixed(pairs)
    order = np.lexsort((at, mixed))
    first = np.concatenate([[True], mixed[order][1:] != mixed[order][:-1]])  # of the places where a pair recurs
    kept = order[first][:KEPT]
    # Not the hash that the pairs were chosen by: the lowest values of that one are alike in their upper bits.
    above = _mixed(pairs[kept] + np.uint32(0x9E3779B9)) >> np.uint32(TIME_BITS) << np.uint32(TIME_BITS)
    words = above | (at[kept].astype(np.uint32) & np.uint32(2**TIME_BITS - 1))
    return [int(word) for word in words[np.argsort(at[kept], kind="stable")]]


def _levels(samples: Samples) -> Samples:
    """dB relative to the strongest bin, float32 [frames, bins]."""
    frames = 1 + (len(samples) - _WINDOW) // _HOP
    if frames < 1:
        return np.empty((0, _HIGH - _LOW), dtype=np.float32)
    from scipy.fft import rfft

    window = np.hanning(_WINDOW).astype(np.float32)
    cut = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
    power = np.concatenate(
        [
            np.abs(rfft(cut[start : start + _FRAMES_AT_ONCE] * window, axis=1)[:, _LOW:_HIGH]) ** 2
            for start in range(0, frames, _FRAMES_AT_ONCE)
        ]
    )
    strongest = float(power.max())
    if strongest <= 0.0:
        return np.empty((0, _HIGH - _LOW), dtype=np.float32)
    levels: Samples = 10 * np.log10(power / strongest + 1e-12, dtype=np.float32)
    return levels


def _peaks(levels: Samples) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Frames and bins of the peaks, in the order of time."""
    from scipy.ndimage import maximum_filter

    if not len(levels):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    size = (2 * _AROUND_TIME + 1, 2 * _AROUND_BINS + 1)
    greatest = maximum_filter(levels, size=size, mode="constant", cval=-np.inf)
    times, bins = np.nonzero((levels == greatest) & (levels > -_FLOOR_DB))
    most = max(1, round(len(levels) * HOP_S * _PEAKS_PER_S))
    if len(times) > most:
        strong = np.sort(np.argsort(-levels[times, bins], kind="stable")[:most])
        times, bins = times[strong], bins[strong]
    return times, bins


def _pairs(
    times: npt.NDArray[np.int64], bins: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Each peak with the next `_FAN` that are near enough: the pair as a number, and the frame of its first peak."""
    pairs: list[npt.NDArray[np.int64]] = []
    at: list[npt.NDArray[np.int64]] = []
    taken = np.zeros(len(times), dtype=np.int64)
    for step in range(1, 4 * _FAN):
        if step >= len(times):
            break
        later, across = times[step:] - times[:-step], bins[step:] - bins[:-step]
        near = (later > 0) & (later <= _FURTHEST) & (np.abs(across) <= _SPREAD) & (taken[:-step] < _FAN)
        taken[:-step] += near
        pairs.append(((bins[:-step] * 128 + across + _SPREAD) * 64 + later // _COARSER)[near])
        at.append(times[:-step][near])
    if not pairs:
        return np.empty(0, dtype=np.uint32), np.empty(0, dtype=np.int64)
    return np.concatenate(pairs).astype(np.uint32), np.concatenate(at)


def _mixed(numbers: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """The finaliser of MurmurHash3: every bit of a number bears on every bit of the result."""
    mixed = numbers.astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed = (mixed ^ (mixed >> np.uint32(shift))) * np.uint32(factor)
    return mixed ^ (mixed >> np.uint32(16))
