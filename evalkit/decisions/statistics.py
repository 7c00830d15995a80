"""What a run says of itself: means, ratios and percentiles, and intervals by the rules of docs/statistics.md.

The unit is the item, never the utterance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.decisions.intervals import FEWEST, RESAMPLES, SEED, Floats, Interval, intervals, standard_error

PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class Mean:
    """Mean over items; repeats of an item are averaged first. ci95 is None for fewer than six items, or all alike."""

    mean: float
    sd: float | None
    ci95: Interval | None
    items: int


@dataclass(frozen=True)
class Ratio:
    """Sum of numerators over sum of denominators, as in corpus WER. ci95 is None as it is of a Mean."""

    value: float
    ci95: Interval | None
    numerator: float
    denominator: float


def by_item(values: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Average the repeats of each item. values: (item, value) pairs."""
    grouped: dict[str, list[float]] = {}
    for item, value in values:
        grouped.setdefault(item, []).append(value)
    return {item: float(np.mean(repeats)) for item, repeats in grouped.items()}


def mean_interval(items: Mapping[str, float]) -> Mean:
    """Mean over items with its 95 % interval."""
    values = np.array(list(items.values()), dtype=np.float64)
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    return Mean(float(values.mean()), sd, _interval(values, np.ones(len(values))), len(values))


def ratio_interval(counts: Mapping[str, tuple[float, float]]) -> Ratio | None:
    """counts: item -> (numerator, denominator), summed over its repeats; items without a denominator are left out.

    None when no item has one.
    """
    known = [(n, d) for n, d in counts.values() if d]
    if not known:
        return None
    numerators, denominators = np.array(known, dtype=np.float64).T
    numerator, denominator = float(numerators.sum()), float(denominators.sum())
    return Ratio(numerator / denominator, _interval(numerators, denominators), numerator, denominator)


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """`{"p50": ..., "p99": ...}` of at least one value, linear between order statistics (numpy's default).

    A percentile beyond which not one value is expected to lie is None: p90 takes 10 values, p95 20 and p99 100.
    """
    given = [p for p in PERCENTILES if p == 50 or len(values) * (100 - p) >= 100]
    found = dict(zip(given, np.percentile(values, given), strict=True))
    return {f"p{p}": float(found[p]) if p in found else None for p in PERCENTILES}


def median_interval(items: Mapping[str, Sequence[float]]) -> Interval | None:
    """95 % percentile-bootstrap interval of the median of all values; items are resampled with all their repeats.

    None for fewer than six items, or values that are all alike. (BCa needs a jackknife, which fails for a median.)
    """
    table = np.full((len(items), max((len(repeats) for repeats in items.values()), default=0)), np.nan)
    for row, repeats in zip(table, items.values(), strict=True):
        row[: len(repeats)] = repeats
    if len(table) < FEWEST or np.nanmin(table) == np.nanmax(table):
        return None
    middle = np.nanmedian if np.isnan(table).any() else np.median  # the first is many times slower
    picks = np.random.default_rng(SEED).integers(len(table), size=(RESAMPLES, len(table)))
    parts = np.split(picks, RESAMPLES // 100)  # so that a long run needs little memory
    medians = np.concatenate([middle(table[part].reshape(len(part), -1), axis=1) for part in parts])
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


def _interval(numerators: Floats, denominators: Floats) -> Interval | None:
    """95 % interval of a ratio of sums over units, as the difference of two runs has it."""
    ratio = float(numerators.sum() / denominators.sum())
    method, found = intervals(
        numerators, denominators, ratio, *standard_error(numerators, denominators, ratio), levels=(0.95,)
    )
    # Two runs that differ alike in all items do differ; of one run's items that are all alike, an interval without
    # width would claim a certainty that nobody has.
    return None if method == "all alike" else found[0.95]
