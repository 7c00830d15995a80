"""Answers are right as often as they promise, and say what it would take to be surer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from evalkit.decisions.answers import MARGINS, Answer, Better, answer, holm, items_needed, margins_from
from evalkit.decisions.differences import Paired, paired
from evalkit.errors import EvalkitError

MARGIN = 0.1


def measured(differences: np.ndarray, repeats: int = 1, speaker: Mapping[str, str] | None = None) -> Paired:
    names = [f"i{index}" for index in range(len(differences))]
    ours = {name: [float(value)] * repeats for name, value in zip(names, differences, strict=True)}
    found = paired(ours, {name: [0.0] * repeats for name in names}, speaker)
    assert found is not None
    return found


def told(differences: np.ndarray, better: Better = "higher", margin: float | None = MARGIN, tests: int = 1) -> Answer:
    found = measured(differences)
    return answer(found, better, margin, None if found.p_both is None else min(1.0, tests * found.p_both), tests)


def around(mean: float, sd: float, count: int) -> np.ndarray:
    """Values of exactly this mean and standard deviation."""
    values = np.random.default_rng(count).normal(size=count)
    return mean + sd * (values - values.mean()) / values.std(ddof=1)


def test_holm_is_as_published_and_as_in_r() -> None:
    # Holm 1979 by hand; R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") is 0.03 0.06 0.06 0.02.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # R: p.adjust(c(0.5, 0.9, 0.8), "holm") is 1 1 1.
    assert holm([0.5, 0.9, 0.8]) == [1.0, 1.0, 1.0]
    assert holm([0.02, None, 0.01]) == [0.02, None, 0.02], "what was not tested costs nothing"
    assert holm([]) == []


@pytest.mark.parametrize(
    ("values", "better", "verdict"),
    [
        (around(0.5, 0.3, 24), "higher", "better"),
        (around(0.5, 0.3, 24), "lower", "worse"),
        (around(-0.5, 0.3, 24), "higher", "worse"),
        (around(-0.5, 0.3, 24), "lower", "better"),
        (around(0.5, 0.3, 24), "neither", "changed"),
        (around(0.0, 0.1, 24), "higher", "equivalent"),
        (around(0.05, 0.02, 24), "higher", "equivalent"),
        (around(0.1, 0.5, 24), "higher", "cannot tell"),
    ],
)
def test_answers(values: np.ndarray, better: Better, verdict: str) -> None:
    assert told(values, better).verdict == verdict


def test_a_broken_model_is_worse_and_the_same_run_equivalent() -> None:
    assert told(np.full(24, -1.0), tests=14).verdict == "worse"
    assert told(np.full(24, 1.0), "lower", tests=14).verdict == "worse"
    same = told(np.zeros(24), margin=None)
    assert same.verdict == "equivalent" and "12 % of other items" in same.why, "0 of 24 is not 0 for certain"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_up_to_five_items_tell_nothing(count: int, value: float) -> None:
    said = told(np.full(count, value))
    assert said.verdict == "cannot tell" and said.more_items == 6 - count
    assert "too few" in said.why


def test_without_a_margin_nothing_is_equivalent() -> None:
    assert told(around(0.0, 0.001, 24), margin=None).verdict == "cannot tell"


def test_the_test_has_to_agree_with_the_interval() -> None:
    """Four of 24 items lost: their interval excludes 0, and a coin falls like that one time of eight."""
    values = np.zeros(24)
    values[:4] = -1
    said = told(values)
    assert said.verdict == "cannot tell" and "p = 0.12" in said.why


def test_items_that_cancel_within_speakers_are_not_called_the_same() -> None:
    speaker = {f"i{index}": f"s{index // 2}" for index in range(12)}
    found = measured(np.array([1.0, -1.0] * 6), speaker=speaker)
    said = answer(found, "higher", MARGIN, found.p_both)
    assert said.verdict == "equivalent"
    assert "all 6 speakers have the same mean in both, though their items differ" in said.why
    assert "all 12 items have the same value" in told(np.zeros(12)).why


def test_items_on_one_side_only_are_told() -> None:
    ours = {f"i{k}": [1.0 + 0.01 * k] for k in range(24)}
    theirs = {f"i{k}": [0.5] for k in range(26)}
    found = paired(ours, theirs)
    assert found is not None
    assert "2 items have a value on one side only" in answer(found, "higher", MARGIN, found.p).why


def test_holm_decides() -> None:
    values = around(0.25, 0.5, 24)
    assert told(values, tests=1).verdict == "better"
    many = told(values, tests=14)
    assert many.verdict == "cannot tell" and many.more_items is not None
    assert many.more_items > 0


def test_false_alarms_after_holm_over_many_columns() -> None:
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(120):
        found = [measured(rng.normal(size=16)) for _ in range(8)]
        corrected = holm([one.p_both for one in found])
        said = [answer(one, "higher", None, p, 8).verdict for one, p in zip(found, corrected, strict=True)]
        wrong += any(verdict in ("better", "worse") for verdict in said)
    assert wrong / 120 <= 0.09  # 5 % and its 95 % interval


def test_skewed_columns_need_a_mean_that_differs_after_holm_too() -> None:
    """Most items lose a little and some win a lot: the ranks are sure, the mean is not, and the mean is what counts."""
    values = np.concatenate([np.full(34, -0.1) + 0.001 * np.arange(34), [0.5, 0.3]])
    found = measured(values)
    assert found.ci95 is not None and found.ci95[1] < 0
    assert found.p is not None and 14 * found.p < 0.05
    assert found.p_both is not None and found.p_both == found.p_mean and 14 * found.p_both > 0.05
    assert told(values, margin=0.01, tests=14).verdict == "cannot tell"


def test_a_loss_as_large_as_the_margin_is_not_called_equivalent() -> None:
    rng = np.random.default_rng(12)
    said = [told(rng.normal(-MARGIN, 0.12, 24)).verdict for _ in range(600)]
    assert said.count("equivalent") / 600 <= 0.075
    assert said.count("better") == 0


@pytest.mark.parametrize("truth", [0.0, MARGIN])
def test_so_many_more_items_do_tell(truth: float) -> None:
    """New runs with the advised number of items tell four times of five, whatever is true: nothing or the margin."""
    rng = np.random.default_rng(3)
    needed = items_needed(0.16, MARGIN, 5)
    assert 30 <= needed < 40
    said = [told(rng.normal(truth, 0.16, needed), tests=5).verdict for _ in range(200)]
    right = said.count("equivalent" if truth == 0 else "better")
    assert 0.72 <= right / 200 <= 0.97, "after Holm a difference takes more items than equivalence"
    fewer = [told(rng.normal(truth, 0.16, needed // 2), tests=5).verdict for _ in range(200)]
    assert fewer.count("cannot tell") / 200 > 0.3


def test_advice_counts_from_what_was_measured() -> None:
    said = told(around(0.02, 0.3, 24))
    assert said.more_items == items_needed(0.3, MARGIN) - 24
    clear = told(around(0.35, 0.9, 30), tests=14)  # excludes 0: the margin no longer matters
    assert clear.more_items is not None and clear.more_items < items_needed(0.9, MARGIN, 14) - 30


def test_repeats_help_only_against_what_differs_between_repeats() -> None:
    rng = np.random.default_rng(4)
    noisy = {f"i{k}": list(rng.normal(0, 0.6, 2)) for k in range(24)}
    still = {f"i{k}": list(rng.normal(0, 0.6, 2)) for k in range(24)}
    found = paired(noisy, still)
    assert found is not None
    said = answer(found, "higher", MARGIN, found.p)
    assert said.verdict == "cannot tell" and said.more_repeats is not None and said.more_repeats > 2
    between = {f"i{k}": [v, v + 0.001] for k, v in enumerate(rng.normal(0, 0.6, 24))}
    flat = {name: [0.0, 0.001] for name in between}
    found = paired(between, flat)
    assert found is not None
    said = answer(found, "higher", MARGIN, found.p)
    assert said.verdict == "cannot tell" and said.more_items and said.more_repeats is None


def test_repeats_advised_do_tell() -> None:
    """What differs comes from the seeds alone; with the repeats advised the same 24 items tell."""
    rng = np.random.default_rng(5)

    def run(repeats: int) -> Paired:
        sides = [{f"i{k}": list(rng.normal(0, 0.4, repeats)) for k in range(24)} for _ in range(2)]
        found = paired(sides[0], sides[1])
        assert found is not None
        return found

    first = run(2)
    said = answer(first, "higher", MARGIN, first.p)
    assert said.more_repeats is not None
    again = [run(2 + said.more_repeats) for _ in range(60)]
    assert sum(answer(one, "higher", MARGIN, one.p).verdict != "cannot tell" for one in again) >= 39


def test_no_advice_where_speakers_are_too_few() -> None:
    values = around(0.1, 0.5, 24)
    said = answer(found := measured(values, speaker={f"i{k}": f"s{k % 6}" for k in range(24)}), "higher", 0.1, found.p)
    assert said.verdict == "cannot tell" and said.more_items is None and said.more_repeats is None


def test_margins() -> None:
    assert margins_from([]) == MARGINS
    assert margins_from(["dnsmos_ovrl=0.2", " mine = 3"]) == {**MARGINS, "dnsmos_ovrl": 0.2, "mine": 3.0}
    for wrong in ("dnsmos_ovrl", "dnsmos_ovrl=", "dnsmos_ovrl=0", "dnsmos_ovrl=-1", "a=nan", "a=inf", "=0.1"):
        with pytest.raises(EvalkitError, match="COLUMN=NUMBER"):
            margins_from([wrong])
