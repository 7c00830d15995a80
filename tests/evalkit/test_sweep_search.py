"""Search by optuna: resumed after kills it is the search that nobody interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evalkit.decisions.sweep.axes import Axis
from evalkit.decisions.sweep.points import Point
from evalkit.decisions.sweep.searching import How, Outcome, search

AXES = (
    Axis("alpha", "coefficient", model=0, low=0.0, high=1.5, default=0.6),
    Axis("top_k", "setting", target="top_k", low=10.0, high=80.0, whole=True, default=50),
    Axis("voice", "voice", values=("a.wav", "b.wav"), default="b.wav"),
)
FIRST = Point((0.6, 50, "b.wav"), AXES)

PROGRAM = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_sweep_search import AXES, FIRST, surface, search, Outcome
folder, how, trials = Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def evaluate(point, stop):
    with (folder / "evaluated").open("a") as log:
        log.write(point.name + "\\n")
    for stage in (1, 2):
        time.sleep(0.01)
        if stop(stage, surface(point) + 0.01 * stage):
            return Outcome("pruned")
    return Outcome("ok", (surface(point), point.values[0])[: 2 if how == "nsga2" else 1])

better = ["higher"] * (2 if how == "nsga2" else 1)
points = search(folder / "journal.jsonl", AXES, how, trials, 7, better, FIRST, evaluate)
(folder / "points").write_text("\\n".join(point.name for point in points))
"""


def surface(point: Point) -> float:
    alpha, top_k, voice = point.values
    return -((float(alpha) - 0.9) ** 2) - (float(top_k) / 100 - 0.3) ** 2 + (0.1 if voice == "a.wav" else 0.0)


def run_search(folder: Path, how: How = "tpe", trials: int = 24, prune: bool = True) -> tuple[list[Point], list[str]]:
    statuses: list[str] = []

    def evaluate(point: Point, stop: object) -> Outcome:
        for stage in (1, 2):
            if prune and stop(stage, surface(point) + 0.01 * stage):  # type: ignore[operator]
                statuses.append("pruned")
                return Outcome("pruned")
        statuses.append("ok")
        values = (surface(point), float(point.values[0]))
        return Outcome("ok", values[: 2 if how == "nsga2" else 1])

    better = ["higher"] * (2 if how == "nsga2" else 1)
    return search(folder / "journal.jsonl", AXES, how, trials, 7, better, FIRST, evaluate), statuses


def test_it_begins_with_the_default_stays_in_range_and_finds_the_hill(tmp_path: Path) -> None:
    points, statuses = run_search(tmp_path)
    assert points[0] == FIRST and len(points) == 24
    for point in points:
        assert 0 <= float(point.values[0]) <= 1.5 and point.values[2] in ("a.wav", "b.wav")
        assert isinstance(point.values[1], int) and 10 <= point.values[1] <= 80
    assert len({point.name for point in points}) > 20, "trials with seeds of their own do not repeat each other"
    best = max(points, key=surface)
    assert surface(best) > 0.07
    assert "pruned" in statuses and "ok" in statuses


def test_without_pruning_every_trial_is_whole(tmp_path: Path) -> None:
    _, statuses = run_search(tmp_path, "nsga2", 16)
    assert statuses == ["ok"] * 16


def test_more_trials_go_on_where_fewer_ended(tmp_path: Path) -> None:
    whole, _ = run_search(tmp_path / "whole")
    few, first = run_search(tmp_path / "parts", trials=9)
    more, second = run_search(tmp_path / "parts")
    assert more == whole and few == whole[:9] and len(first) + len(second) == 24


def test_a_seed_gives_one_search(tmp_path: Path) -> None:
    assert run_search(tmp_path / "a", trials=12)[0] == run_search(tmp_path / "b", trials=12)[0]


def test_a_failed_trial_counts_and_the_search_goes_on(tmp_path: Path) -> None:
    outcomes = iter(["failed", *["ok"] * 5])
    points = search(
        tmp_path / "j", AXES, "tpe", 6, 0, ["higher"], None, lambda p, stop: _outcome(next(outcomes), surface(p))
    )
    assert len(points) == 6


def _outcome(status: str, value: float) -> Outcome:
    return Outcome("failed") if status == "failed" else Outcome("ok", (value,))


@pytest.mark.parametrize("torn", [b'{"op_code":5,"wor', b'{"op_code":5,"wor\n'])
def test_a_half_written_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    whole, _ = run_search(tmp_path / "whole", trials=8)
    run_search(tmp_path / "torn", trials=4)
    with (tmp_path / "torn" / "journal.jsonl").open("ab") as file:
        file.write(torn)
    assert run_search(tmp_path / "torn", trials=8)[0] == whole


@pytest.mark.parametrize("how", ["tpe", "nsga2"])
def test_killed_at_any_line_of_its_journal_it_goes_on_with_the_same_trials(tmp_path: Path, how: How) -> None:
    """The journal is cut after every number of lines that a kill may leave: between asking, suggesting and telling."""
    whole, _ = run_search(tmp_path / "whole", how, 8)
    lines = (tmp_path / "whole" / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for count in range(1, len(lines), 3):
        folder = tmp_path / f"cut-{count}"
        folder.mkdir()
        (folder / "journal.jsonl").write_bytes(b"".join(lines[:count]))
        again, _ = run_search(folder, how, 8)
        assert again == whole, f"cut after {count} of {len(lines)} lines"
        states = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
        created = sum(one["op_code"] == 4 for one in states)
        assert created == 8, "no trial is lost or made twice"


def test_a_killed_process_goes_on_and_repeats_only_what_was_in_flight(tmp_path: Path) -> None:
    trials = 14
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)]
    whole = tmp_path / "whole"
    whole.mkdir()
    subprocess.run([*command, str(whole), "tpe", str(trials)], check=True)
    killed = tmp_path / "killed"
    killed.mkdir()
    kills = 0
    for stop_at in (3, 7, 11):
        process = subprocess.Popen([*command, str(killed), "tpe", str(trials)])
        while process.poll() is None and _lines(killed / "evaluated") < stop_at + kills:
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    subprocess.run([*command, str(killed), "tpe", str(trials)], check=True)
    assert kills >= 2
    assert (killed / "points").read_text() == (whole / "points").read_text()
    assert trials <= _lines(killed / "evaluated") <= trials + kills


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
