"""Differences between two runs of a suite, paired by item, with everything a decision needs to know of them.

The unit is the item: its repeats are averaged first. Where the items have several speakers, the unit that intervals and
tests resample is the speaker, as items of one speaker share what they gain and lose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evalkit.decisions.statistics import RESAMPLES, SEED, Interval, bootstrap_intervals

LEVELS = (0.95, 0.90)  # 90 %: two one-sided tests at 5 %, for equivalence and non-inferiority
POWER = 0.8
FEWEST = 6  # pairs: with fewer no signed-rank test can reach 5 %
FEW = 20  # units: below it Student's t covers better than the BCa bootstrap (docs/statistics.md)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """`difference` is ours minus theirs, over the items that both have.

    intervals: confidence level -> interval of the difference, None where there are too few units to say. p: two-sided
    Wilcoxon signed-rank test over units, zeros ranked as by Pratt (scipy.stats.wilcoxon). effect: Cohen's d_z, the mean
    of the paired differences over their standard deviation; None where they do not vary. error: standard error of the
    difference. detectable: the smallest true difference that such a run finds with a power of 80 % at 5 %, two-sided.
    percent: 100 (ours - theirs) / theirs, None where theirs is 0. within: standard deviation between repeats of an
    item's difference, None without repeats on both sides. units: what was resampled, "item" or "speaker", and how many.
    method: "BCa bootstrap", "Student t", or "all alike".
    """

    difference: float
    mean: float
    baseline_mean: float
    percent: float | None
    intervals: Mapping[float, Interval | None]
    p: float | None
    effect: float | None
    error: float | None
    detectable: float | None
    pairs: int
    unpaired: int
    unit: str
    units: int
    method: str
    within: float | None = None
    repeats: int = 1

    @property
    def ci95(self) -> Interval | None:
        return self.intervals[0.95]


def paired(
    ours: Mapping[str, Sequence[float]],
    theirs: Mapping[str, Sequence[float]],
    speaker: Mapping[str, str] | None = None,
    levels: Sequence[float] = LEVELS,
) -> Paired | None:
    """Difference of means. item -> values of its repeats; speaker: of each item, where a suite has several.

    None when no item is in both.
    """
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        return None
    differences = np.array([np.mean(ours[item]) - np.mean(theirs[item]) for item in shared])
    ones = np.ones(len(shared))
    within, repeats = _between_repeats([ours[item] for item in shared], [theirs[item] for item in shared])
    mean, other = (float(np.mean([np.mean(side[item]) for item in shared])) for side in (ours, theirs))
    return _measured(
        (differences, ones),
        (mean, other),
        _units(shared, speaker),
        levels,
        unpaired=len(ours.keys() ^ theirs.keys()),
        spread=differences,
        within=within,
        repeats=repeats,
    )


def paired_ratio(
    ours: Mapping[str, tuple[float, float]],
    theirs: Mapping[str, tuple[float, float]],
    speaker: Mapping[str, str] | None = None,
    levels: Sequence[float] = LEVELS,
) -> Paired | None:
    """Difference of two ratios of sums, such as corpus WER. item -> (numerator, denominator), summed over its repeats.

    Paired bootstrap over items (Bisani and Ney 2004). The signed-rank test is over the items' own ratios. None when no
    item with a denominator is in both.
    """
    shared = sorted(item for item in ours.keys() & theirs.keys() if ours[item][1] and theirs[item][1])
    if not shared:
        return None
    table = np.array([(*ours[item], *theirs[item]) for item in shared], dtype=np.float64)
    numerator, denominator, other_numerator, other_denominator = table.T
    # With the same denominators on both sides, as in corpus WER of one suite, the difference is one ratio of sums. Else
    # (repeats that differ in number) theirs are brought to ours, which changes no item's own ratio.
    scaled = other_numerator * denominator / other_denominator
    mean, other = float(numerator.sum() / denominator.sum()), float(scaled.sum() / denominator.sum())
    return _measured(
        (numerator - scaled, denominator),
        (mean, other),
        _units(shared, speaker),
        levels,
        unpaired=len(ours.keys() ^ theirs.keys()),
        spread=(numerator - scaled) / denominator,
    )


def percent_change(value: float, base: float) -> float | None:
    """100 (value - base) / base, as papers print it; None where the base is 0."""
    return 100 * (value - base) / base if base else None


def _units(items: Sequence[str], speaker: Mapping[str, str] | None) -> tuple[str, Sequence[str]]:
    """What the unit is called, and the unit of each item."""
    found = [(speaker or {}).get(item) for item in items]
    known = [name for name in found if name is not None]
    if len(known) < len(items) or len(set(known)) < 2:
        return "item", items
    return "speaker", known


def _measured(
    sums: tuple[Floats, Floats],
    means: tuple[float, float],
    units: tuple[str, Sequence[str]],
    levels: Sequence[float],
    unpaired: int,
    spread: Floats,
    within: float | None = None,
    repeats: int = 1,
) -> Paired:
    """sums: numerator and denominator of each item's share in the difference; spread: the items' own differences."""
    unit, of_item = units
    totals: dict[str, list[float]] = {}
    for name, numerator, denominator in zip(of_item, *sums, strict=True):
        total = totals.setdefault(name, [0.0, 0.0])
        total[0] += numerator
        total[1] += denominator
    numerators, denominators = np.array(list(totals.values())).T
    difference = float(numerators.sum() / denominators.sum())
    own = numerators / denominators
    error = _error(numerators, denominators, difference)
    method, intervals = _intervals(numerators, denominators, difference, error, levels)
    deviation = float(spread.std(ddof=1)) if len(spread) > 1 else 0.0
    return Paired(
        difference=difference,
        mean=means[0],
        baseline_mean=means[1],
        percent=percent_change(means[0], means[1]),
        intervals=intervals,
        p=_signed_rank(own),
        effect=float(spread.mean()) / deviation if deviation > 0 else None,
        error=error,
        detectable=_detectable(error, len(own)),
        pairs=len(of_item),
        unpaired=unpaired,
        unit=unit,
        units=len(own),
        method=method,
        within=within,
        repeats=repeats,
    )


def _error(numerators: Floats, denominators: Floats, ratio: float) -> float | None:
    """Standard error of a ratio of sums by the delta method; for equal denominators, that of a mean."""
    count = len(numerators)
    if count < 2:
        return None
    residuals = numerators - ratio * denominators
    return float(math.sqrt(count / (count - 1) * float((residuals**2).sum())) / denominators.sum())


def _intervals(
    numerators: Floats, denominators: Floats, difference: float, error: float | None, levels: Sequence[float]
) -> tuple[str, dict[float, Interval | None]]:
    count = len(numerators)
    own = numerators / denominators
    if np.ptp(own) <= 1e-12 * max(1.0, float(np.abs(own).max())):
        alike = (difference, difference) if count >= FEWEST else None
        return "all alike", dict.fromkeys(levels, alike)
    if count < FEW:
        from scipy.stats import t

        assert error is not None, "values that differ are two at least"
        half = {level: float(t.ppf((1 + level) / 2, count - 1)) * error for level in levels}
        return "Student t", {level: (difference - half[level], difference + half[level]) for level in levels}
    return "BCa bootstrap", bootstrap_intervals(numerators, denominators, levels, RESAMPLES, SEED)


def _signed_rank(own: Floats) -> float | None:
    """None for fewer than FEWEST units, where no result could mean anything."""
    from scipy.stats import wilcoxon

    if len(own) < FEWEST:
        return None
    rounded = np.round(own, 12)  # a difference that is rounding alone is none
    if not rounded.any():
        return 1.0
    return float(wilcoxon(rounded, zero_method="pratt").pvalue)


def _detectable(error: float | None, units: int) -> float | None:
    from scipy.stats import t

    if error is None or error == 0 or units < FEWEST:
        return None
    return float((t.ppf(0.975, units - 1) + t.ppf(POWER, units - 1)) * error)


def _between_repeats(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> tuple[float | None, int]:
    """Standard deviation that the repeats alone give a one-repeat difference, and how many repeats there were."""
    variances: list[Any] = []
    for side in (ours, theirs):
        several = [np.var(values, ddof=1) for values in side if len(values) > 1]
        if not several:
            return None, 1
        variances.append(np.mean(several))
    repeats = min(*map(len, ours), *map(len, theirs))
    return float(math.sqrt(sum(variances))), repeats
