"""Percentiles, the interval of the median, and what is said of a busy machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evalkit.decisions.statistics import median_interval, percentiles
from evalkit.decisions.summary import add_percentiles
from evalkit.decisions.timing import TIMINGS, before_warnings, timing_block, timing_difference
from evalkit.pipeline.timings import timing_columns

RECORD: dict[str, Any] = {
    "mode": "single",
    "warm_up": 5,
    "cpu": "a processor",
    "cores": 2,
    "threads": {"torch": 1, "torch_interop": 2, "OMP_NUM_THREADS": "1"},
    "device": "cpu",
}
QUIET: dict[str, Any] = {"load": 0.2, "others": 0.01, "spread": 0.05}


def row(
    others: float | None, wall: float, load: float | None = 0.5, start: dict[str, Any] | None = None
) -> dict[str, Any]:
    timing = {"chunks": [], "wall_s": wall, "others": others, "load": load, **({"start": start} if start else {})}
    return {"details": {"timing": timing}}


@pytest.mark.parametrize("n", [1, 9, 10, 19, 20, 99, 100, 257])
def test_percentiles_are_numpys_where_there_are_values_beyond(n: int) -> None:
    values = np.random.default_rng(n).gamma(2.0, size=n)
    found = percentiles(list(values))
    for p in (50, 90, 95, 99):
        if p == 50 or n >= 100 / (100 - p):
            assert found[f"p{p}"] == pytest.approx(np.percentile(values, p), rel=1e-12)
        else:
            assert found[f"p{p}"] is None


def test_interval_of_the_median_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(5)
    truth = float(np.exp(0.0))  # the median of this log-normal distribution; its mean is 1.65
    hits = 0
    for _ in range(60):
        interval = median_interval({str(n): [value] for n, value in enumerate(rng.lognormal(0.0, 1.0, size=40))})
        assert interval is not None
        hits += interval[0] <= truth <= interval[1]
    assert 52 <= hits <= 60


def test_interval_of_the_median_resamples_items_and_not_utterances() -> None:
    values = np.random.default_rng(6).gamma(2.0, size=12)
    once = median_interval({str(n): [value] for n, value in enumerate(values)})
    again = median_interval({str(n): [value] * 9 for n, value in enumerate(values)})
    assert once == again, "nine copies of an item are no more known than one"


def test_interval_of_the_median_takes_items_of_unequal_repeats() -> None:
    items = {"a": [1.0, 1.1], "b": [2.0], "c": [3.0, 3.1, 2.9], "d": [4.0], "e": [2.5], "f": [1.5, 1.6]}
    interval = median_interval(items)
    assert interval is not None and 1.0 <= interval[0] < interval[1] <= 4.0
    assert median_interval({name: items[name] for name in "abcde"}) is None, "of five items nobody can say"


@pytest.mark.parametrize("items", [{}, {"a": [1.0, 2.0]}, {name: [1.0] for name in "abcdefgh"}])
def test_no_interval_where_there_is_none(items: dict[str, list[float]]) -> None:
    assert median_interval(items) is None


def test_percentiles_are_over_utterances_and_missing_values_are_left_out() -> None:
    rows = [{"item": f"i{n % 6}", "total_s": float(n) if n else None} for n in range(11)]
    summaries: dict[str, dict[str, Any]] = {"total_s": {"n": 10}}
    add_percentiles(summaries, rows, {"total_s", "second_chunk_rtf"})
    assert summaries["total_s"]["percentiles"] == {"p50": 5.5, "p90": pytest.approx(9.1), "p95": None, "p99": None}
    low, high = summaries["total_s"]["median_ci95"]
    assert low <= 5.5 <= high and summaries.keys() == {"total_s"}


def test_a_quiet_machine_gets_no_warning() -> None:
    block = timing_block([row(0.02, 1.0, 0.4, QUIET), row(0.03, 2.0, 1.2), row(0.0, 1.0, 0.9)], RECORD)
    assert block["warnings"] == [] and block["starts"] == [QUIET]
    assert block["load"] == {"first": 0.4, "last": 0.9, "highest": 1.2}
    assert block["others"] == pytest.approx((0.02 + 2 * 0.03) / 4)
    assert {key: block[key] for key in RECORD} == RECORD


def test_a_machine_that_gets_busy_later_is_reported() -> None:
    block = timing_block([row(0.0, 1.0, 0.4, QUIET), row(0.5, 3.0, 2.5)], RECORD)
    assert block["others"] == pytest.approx(0.375)
    assert block["warnings"] == [
        "Other processes used 38 % of the CPU while utterances were spoken (load average 2.5): "
        "timings are longer than on a quiet machine."
    ]


def test_ticks_of_short_utterances_are_no_warning() -> None:
    assert timing_block([row(0.9, 0.02), row(0.9, 0.03)], RECORD)["others"] is None
    assert timing_block([row(-0.9, 1.0), row(0.2, 1.0)], RECORD)["others"] == 0.0


def test_every_start_of_an_interrupted_run_counts() -> None:
    busy = {**QUIET, "others": 0.5, "load": 2.0}
    block = timing_block([row(0.0, 1.0, start=QUIET), row(0.0, 1.0, start=busy), row(0.0, 1.0, start=busy)], RECORD)
    assert len(block["starts"]) == 3
    assert (
        len(block["warnings"]) == 1
        and "50 % of the CPU just before the start (load average 2.0)" in block["warnings"][0]
    )


def test_rows_without_timing_and_a_system_that_tells_nothing() -> None:
    block = timing_block(
        [{"details": {}}, row(None, 5.0, None, {"load": None, "others": None, "spread": None})], RECORD
    )
    assert block["load"] is None and block["others"] is None and block["warnings"] == []


def test_more_threads_than_cores_and_unsteady_times_are_said() -> None:
    record = {**RECORD, "threads": {**RECORD["threads"], "torch": 4}, "cores": 1.5}
    threads, spread = before_warnings({**QUIET, "spread": 0.21}, record)
    assert "4 threads on 1.5 core(s)" in threads and "OMP_NUM_THREADS=1 or less" in threads
    assert "21 % of their median apart" in spread
    assert before_warnings({**QUIET, "spread": 0.2, "others": 0.1}, RECORD) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mode": "stream"}, "another mode (single and stream)"),
        ({"device": "a GPU"}, "another device (cpu and a GPU)"),
        ({"cpu": "another"}, "another cpu"),
        ({"cores": 4}, "another cores (2 and 4)"),
        ({"threads": {"torch": 2}}, "another threads (torch 1, "),
        ({"warm_up": 2}, "another warm_up"),
        ({"max_batch": 8}, "another max_batch (None and 8)"),
    ],
)
def test_timings_under_other_conditions_are_not_compared(change: dict[str, Any], words: str) -> None:
    difference = timing_difference(RECORD, {**RECORD, **change})
    assert difference is not None and words in difference


def test_load_makes_timings_no_less_comparable_but_silence_does() -> None:
    assert timing_difference({**RECORD, "load_at_start": 0.1}, {**RECORD, "load_at_start": 3.0}) is None
    assert timing_difference(RECORD, None) is not None and timing_difference(None, RECORD) is not None


def test_every_timing_column_is_guarded() -> None:
    assert {name for mode in ("batch", "single", "stream") for name in timing_columns(mode)} == TIMINGS
    assert "first_chunk_s" not in timing_columns("batch"), "a batch has no first chunk of an utterance"
    assert (
        timing_columns("single")["first_chunk_s"].description != timing_columns("stream")["first_chunk_s"].description
    )
