"""Short-time level: the RMS of frames, of 25 ms every 10 ms unless told otherwise."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, pad

FRAME_S, HOP_S = 0.025, 0.010
DYNAMIC_RANGE_DB = 40.0  # a frame further below the loudest one than this is a pause
TOO_SHORT = "the clip is shorter than one frame of 25 ms"

_LOWEST_POWER = 1e-20  # keeps the logarithm of a frame of zeros finite, at -200 dBFS


def frame_levels(
    audio: Tensor, lengths: Tensor, sample_rate: int, frame_s: float = FRAME_S, hop_s: float = HOP_S
) -> tuple[Tensor, Tensor]:
    """Level of each frame in dBFS, float64 [clips, frames], and a mask, bool [clips, frames], True on real frames.

    audio: float32 [clips, samples]; lengths: int64 [clips]. Only frames that lie wholly inside the clip are real, so no
    padding enters them. 0 dBFS is an RMS of 1, so a sine of full scale is at -3 dBFS.
    """
    frame, hop = round(frame_s * sample_rate), round(hop_s * sample_rate)
    padded = pad(audio, (0, max(0, frame - audio.shape[1])))
    power = avg_pool1d(padded.square()[:, None], frame, hop)[:, 0]
    counts = ((lengths - frame).div(hop, rounding_mode="floor") + 1).clamp_min(0).to(audio.device)
    mask = torch.arange(power.shape[1], device=audio.device)[None] < counts[:, None]
    return 10 * power.double().clamp_min(_LOWEST_POWER).log10(), mask


def active(levels: Tensor, mask: Tensor) -> Tensor:
    """bool [clips, frames], True on real frames at most 40 dB below the loudest real frame of their clip."""
    loudest = levels.masked_fill(~mask, -torch.inf).amax(dim=1, keepdim=True)
    return mask & (levels >= loudest - DYNAMIC_RANGE_DB)
