"""Intervals cover what they promise, and repeat exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap, t

from evalkit.decisions.intervals import SEED
from evalkit.decisions.statistics import by_item, mean_interval, ratio_interval


def items(values: np.ndarray) -> dict[str, float]:
    return {f"item-{i}": float(value) for i, value in enumerate(values)}


def test_mean_interval_is_scipys_bca() -> None:
    values = np.random.default_rng(1).gamma(2.0, size=40)
    expected = bootstrap((values,), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(SEED))
    found = mean_interval(items(values))
    assert found.mean == pytest.approx(values.mean())
    assert found.sd == pytest.approx(values.std(ddof=1))
    assert found.ci95 == pytest.approx(tuple(expected.confidence_interval))


@pytest.mark.parametrize("count", [6, 10, 30])
def test_interval_covers_the_truth_about_95_times_in_100(count: int) -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(400):
        interval = mean_interval(items(rng.normal(3.0, 0.5, size=count))).ci95
        assert interval is not None
        hits += interval[0] <= 3.0 <= interval[1]
    assert 0.93 <= hits / 400 <= 0.97


def test_below_forty_items_it_is_students() -> None:
    values = np.random.default_rng(3).gamma(2.0, size=39)
    expected = t.interval(0.95, 38, values.mean(), values.std(ddof=1) / np.sqrt(39))
    assert mean_interval(items(values)).ci95 == pytest.approx(expected)


def test_fewer_than_six_items_have_no_interval() -> None:
    values = np.random.default_rng(5).normal(size=6)
    assert mean_interval(items(values)).ci95 is not None
    assert mean_interval(items(values[:5])).ci95 is None
    counts = {name: (1.0 + place, 10.0) for place, name in enumerate("abcdef")}
    assert ratio_interval(counts).ci95 is not None  # type: ignore[union-attr]
    assert ratio_interval({name: counts[name] for name in "abcde"}).ci95 is None  # type: ignore[union-attr]


def test_interval_of_a_ratio_covers_the_truth() -> None:
    rng = np.random.default_rng(6)
    hits = 0
    for _ in range(300):
        words = rng.integers(5, 26, size=12)
        counts = {str(i): (float(rng.binomial(n, rng.beta(2, 8))), float(n)) for i, n in enumerate(words)}
        found = ratio_interval(counts)
        assert found is not None and found.ci95 is not None
        hits += found.ci95[0] <= 0.2 <= found.ci95[1]
    assert hits / 300 >= 0.9


def test_repeats_of_an_item_count_as_one_item() -> None:
    assert by_item([("a", 1.0), ("a", 3.0), ("b", 5.0)]) == {"a": 2.0, "b": 5.0}


def test_ratio_is_over_sums_not_a_mean_of_ratios() -> None:
    ratio = ratio_interval({"a": (1.0, 2.0), "b": (1.0, 8.0)})
    assert ratio is not None and ratio.value == pytest.approx(0.2)
    assert ratio_interval({"a": (0.0, 0.0)}) is None


def test_items_that_are_all_alike_have_no_interval() -> None:
    assert mean_interval(items(np.zeros(8))).ci95 is None, "0 of 8 right is not 0 for certain"
    assert mean_interval(items(0.1 + np.arange(8) * 1e-17)).ci95 is None, "what differs by rounding is alike"
    for errors in (0.0, 0.5):
        counts = {name: (errors * words, words) for words, name in enumerate("abcdefgh", start=4)}
        assert ratio_interval(counts).ci95 is None, "of other lengths, but alike"  # type: ignore[union-attr]


def test_one_item_has_no_interval() -> None:
    assert mean_interval({"a": 1.0}).ci95 is None


def test_same_data_same_interval() -> None:
    values = items(np.random.default_rng(4).normal(size=25))
    assert mean_interval(values) == mean_interval(values)
