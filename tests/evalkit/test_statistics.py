"""Intervals cover what they promise, and repeat exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from evalkit.decisions.statistics import SEED, by_item, mean_interval, ratio_interval


def items(values: np.ndarray) -> dict[str, float]:
    return {f"item-{i}": float(value) for i, value in enumerate(values)}


def test_mean_interval_is_scipys_bca() -> None:
    values = np.random.default_rng(1).gamma(2.0, size=40)
    expected = bootstrap((values,), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(SEED))
    found = mean_interval(items(values))
    assert found.mean == pytest.approx(values.mean())
    assert found.sd == pytest.approx(values.std(ddof=1))
    assert found.ci95 == pytest.approx(tuple(expected.confidence_interval))


def test_interval_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        interval = mean_interval(items(rng.normal(3.0, 0.5, size=30))).ci95
        assert interval is not None
        hits += interval[0] <= 3.0 <= interval[1]
    assert 180 <= hits <= 199


def test_repeats_of_an_item_count_as_one_item() -> None:
    assert by_item([("a", 1.0), ("a", 3.0), ("b", 5.0)]) == {"a": 2.0, "b": 5.0}


def test_ratio_is_over_sums_not_a_mean_of_ratios() -> None:
    ratio = ratio_interval({"a": (1.0, 2.0), "b": (1.0, 8.0)})
    assert ratio is not None and ratio.value == pytest.approx(0.2)
    assert ratio_interval({"a": (0.0, 0.0)}) is None


def test_items_that_are_all_alike_have_no_interval() -> None:
    assert mean_interval(items(np.zeros(3))).ci95 is None, "0 of 3 right is not 0 for certain"
    assert ratio_interval({"a": (1.0, 2.0), "b": (1.0, 2.0)}).ci95 is None  # type: ignore[union-attr]


def test_one_item_has_no_interval() -> None:
    assert mean_interval({"a": 1.0}).ci95 is None


def test_same_data_same_interval() -> None:
    values = items(np.random.default_rng(4).normal(size=25))
    assert mean_interval(values) == mean_interval(values)
