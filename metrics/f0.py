"""Fundamental frequency of speech: librosa's pYIN, with voicing that holds in noise and at low effort."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

SAMPLE_RATE = 16000
HOP_S = 0.010
FLOOR_HZ, CEILING_HZ = 60.0, 600.0
RESOLUTION_ST = 0.2  # semitones between the tracker's states; half of it costs three times as much
APERIODICITY = 0.5  # of a voiced frame at most: as much power in the periodic part as in the rest, or more

# pYIN's own 0.01 makes it lose the track of a noisy voice and, of what is left, follow harmonics (a real clip of 140 Hz
# became 302). At 0.1 it keeps the track but takes noise for voice; requiring a low aperiodicity takes that back.
_NO_TROUGH = 0.1
_FRAME, _HOP = 640, round(HOP_S * SAMPLE_RATE)  # samples: 40 ms; longer frames lose F0 where it moves fast


def f0_track(clip: Tensor) -> NDArray[np.float64]:
    """F0 of frames every 10 ms, in Hz, float64 [frames], 0 where a frame is unvoiced.

    clip: float32 [samples at 16 kHz], finite. Frame i is centred on i x 10 ms, the clip's ends included. A hum counts
    as voiced, so frames without speech are for the caller to leave out.
    """
    import librosa

    f0, voiced, probability = librosa.pyin(
        clip.cpu().numpy(),
        sr=SAMPLE_RATE,
        fmin=FLOOR_HZ,
        fmax=CEILING_HZ,
        frame_length=_FRAME,
        hop_length=_HOP,
        resolution=RESOLUTION_ST,
        no_trough_prob=_NO_TROUGH,
    )
    track: NDArray[np.float64] = np.where(voiced & (probability > _least_probability()), f0, 0.0)
    return track


def parameters() -> dict[str, float | str]:
    """For `Passport.parameters`."""
    return {
        "f0": "librosa.pyin",
        "f0_floor_hz": FLOOR_HZ,
        "f0_ceiling_hz": CEILING_HZ,
        "f0_hop_s": HOP_S,
        "f0_resolution_st": RESOLUTION_ST,
        "f0_frame_s": _FRAME / SAMPLE_RATE,
        "f0_no_trough_prob": _NO_TROUGH,
        "f0_aperiodicity_at_most": APERIODICITY,
    }


def _least_probability() -> float:
    """pYIN's voiced probability of a frame whose deepest dip of the difference function is at APERIODICITY.

    pYIN weighs thresholds by Beta(2, 18), whose share above x is (1-x)^18 (1+18x), on a grid of 0.01; between two
    points of the grid, rounding decides nothing.
    """
    dip = APERIODICITY - 0.005
    above = (1 - dip) ** 18 * (1 + 18 * dip)
    return above + _NO_TROUGH * (1 - above)
