"""The choice: the best, what cannot be told from it, the nearest to the default; the front; advice on sampling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evalkit.decisions.intervals import FEWEST
from evalkit.decisions.scores import Meaning, Scores
from evalkit.decisions.sweep.advice import advise, caution
from evalkit.decisions.sweep.axes import Axis
from evalkit.decisions.sweep.choosing import Candidate, choose, pareto
from evalkit.decisions.sweep.evaluating import difference
from evalkit.decisions.sweep.points import Point

AXES = (Axis("alpha", "coefficient", model=0, values=(0.0, 0.5, 1.0, 1.5), default=0.5),)
DEFAULT = Point((0.5,), AXES)


def scores(values: list[float], column: str = "mos") -> Scores:
    rows = [
        {"item": f"i{n}", "utterance": f"i{n}.r0", "status": "ok", "tags": [], "details": {}, column: value}
        for n, value in enumerate(values)
    ]
    return Scores("m", "r", rows, {column: Meaning("", "higher", "m")}, {"share": 1.0})


def candidate(place: float, mean: float, noise: float, seed: int) -> Candidate:
    random = np.random.default_rng(seed)
    return Candidate(Point((place,), AXES), scores(list(mean + noise * random.standard_normal(24))))


def test_a_clear_best_is_chosen_however_far_it_is() -> None:
    points = [candidate(p, m, 0.05, n) for n, (p, m) in enumerate([(0.0, 3.0), (0.5, 3.1), (1.0, 3.2), (1.5, 3.9)])]
    choice = choose(points, "mos", "higher", DEFAULT)
    assert choice is not None and choice.chosen.point.values == (1.5,) and len(choice.alike) == 1


def test_of_those_that_cannot_be_told_apart_the_nearest_to_the_default() -> None:
    points = [candidate(p, m, 0.5, n) for n, (p, m) in enumerate([(0.0, 1.0), (0.5, 3.0), (1.0, 3.02), (1.5, 3.1)])]
    choice = choose(points, "mos", "higher", DEFAULT)
    assert choice is not None and choice.chosen.point.values == (0.5,)
    assert {one.point.values[0] for one in choice.alike} == {0.5, 1.0, 1.5}


def test_of_two_equally_near_the_better() -> None:
    points = [candidate(0.0, 3.0, 0.5, 1), candidate(1.0, 3.05, 0.5, 1)]
    choice = choose(points, "mos", "higher", DEFAULT)
    assert choice is not None and choice.chosen.point.values == (1.0,)


def test_lower_may_be_better() -> None:
    points = [candidate(0.0, 0.1, 0.001, 1), candidate(0.5, 0.5, 0.001, 2)]  # the default is worse, beyond doubt
    choice = choose(points, "mos", "lower", DEFAULT)
    assert choice is not None and choice.chosen.point.values == (0.0,)


def test_without_values_there_is_no_choice() -> None:
    assert choose([candidate(0.0, 1.0, 0.1, 1)], "other", "higher", DEFAULT) is None
    assert choose([], "mos", "higher", DEFAULT) is None


def test_the_front_keeps_what_nothing_beats() -> None:
    better = {"a": "higher", "b": "lower"}
    rows = [
        {"a": 1.0, "b": 0.1},
        {"a": 2.0, "b": 0.2},
        {"a": 1.5, "b": 0.3},  # beaten by the second
        {"a": 2.0, "b": 0.2},  # its equal does not beat it
        {"a": 9.0, "b": None},
    ]
    assert pareto(rows, better) == [True, True, False, True, False]


PUBLISHED = {  # six-speaker LoRA study, DNS-MOS: LoRA of 1000 steps, and the same at T=0.8, top_k=40
    "1": (3.861, 3.739),
    "2": (4.141, 4.048),
    "11614": (3.818, 3.733),
    "1401": (3.385, 3.454),
    "1212": (3.233, 3.461),
    "1259": (3.664, 3.754),
}
COLD, USUAL = {"temperature": 0.8, "top_k": 40}, {"temperature": 1.0, "top_k": 50}


@pytest.mark.parametrize("speaker", PUBLISHED)
def test_advice_says_of_the_published_means_what_the_study_says(speaker: str) -> None:
    usual, cold = PUBLISHED[speaker]
    assert caution(COLD, USUAL) == "conservative"
    advice = advise(COLD, USUAL, (cold, usual), "dnsmos_ovrl", "higher", f"speaker {speaker}")
    assert advice.verdict == ("helps" if speaker in ("1401", "1212", "1259") else "costs")
    assert "as measured" in advice.says and "interval" in advice.says and f"speaker {speaker}" in advice.says
    assert "temperature 0.8, top_k 40 against temperature 1, top_k 50" in advice.says


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [(lambda n: 0.2, "helps"), (lambda n: -0.2, "costs"), (lambda n: 0.5 * (-1) ** n, "cannot tell")],
)
def test_advice_with_an_interval_can_be_that_nobody_can_tell(shift: Callable[[int], float], verdict: str) -> None:
    base = [3.0 + 0.01 * (n % 5) for n in range(24)]
    moved = [value + shift(n) + 0.01 * (n % 3) for n, value in enumerate(base)]
    one, other = scores(moved), scores(base)
    paired = difference(one, other, "mos")
    means = (float(np.mean(moved)), float(np.mean(base)))
    advice = advise(COLD, USUAL, means, "mos", "higher", "this voice", paired)
    assert advice.verdict == verdict and "24 items" in advice.says
    if verdict != "cannot tell":
        worse = advise(COLD, USUAL, means, "mos", "lower", "this voice", paired)
        assert worse.verdict != verdict, "where lower is better, the other way round"


def test_caution_is_about_sampling_alone() -> None:
    assert caution({"temperature": 1.2}, {"temperature": 1.0}) == "bold"
    assert caution({"temperature": 0.8, "top_k": 80}, USUAL) == "mixed"
    assert caution({"temperature": 1, "speed": 0.5}, {"temperature": 1.0, "speed": 1.0}) == "same"


def test_too_few_items_tell_no_two_points_apart_and_advise_nothing() -> None:
    few = [3.0 + 0.001 * n for n in range(FEWEST - 1)]
    best = Candidate(Point((1.5,), AXES), scores([value + 1 for value in few]))
    usual = Candidate(DEFAULT, scores(few))
    choice = choose([best, usual], "mos", "higher", DEFAULT)
    assert choice is not None and choice.best is best and choice.chosen is usual and len(choice.alike) == 2
    paired = difference(best.scores, usual.scores, "mos")
    advice = advise(COLD, USUAL, (4.0, 3.0), "mos", "higher", "this voice", paired)
    assert advice.verdict == "cannot tell" and "no interval" in advice.says
