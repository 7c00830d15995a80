"""The windows that DNSMOS scores, as `speechmos` 0.0.1.1 and Microsoft's `dnsmos_local.py` cut them.

Both repeat a short clip by doubling it until it holds a window of 9.01 s and then step by one second. Both compute the
end of window k as `int((k + 9.01) * 16000)`, which float rounding makes one sample short for k = 7..23 and 119..122.
Such a window is skipped, so a clip of 30 s is scored on its first 15 s; published scores have this in them.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

SAMPLE_RATE = 16000
WINDOW = 144160  # samples
_WINDOW_S = 9.01


def window_starts(samples: int) -> list[int]:
    """First sample of each scored window in the repeated clip; `samples` (at least 1) is the clip's own length."""
    repeated = samples
    while repeated < WINDOW:
        repeated *= 2
    hops = int(repeated // SAMPLE_RATE - _WINDOW_S) + 1
    starts = [k * SAMPLE_RATE for k in range(hops)]
    return [start for k, start in enumerate(starts) if int((k + _WINDOW_S) * SAMPLE_RATE) - start == WINDOW]


def distinct_windows(samples: int) -> Counter[int]:
    """Start -> how often a window with this content occurs among the scored windows of a clip of this length.

    A repeated clip is periodic, so windows whose starts differ by a multiple of the clip's length are the same.
    """
    return Counter(start % samples for start in window_starts(samples))


def cut(clip: Tensor, start: int) -> Tensor:
    """The window, float32 [144160], that begins at `start` of the clip, float32 [samples], repeated without end."""
    if start + WINDOW <= len(clip):
        return clip[start : start + WINDOW]
    return clip[(start + torch.arange(WINDOW)) % len(clip)]
