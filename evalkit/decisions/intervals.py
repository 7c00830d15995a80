"""Standard error, degrees of freedom and intervals of a mean or a ratio of sums, over units of a run or a comparison.

docs/statistics.md says what was simulated to choose between them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 4000
SEED = 20240229
FEWEST = 6  # units: with fewer no signed-rank test can reach 5 %
FEW = 40  # units, if all weigh the same: below it Student's t covers better than the BCa bootstrap
ROUNDING = 1e-12

Interval = tuple[float, float]
Floats = npt.NDArray[np.float64]


def standard_error(numerators: Floats, denominators: Floats, ratio: float) -> tuple[float | None, float]:
    """Standard error of a ratio of sums, of a mean if all denominators are equal, and its degrees of freedom.

    CR2 of Bell and McCaffrey (2002): a unit that makes a large share of the sum pulls the ratio to itself, which hides
    its residual; dividing by one less its share brings it back. Degrees after Satterthwaite, for units whose variance
    goes with their denominators: few where few units make most of the sum.
    """
    if len(numerators) < 2:
        return None, 0.0
    total = float(denominators.sum())
    share = denominators / total
    residuals = numerators - ratio * denominators
    error = math.sqrt(float((residuals**2 / (1 - share)).sum())) / total
    pull = share**2 / (1 - share)
    return error, float(1 / ((share**2).sum() + pull.sum() ** 2 - (pull**2).sum()))


def intervals(
    numerators: Floats,
    denominators: Floats,
    difference: float,
    error: float | None,
    degrees: float,
    levels: Sequence[float],
) -> tuple[str, dict[float, Interval | None]]:
    """Method and interval at each level; error, degrees: of `standard_error`. Too few units have None."""
    if len(numerators) < FEWEST:
        return "too few", dict.fromkeys(levels)
    own = numerators / denominators
    if np.ptp(own) <= ROUNDING * max(1.0, float(np.abs(own).max())):
        return "all alike", dict.fromkeys(levels, (difference, difference))
    if degrees < FEW - 1 - ROUNDING * FEW:
        from scipy.stats import t

        assert error is not None, "there are two at least"
        half = {level: float(t.ppf((1 + level) / 2, degrees)) * error for level in levels}
        return "Student t", {level: (difference - half[level], difference + half[level]) for level in levels}
    return "BCa bootstrap", bootstrap_intervals(numerators, denominators, levels, RESAMPLES, SEED)


def bootstrap_intervals(
    numerators: Floats, denominators: Floats, levels: Sequence[float], resamples: int, seed: int
) -> dict[float, Interval | None]:
    """BCa intervals of a ratio of sums at several levels, all from the same resamples of the pairs."""
    from scipy.stats import bootstrap

    found: dict[float, Interval | None] = {}
    earlier = None
    plain = bool(np.ptp(denominators) == 0)  # a mean: half the work, the same resamples
    data = (numerators / denominators[0],) if plain else (numerators, denominators)
    for level in levels:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # degenerate resamples are handled below
            earlier = bootstrap(
                data,
                _mean if plain else _ratio,
                n_resamples=resamples if earlier is None else 0,
                bootstrap_result=earlier,
                confidence_level=level,
                method="BCa",
                paired=not plain,
                vectorized=True,
                rng=np.random.default_rng(seed),
            )
        found[level] = _finite(earlier, level)
    return found


def _finite(result: Any, level: float) -> Interval:
    """The interval; where the acceleration is not defined, that of percentiles."""
    low, high = float(result.confidence_interval.low), float(result.confidence_interval.high)
    if not (np.isfinite(low) and np.isfinite(high)):
        low, high = (float(q) for q in np.quantile(result.bootstrap_distribution, [(1 - level) / 2, (1 + level) / 2]))
    return (low, high)


def _mean(values: Floats, axis: int = -1) -> Floats:
    return np.asarray(values.mean(axis=axis))


def _ratio(numerators: Floats, denominators: Floats, axis: int = -1) -> Floats:
    return np.asarray(numerators.sum(axis=axis) / denominators.sum(axis=axis))
