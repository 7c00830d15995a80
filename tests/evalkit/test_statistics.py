"""Intervals cover what they promise, pair what belongs together, and repeat exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from evalkit.decisions.statistics import SEED, by_item, mean_interval, paired_difference, ratio_interval


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


def test_pairs_by_item_and_leaves_out_what_only_one_side_has() -> None:
    difference = paired_difference({"a": 3.0, "b": 2.0, "x": 99.0}, {"a": 1.0, "b": 1.0, "y": -99.0})
    assert difference is not None
    assert (difference.pairs, difference.difference) == (2, 1.5)
    assert (difference.mean, difference.baseline_mean) == (2.5, 1.0)


def test_pairing_finds_what_unpaired_intervals_would_hide() -> None:
    rng = np.random.default_rng(3)
    difficulty = rng.normal(0, 5, size=60)
    ours, theirs = items(difficulty + 0.3 + rng.normal(0, 0.2, 60)), items(difficulty)
    difference = paired_difference(ours, theirs)
    assert difference is not None and difference.ci95 is not None and difference.ci95[0] > 0
    wide_ours, wide_theirs = mean_interval(ours).ci95, mean_interval(theirs).ci95
    assert wide_ours is not None and wide_theirs is not None and wide_ours[0] < wide_theirs[1]


def test_ratio_is_over_sums_not_a_mean_of_ratios() -> None:
    ratio = ratio_interval({"a": (1.0, 2.0), "b": (1.0, 8.0)})
    assert ratio is not None and ratio.value == pytest.approx(0.2)
    assert ratio_interval({"a": (0.0, 0.0)}) is None


def test_items_that_are_all_alike_have_no_interval() -> None:
    assert mean_interval(items(np.zeros(3))).ci95 is None, "0 of 3 right is not 0 for certain"
    assert ratio_interval({"a": (1.0, 2.0), "b": (1.0, 2.0)}).ci95 is None  # type: ignore[union-attr]


def test_one_item_has_no_interval() -> None:
    assert mean_interval({"a": 1.0}).ci95 is None
    assert paired_difference({"a": 1.0}, {"b": 1.0}) is None


def test_same_data_same_interval() -> None:
    values = items(np.random.default_rng(4).normal(size=25))
    assert mean_interval(values) == mean_interval(values)
