"""The windows that DNSMOS scores, as `speechmos` 0.0.1.1 and Microsoft's `dnsmos_local.py` cut them, or all of them.

Both repeat a short clip by doubling it until it holds a window of 9.01 s and then step by one second. Both compute the
end of window k as `int((k + 9.01) * 16000)`, which float rounding makes one sample short for k = 7..23 and 119..122.
Such a window is skipped, so a clip of 17 to under 34 s is scored on its first 15 s and a longer one without its
seconds 15 to 24; published scores have this in them. Both also stop one window early where the last one ends in the
last, incomplete second of the clip.
"""

from __future__ import annotations

SAMPLE_RATE = 16000
WINDOW = 144160  # samples
_WINDOW_S = 9.01

WINDOW_MODES = {
    "compat": "as speechmos: 9.01 s every second, without 7..23 and 119..122",
    "all": "every 9.01 s on the grid of one second",
}


def window_starts(samples: int, mode: str) -> list[int]:
    """First sample of each scored window in the repeated clip; `samples` (at least 1) is the clip's own length.

    mode: "compat" for the windows of speechmos, "all" for every window on the grid of one second that the repeated clip
    holds.
    """
    repeated = samples
    while repeated < WINDOW:
        repeated *= 2
    if mode == "all":
        return list(range(0, repeated - WINDOW + 1, SAMPLE_RATE))
    hops = int(repeated // SAMPLE_RATE - _WINDOW_S) + 1
    starts = [k * SAMPLE_RATE for k in range(hops)]
    return [start for k, start in enumerate(starts) if int((k + _WINDOW_S) * SAMPLE_RATE) - start == WINDOW]


def distinct_windows(samples: int, mode: str) -> dict[int, int]:
    """First sample of each window, ascending -> how often its content occurs among the scored windows of a clip.

    A repeated clip is periodic, so windows whose starts differ by a multiple of the clip's length are the same; the
    first of them stands for all.
    """
    first: dict[int, int] = {}
    times: dict[int, int] = {}
    for start in window_starts(samples, mode):
        kept = first.setdefault(start % samples, start)
        times[kept] = times.get(kept, 0) + 1
    return times
