"""Differences between two runs of a suite, paired by item, with everything a decision needs to know of them.

The unit is the item: its repeats are averaged first. Where the items have several speakers, the unit that intervals and
tests resample is the speaker, as items of one speaker share what they gain and lose. Of fewer than FEWEST speakers
nothing can be said about others: there the unit stays the item, and what is found holds for these speakers alone.
docs/statistics.md says what was simulated to choose all this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from evalkit.decisions.intervals import FEWEST, ROUNDING, Floats, Interval, intervals, standard_error

LEVELS = (0.95, 0.90)  # 90 %: two one-sided tests at 5 %, for equivalence and non-inferiority
POWER = 0.8
_EXACT = 50  # differences that are not zero: up to here the null distribution is exact, as in scipy


@dataclass(frozen=True)
class Paired:
    """`difference` is ours minus theirs, over the items that both have.

    mean, baseline_mean: of ours and theirs, over the same items. percent: 100 (ours - theirs) / theirs, None where
    theirs is 0. intervals: confidence level -> interval of the difference, None where there are too few units to say.
    p: two-sided Wilcoxon signed-rank test over units that differ, None for fewer than FEWEST units. effect: Cohen's
    d_z, the mean of the items' differences over their standard deviation; None where they do not vary. error: standard
    error of the difference. degrees: of freedom that the error has; one less than there are units if all weigh the
    same, fewer if a few of them make most of the figure. detectable: the smallest true difference that such a run finds
    with a power of 80 % at 5 %, two-sided, with nothing else tested. pairs: items in both; unpaired: items in one of
    the two. unit: what was resampled, "item" or "speaker", and units: how many. method: "BCa bootstrap", "Student t",
    "all alike" (then the interval is the one value), or "too few". within: standard deviation that repeats alone give
    an item's difference of one repeat, None without repeats on both sides; repeats: how many every item has at least.
    p_mean: of the t test that the mean difference is 0; p_both: the larger of p and p_mean, which is what Holm is to
    correct.
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
    p_mean: float | None = None
    degrees: float | None = None

    @property
    def ci95(self) -> Interval | None:
        return self.intervals[0.95]

    @property
    def p_both(self) -> float | None:
        return None if self.p is None or self.p_mean is None else max(self.p, self.p_mean)


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
    mean, other = (np.array([fmean(side[item]) for item in shared]) for side in (ours, theirs))
    differences, ones = mean - other, np.ones(len(shared))
    within, repeats = _between_repeats([ours[item] for item in shared], [theirs[item] for item in shared])
    return _measured(
        (differences, ones),
        (float(mean.mean()), float(other.mean())),
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
    if len(known) < len(items) or len(set(known)) < FEWEST:
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
    own = numerators / denominators
    own[np.abs(own) <= ROUNDING * max(1.0, *map(abs, means))] = 0.0  # what is rounding alone is no difference
    numerators = own * denominators
    difference = float(numerators.sum() / denominators.sum())
    error, degrees = standard_error(numerators, denominators, difference)
    method, bounds = intervals(numerators, denominators, difference, error, degrees, levels)
    if method == "all alike":
        error = 0.0
    deviation = float(spread.std(ddof=1)) if len(spread) > 1 and np.ptp(spread) > ROUNDING else 0.0
    return Paired(
        difference=difference,
        mean=means[0],
        baseline_mean=means[1],
        percent=percent_change(means[0], means[1]),
        intervals=bounds,
        p=_signed_rank(own),
        effect=float(spread.mean()) / deviation if deviation > 0 else None,
        error=error,
        detectable=_detectable(error, degrees, len(own)),
        pairs=len(of_item),
        unpaired=unpaired,
        unit=unit,
        units=len(own),
        method=method,
        within=within,
        repeats=repeats,
        p_mean=_of_mean(difference, error, degrees, len(own)),
        degrees=degrees if len(own) > 1 else None,
    )


def _signed_rank(own: Floats) -> float | None:
    """p of Wilcoxon's signed-rank test; units that do not differ are left out, as Wilcoxon did.

    scipy.stats.wilcoxon, but for up to 50 differences with ties among them (scores that are counts): there scipy
    enumerates every sign (0.8 s for 13) or takes the normal curve, by which 4 equal losses are significant (p = 0.046)
    where no 4 can be (0.125). None for fewer than FEWEST units, where no result could mean anything.
    """
    from scipy.stats import wilcoxon

    if len(own) < FEWEST:
        return None
    differing = np.round(own[own != 0], 12)
    if not len(differing):
        return 1.0
    if len(np.unique(np.abs(differing))) < len(differing) <= _EXACT:
        return _tied_signed_rank(differing)
    return float(wilcoxon(differing).pvalue)


def _tied_signed_rank(differing: Floats) -> float:
    """The exact test: the distribution of the rank sum when every sign is a toss of a coin, ties at their mean rank."""
    from scipy.stats import rankdata

    doubled = (2 * rankdata(np.abs(differing))).astype(int)  # mean ranks are halves
    chances = np.ones(1)
    for rank in doubled:
        chances = 0.5 * (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0)))
    reached = doubled[differing > 0].sum()
    return float(min(1.0, 2 * min(chances[: reached + 1].sum(), chances[reached:].sum())))


def _of_mean(difference: float, error: float | None, degrees: float, units: int) -> float | None:
    """Two-sided p of the t test that the mean is 0. A skewed column fails the signed-rank test with a mean of 0 too."""
    from scipy.special import stdtr

    if error is None or units < FEWEST:
        return None
    if error == 0:
        return 0.0 if difference else 1.0
    return float(2 * stdtr(degrees, -abs(difference) / error))


def _detectable(error: float | None, degrees: float, units: int) -> float | None:
    from scipy.stats import t

    if error is None or error == 0 or units < FEWEST:
        return None
    return float((t.ppf(0.975, degrees) + t.ppf(POWER, degrees)) * error)


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
