"""What is usual for a speaker, by statistics that a few odd clips cannot move."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

TO_SD = 1.4826  # of the median absolute deviation: the standard deviation of normal values

Floats = npt.NDArray[np.float64]


def centres_and_spreads(
    values: npt.NDArray[np.floating], groups: npt.NDArray[np.int64], count: int
) -> tuple[Floats, Floats]:
    """Median, and median absolute deviation as a standard deviation, of each of `count` groups; NaN for an empty one.

    values: finite, [n]; groups: the number of each value's group, [n].
    """
    centres, spreads = np.full(count, np.nan), np.full(count, np.nan)
    order = np.argsort(groups, kind="stable")
    ends = np.searchsorted(groups[order], np.arange(count + 1))
    for group in range(count):
        own = values[order[ends[group] : ends[group + 1]]]
        if len(own):
            centres[group] = np.median(own)
            spreads[group] = TO_SD * np.median(np.abs(own - centres[group]))
    return centres, spreads
