"""Paired differences against references: scipy's bootstrap, t and Wilcoxon, direct computations, and simulations."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from scipy.stats import PermutationMethod, binomtest, bootstrap, t, ttest_rel, wilcoxon

from evalkit.decisions.differences import Paired, paired, paired_ratio, percent_change
from evalkit.decisions.intervals import FEW, FEWEST, RESAMPLES, SEED

Values = Mapping[str, list[float]]


def items(values: np.ndarray) -> dict[str, list[float]]:
    return {f"item-{index:04}": [float(value)] for index, value in enumerate(values)}


def measured(differences: np.ndarray, speaker: Mapping[str, str] | None = None) -> Paired:
    found = paired(items(differences), items(np.zeros(len(differences))), speaker)
    assert found is not None
    return found


def test_interval_of_many_items_is_scipys_bca() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.gamma(2.0, size=60), rng.gamma(2.0, size=60)
    found = paired(items(ours), items(theirs))
    assert found is not None and found.method == "BCa bootstrap"
    for level in (0.95, 0.90):
        expected = bootstrap(
            (ours - theirs,),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=level,
            method="BCa",
            rng=np.random.default_rng(SEED),
        ).confidence_interval
        assert found.intervals[level] == pytest.approx(tuple(expected), abs=1e-12), level
    assert found.ci95 == found.intervals[0.95]
    assert found.difference == pytest.approx((ours - theirs).mean())
    assert found.percent == pytest.approx(100 * (ours.mean() - theirs.mean()) / theirs.mean())
    assert (found.mean, found.baseline_mean) == pytest.approx((ours.mean(), theirs.mean()))


def test_interval_of_few_items_is_students() -> None:
    rng = np.random.default_rng(2)
    ours, theirs = rng.normal(size=FEW - 1), rng.normal(size=FEW - 1)
    found = paired(items(ours), items(theirs), levels=(0.95, 0.8))
    assert found is not None and found.method == "Student t"
    for level in (0.95, 0.8):
        expected = ttest_rel(ours, theirs).confidence_interval(level)
        assert found.intervals[level] == pytest.approx((expected.low, expected.high))
    assert measured(rng.normal(size=FEW)).method == "BCa bootstrap"


def test_error_effect_and_detectable_difference() -> None:
    values = np.random.default_rng(3).normal(0.3, 1.0, 24)
    found = measured(values)
    assert found.error == pytest.approx(values.std(ddof=1) / math.sqrt(24))
    assert found.effect == pytest.approx(values.mean() / values.std(ddof=1))
    assert found.detectable == pytest.approx((t.ppf(0.975, 23) + t.ppf(0.8, 23)) * found.error)


@pytest.mark.parametrize("count", [6, 9, 30, 50, 51, 200])
def test_p_is_scipys_wilcoxon(count: int) -> None:
    values = np.random.default_rng(count).normal(0.3, 1.0, count)
    assert measured(values).p == pytest.approx(wilcoxon(values).pvalue, abs=1e-12)


def test_p_of_the_mean_is_that_of_the_t_test() -> None:
    values = np.random.default_rng(12).normal(0.3, 1.0, 24)
    found = measured(values)
    assert found.p_mean == pytest.approx(ttest_rel(values, np.zeros(24)).pvalue)
    assert found.p is not None and found.p_both == max(found.p, found.p_mean)
    assert measured(np.full(8, -1.0)).p_mean == 0.0 and measured(np.zeros(8)).p_both == 1.0
    assert measured(np.arange(5.0)).p_both is None


def test_p_of_items_that_do_not_differ_is_of_the_others() -> None:
    some = np.array([0.4, -0.1, 0.7, 0.2, 0.9, -0.3, 0.5])
    assert measured(np.concatenate([some, np.zeros(20)])).p == pytest.approx(wilcoxon(some).pvalue)


def test_p_of_ties_is_the_exact_one_of_all_signs() -> None:
    """Scores that are counts: scipy enumerates the signs up to 13 differences, and so slowly that we convolve."""
    values = np.array([1, 1, -1, 2, 2, 0, 0, 3, -2, 1, 0.0])
    every_sign = wilcoxon(values[values != 0], method=PermutationMethod(n_resamples=2**8))
    assert measured(values).p == pytest.approx(every_sign.pvalue, abs=1e-12)
    many = np.concatenate([-np.ones(20), np.ones(10)])
    assert measured(many).p == pytest.approx(binomtest(10, 30).pvalue), "all tied, it is the sign test"


def test_four_losses_among_many_equal_items_are_no_proof() -> None:
    values = np.zeros(24)
    values[:4] = -1
    assert measured(values).p == pytest.approx(0.125), "two of the sixteen ways that four coins fall"


def test_repeats_are_averaged_and_their_spread_is_told() -> None:
    ours: Values = {f"i{k}": [k + 0.5, k - 0.5, k + 0.3] for k in range(8)}
    theirs: Values = {f"i{k}": [k - 1.0, k - 1.2] for k in range(8)}
    found = paired(ours, theirs)
    assert found is not None
    assert found.difference == pytest.approx(0.1 + 1.1) and found.pairs == found.units == 8
    assert found.repeats == 2
    variances = np.var([0.5, -0.5, 0.3], ddof=1) + np.var([-1.0, -1.2], ddof=1)
    assert found.within == pytest.approx(math.sqrt(variances))
    assert measured(np.arange(8.0)).within is None


def test_only_items_of_both_count_and_the_others_are_told() -> None:
    found = paired({"a": [3.0], "b": [2.0], "x": [99.0]}, {"a": [1.0], "b": [1.0], "y": [-99.0], "z": [0.0]})
    assert found is not None
    assert (found.pairs, found.unpaired, found.difference) == (2, 3, 1.5)
    assert (found.mean, found.baseline_mean, found.percent) == (2.5, 1.0, pytest.approx(150.0))
    assert paired({"a": [1.0]}, {"b": [1.0]}) is None


def test_too_few_have_no_interval_or_no_test() -> None:
    one = measured(np.array([0.5]))
    assert (one.ci95, one.p, one.error, one.effect, one.detectable, one.method) == (None,) * 5 + ("too few",)
    five = measured(np.arange(5.0))
    assert five.error == pytest.approx(math.sqrt(2.5 / 5)) and five.degrees == pytest.approx(4)
    assert (five.ci95, five.p, five.detectable, five.method) == (None, None, None, "too few")
    assert measured(np.full(FEWEST - 1, -1.0)).ci95 is None


def test_all_alike() -> None:
    broken, same = measured(np.full(24, -1.0)), measured(np.zeros(24))
    assert (broken.ci95, broken.method, broken.effect, broken.detectable) == ((-1.0, -1.0), "all alike", None, None)
    assert measured(np.full(24, -1.8) + 1e-15 * np.arange(24)).detectable is None
    assert broken.p is not None and broken.p < 1e-6
    assert (same.ci95, same.p) == ((0.0, 0.0), 1.0)


def test_what_is_rounding_alone_is_no_difference() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(3.0, 0.5, 30)
    found = paired(items(values + 1e-15 * rng.choice([-1, 1], 30)), items(values))
    assert found is not None and (found.difference, found.ci95, found.p) == (0.0, (0.0, 0.0), 1.0)


def test_speakers_are_the_unit_where_there_are_enough() -> None:
    values = np.random.default_rng(6).normal(size=24)
    names = [f"item-{index:04}" for index in range(24)]
    of_eight = {name: f"s{index % 8}" for index, name in enumerate(names)}
    found = measured(values, of_eight)
    means = np.array([values[k::8].mean() for k in range(8)])
    assert (found.unit, found.units, found.pairs) == ("speaker", 8, 24)
    assert found.ci95 == pytest.approx(tuple(ttest_rel(means, np.zeros(8)).confidence_interval(0.95)))
    assert found.p == pytest.approx(wilcoxon(means).pvalue)
    of_four = {name: f"s{index % 4}" for index, name in enumerate(names)}
    assert measured(values, of_four) == measured(values), "four speakers say nothing of others"
    del of_eight[names[0]]
    assert measured(values, of_eight).unit == "item", "an item without a speaker"


def test_uneven_speakers_count_by_their_items() -> None:
    values = np.array([1.0, 1.0, 1.0, 0.0, 2.0, -1.0, 3.0, 0.5])
    speaker = {f"item-{k:04}": name for k, name in enumerate("aaabcdef")}
    assert measured(values, speaker).difference == pytest.approx(values.mean())


@pytest.mark.parametrize("counts", [[20, 10, 10, 5, 5, 5], [40, *[5] * 5], [60, *[3] * 7]])
def test_intervals_cover_where_one_speaker_has_most_items(counts: list[int]) -> None:
    """The delta method with one degree less than there are speakers covers 92, 81 and 55 % here."""
    rng = np.random.default_rng(11)
    owner = np.repeat(np.arange(len(counts)), counts)
    speaker = {f"item-{index:04}": f"s{who}" for index, who in enumerate(owner)}
    hits = 0
    for _ in range(200):
        found = measured(rng.normal(0, 0.5, len(counts))[owner] + rng.normal(0, 1, len(owner)), speaker)
        assert found.ci95 is not None and found.degrees is not None and found.degrees < len(counts) - 1
        hits += found.ci95[0] <= 0 <= found.ci95[1]
    assert hits >= 182


def test_the_error_of_uneven_units_is_that_of_bell_and_mccaffrey() -> None:
    """CR2 and its degrees by matrices, for a mean of items that vary alike, in clusters of 3, 1, 2, 5, 1 and 4."""
    counts = [3, 1, 2, 5, 1, 4]
    owner = np.repeat(np.arange(len(counts)), counts)
    values = np.random.default_rng(12).normal(size=len(owner))
    found = measured(values, {f"item-{index:04}": f"s{who}" for index, who in enumerate(owner)})
    ones, total = np.ones((len(owner), 1)), len(owner)
    residual_maker = np.eye(total) - ones @ ones.T / total
    rows = []
    for who in range(len(counts)):
        own = np.flatnonzero(owner == who)
        values_of, vectors = np.linalg.eigh(residual_maker[np.ix_(own, own)])
        adjust = vectors @ np.diag(values_of**-0.5) @ vectors.T
        rows.append((ones[own].T @ adjust @ residual_maker[own]).ravel() / total)
    estimates = np.array(rows) @ values
    assert found.error == pytest.approx(math.sqrt((estimates**2).sum()))
    moments = np.array(rows) @ np.array(rows).T
    assert found.degrees == pytest.approx(np.trace(moments) ** 2 / (moments**2).sum())


def test_intervals_by_speaker_cover_and_those_that_ignore_speakers_do_not() -> None:
    rng = np.random.default_rng(7)
    speaker = {f"item-{index:04}": f"s{index // 8}" for index in range(80)}
    ours = ignoring = 0
    for _ in range(120):
        values = np.repeat(rng.normal(0, 0.5, 10), 8) + rng.normal(0, 0.7, 80)
        for found, by_speaker in ((measured(values, speaker), True), (measured(values), False)):
            assert found.ci95 is not None
            hit = found.ci95[0] <= 0 <= found.ci95[1]
            ours, ignoring = ours + (hit and by_speaker), ignoring + (hit and not by_speaker)
    assert ours >= 107
    assert ignoring <= 96


def test_the_detectable_difference_is_found_four_times_of_five() -> None:
    rng = np.random.default_rng(8)
    truth = float(t.ppf(0.975, 23) + t.ppf(0.8, 23)) / math.sqrt(24)
    hits = 0
    for _ in range(300):
        found = measured(rng.normal(truth, 1.0, 24))
        assert found.ci95 is not None
        hits += found.ci95[0] > 0
    assert 0.73 <= hits / 300 <= 0.87


def test_corpus_ratio_is_a_paired_bootstrap_of_sums() -> None:
    rng = np.random.default_rng(9)
    words = rng.integers(3, 25, 50)
    ours, theirs = rng.binomial(words, 0.2), rng.binomial(words, 0.1)

    def difference(a: np.ndarray, b: np.ndarray, n: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(a.sum(axis=axis) / n.sum(axis=axis) - b.sum(axis=axis) / n.sum(axis=axis))

    expected = bootstrap(
        (ours, theirs, words),
        difference,
        n_resamples=RESAMPLES,
        method="BCa",
        paired=True,
        vectorized=True,
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    sides = [
        {f"i{k:02}": (float(e), float(w)) for k, (e, w) in enumerate(zip(side, words, strict=True))}
        for side in (ours, theirs)
    ]
    found = paired_ratio(*sides)
    assert found is not None
    assert found.difference == pytest.approx((ours.sum() - theirs.sum()) / words.sum())
    assert (found.mean, found.baseline_mean) == pytest.approx((ours.sum() / words.sum(), theirs.sum() / words.sum()))
    assert found.ci95 == pytest.approx(tuple(expected), rel=2e-3), "but for ties of the resamples with the estimate"


def test_corpus_ratio_with_other_numbers_of_repeats() -> None:
    ours = {f"i{k}": (2.0, 10.0) for k in range(8)}
    theirs = {f"i{k}": (3.0, 30.0) for k in range(8)}
    found = paired_ratio(ours, theirs)
    assert found is not None and found.difference == pytest.approx(0.2 - 0.1)
    assert paired_ratio({"a": (0.0, 0.0)}, {"a": (0.0, 0.0)}) is None


def test_pairing_finds_what_unpaired_intervals_would_hide() -> None:
    rng = np.random.default_rng(10)
    difficulty = rng.normal(0, 5, size=60)
    found = paired(items(difficulty + 0.3 + rng.normal(0, 0.2, 60)), items(difficulty))
    assert found is not None and found.ci95 is not None and 0.2 < found.ci95[0] < found.ci95[1] < 0.4


def test_same_data_same_figures() -> None:
    values = np.random.default_rng(11).normal(size=45)
    assert measured(values) == measured(values)


def test_percent_change_has_no_base_of_zero() -> None:
    assert percent_change(0.818, 0.732) == pytest.approx(11.749, abs=5e-4)
    assert percent_change(1.0, 0.0) is None
