"""Levels in speech alone: noise less than 40 dB below the speech makes pauses count, and widens the energy spread."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metrics.frames import FRAME_S, HOP_S, active, frame_levels
from metrics.silero import Stretch, in_stretches

COLUMNS = ("speech_frames", "speech_mean_db", "speech_std_db")


def speech_levels(clip: Tensor, rate: int, speech: Sequence[Stretch] | None) -> dict[str, float | None]:
    """COLUMNS of a clip: number, mean level (dBFS) and deviation (dB) of its energy's frames whose middle is in speech.

    clip: float32 [samples]; speech: stretches in seconds, None where nobody looked. Without such a frame: no levels.
    """
    if speech is None:
        return dict.fromkeys(COLUMNS)
    levels, real = frame_levels(clip[None], torch.tensor([len(clip)]), rate)
    middles = torch.arange(levels.shape[1]) * HOP_S + FRAME_S / 2
    spoken = levels[active(levels, real) & in_stretches(middles, speech)]
    if not len(spoken):
        return dict(zip(COLUMNS, (0.0, None, None), strict=True))
    return dict(zip(COLUMNS, (float(len(spoken)), float(spoken.mean()), float(spoken.std(correction=0))), strict=True))
