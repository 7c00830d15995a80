"""The ranking of checkpoints, the one to choose, the Pareto front, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from evalkit.decisions.intervals import FEWEST
from evalkit.decisions.scores import Meaning, Scores
from evalkit.decisions.select.measure import Measure, find_measure, on_items
from evalkit.decisions.select.pareto import front
from evalkit.decisions.select.ranking import names_in_words, rank
from evalkit.errors import EvalkitError
from evalkit.pipeline.judges import choose, columns_of

MOS = Measure("dnsmos_ovrl", "higher", "MOS", 0.1)


def run(name: str, values: Sequence[float], column: str = "dnsmos_ovrl") -> Scores:
    rows = [
        {"item": f"i{n}", "status": "ok", "tags": [], "missing": {}, "details": {}, column: float(value)}
        for n, value in enumerate(values)
    ]
    return Scores(name, name, rows, {column: Meaning("", "higher", "m")}, {})


def runs(means: Mapping[str, float], items: int = 40, noise: float = 0.05) -> dict[str, Scores]:
    random = np.random.default_rng(3)
    hard = random.normal(0, 0.3, items)
    return {name: run(name, mean + hard + random.normal(0, noise, items)) for name, mean in means.items()}


def test_the_best_mean_comes_first_and_a_clear_winner_is_chosen() -> None:
    ranking = rank(runs({"a": 2.5, "b": 3.0, "c": 2.0}), MOS)
    assert ranking.order == ("b", "a", "c")
    assert (ranking.best, ranking.chosen, ranking.alike) == ("b", "b", ())
    assert ranking.to_best["c"]["answer"] == "worse"
    low, high = ranking.to_best["c"]["ci95"]
    assert low < -1 < high < -0.9


def test_of_those_that_cannot_be_told_apart_the_earlier_is_chosen() -> None:
    ranking = rank(runs({"early": 2.995, "late": 3.0, "bad": 2.0}), MOS)
    assert set(ranking.order[:2]) == {"early", "late"}
    assert ranking.chosen == "early"
    assert ranking.alike


def test_too_few_items_to_tell_are_no_reason_to_take_a_worse_mean() -> None:
    few = rank(runs({"early": 2.5, "late": 3.0}, items=8, noise=1.0), replace(MOS, margin=0.02))
    assert few.to_best[few.order[1]]["answer"] == "cannot tell"
    assert few.alike == (few.order[1],)
    assert few.chosen == few.best
    tiny = rank(runs({"early": 2.99, "late": 3.0}, items=3, noise=0.0), MOS)
    assert tiny.chosen in ("early", "late")


def test_of_errors_fewer_come_first() -> None:
    wer = Measure("wer", "lower", "", 0.03)
    found = rank({"a": run("a", [0.5, 0.6] * 10, "wer"), "b": run("b", [0.1, 0.2] * 10, "wer")}, wer)
    assert found.order == ("b", "a")


def test_a_corpus_figure_is_summed_and_not_averaged() -> None:
    def counted(name: str, counts: Sequence[tuple[int, int]]) -> Scores:
        rows = [
            {
                "item": f"i{n}",
                "status": "ok",
                "tags": [],
                "missing": {},
                "wer": errors / words,
                "spoken": "",
                "details": {
                    "wer_errors": errors,
                    "wer_words": words,
                    "substitutions": errors,
                    "deletions": 0,
                    "insertions": 0,
                },
            }
            for n, (errors, words) in enumerate(counts)
        ]
        return Scores(name, name, rows, {"wer": Meaning("", "lower", "wer")}, {})

    measure = Measure("wer_corpus", "lower", "", 0.03)
    one = counted("a", [(1, 1), (0, 99)])
    assert measure.mean(one) == pytest.approx(0.01)
    assert measure.summary(one) == pytest.approx({"mean": 0.01, "ci95": None, "n": 2}) or measure.summary(one)["n"] == 2
    difference = measure.paired(counted("b", [(1, 1), (9, 99)]), one)
    assert difference is not None
    assert difference.difference == pytest.approx(0.09)


def test_the_one_sided_p_agrees_with_the_direction_and_needs_six_items() -> None:
    better, worse = runs({"a": 3.0, "b": 2.9}).values()
    difference = MOS.paired(worse, better)
    assert difference is not None
    assert (MOS.p_worse(difference) or 1) < 0.001
    assert (replace(MOS, better="lower").p_worse(difference) or 0) > 0.999
    few = MOS.paired(on_items(worse, ["i0", "i1"]), better)
    assert few is not None
    assert (few.pairs, MOS.p_worse(few)) == (2, None)


def test_nobody_on_the_front_is_beaten_in_everything() -> None:
    points = {"a": (3.0, 0.1), "b": (2.0, 0.05), "c": (2.5, 0.2), "d": (3.0, 0.1), "e": (None, 0.0)}
    assert front(points, [True, False]) == ["a", "b", "d"]
    assert front({"a": (1.0,), "b": (2.0,)}, [True]) == ["b"]
    assert front({"a": (1.0,), "b": (2.0,)}, [False]) == ["a"]
    assert front({}, [True]) == []


def test_the_primary_may_be_a_column_a_corpus_figure_or_a_metric() -> None:
    choices = choose(("signal", "energy", "pauses"), "auto", "cpu")
    columns = columns_of(choices)
    assert find_measure("pauses", columns, choices, {}, "--primary").column == "silence_ratio"
    assert find_measure("clipping_ratio", columns, choices, {"clipping_ratio": 0.5}, "--primary").margin == 0.5
    for name, says in (
        ("duration_s", "neither more nor less"),
        ("dnsmos_ovrl", "Unknown column 'dnsmos_ovrl'"),
        ("silence_ration", "did you mean 'silence_ratio'"),
    ):
        with pytest.raises(EvalkitError, match=says):
            find_measure(name, columns, choices, {}, "--primary")


def test_names_in_a_sentence() -> None:
    assert [names_in_words(list("abc"[:n])) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


def test_too_few_items_for_an_interval_say_nothing_and_the_best_mean_is_chosen() -> None:
    few = rank(runs({"early": 2.0, "late": 3.0}, items=FEWEST - 1), MOS)
    assert few.to_best["early"]["ci95"] is None and few.to_best["early"]["answer"] == "cannot tell"
    assert (few.alike, few.chosen) == (("early",), "late")
