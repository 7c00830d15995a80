"""The history: right answers out of 10,000 runs by one query, and never lost in silence."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from commands import Call
from made_nights import Site, made_run

from evalkit.errors import EvalkitError
from evalkit.nightly.history import History
from evalkit.nightly.nights import Night, Nights

START = datetime(2026, 1, 1, 2, 0, tzinfo=UTC)


def made_night(number: int, models: int, columns: int = 2) -> Night:
    """Model m has means m + number / 1000; model 0 is blocked every tenth night; the judge changes with night 300."""
    jobs = [
        {
            "key": f"m{model}",
            "label": f"model {model}",
            "suite": "smoke",
            "engine": "tinytts",
            "state": "done",
            "run": f"run-{number}-{model}",
            "verdict": "blocked" if model == 0 and number % 10 == 0 else "pass",
            "fingerprint": "f",
            "coverage": {"share": 1.0},
            "columns": {
                f"column_{place}": {
                    **{"unit": "MOS", "better": "higher", "metric": "m", "n": 24, "min": 0.0, "max": 9.0},
                    "mean": model + number / 1000,
                    "ci95": None if place else [model + number / 1000 - 1, model + number / 1000 + 1],
                    "passport": "a" if number < 300 else "b",
                }
                for place in range(columns)
            },
        }
        for model in range(models)
    ]
    label = f"n{number:04d}" if number % 2 else f"x{number:04d}"  # names do not say what came first
    return {"night": label, "started": (START + timedelta(days=number)).isoformat(), "ended": "x", "jobs": jobs}


def test_the_index_of_10000_runs_is_right_and_is_one_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(tmp_path)
    history.rebuild(made_night(number, 20) for number in range(500))
    queries: list[str] = []
    connect = duckdb.connect

    class Counted:
        def __init__(self) -> None:
            self._connection = connect()

        def execute(self, query: str, *values: Any) -> Any:
            queries.append(query)
            return self._connection.execute(query, *values)

        def __enter__(self) -> Counted:
            return self

        def __exit__(self, *error: object) -> None:
            self._connection.close()

    monkeypatch.setattr(duckdb, "connect", Counted)
    found = history.index(trend=60)
    assert len(queries) == 1
    assert len(found["nights"]) == 500 and len(found["series"]) == 20 * 2
    assert found["nights"][0] == {
        **{"night": "n0499", "began": (START + timedelta(days=499)).replace(tzinfo=None)},
        **{"jobs": 20, "failed": 0, "blocked": 0},
    }
    assert [night["blocked"] for night in found["nights"]] == [int(n % 10 == 0) for n in reversed(range(500))]
    series = {(one["key"], one["column"]): one for one in found["series"]}
    one = series["m7", "column_0"]
    assert one["nights"] == 500 and one["unit"] == "MOS" and one["better"] == "higher"
    assert [point["mean"] for point in one["points"]] == pytest.approx([7 + n / 1000 for n in range(440, 500)])
    last = one["points"][-1]
    assert (last["run"], last["night"], last["passport"]) == ("run-499-7", "n0499", "b")
    assert (last["low"], last["high"]) == (pytest.approx(6.499), pytest.approx(8.499))
    assert series["m7", "column_1"]["points"][-1]["low"] is None


def test_a_night_that_is_done_again_replaces_its_rows_and_no_others(tmp_path: Path) -> None:
    history = History(tmp_path)
    for number in range(3):
        history.replace_night(made_night(number, 2))
    again = made_night(1, 1)
    again["jobs"][0]["columns"]["column_0"]["mean"] = 42.0
    history.replace_night(again)
    rows = [
        (row["night"], row["key"], row["mean"])
        for row in history.index()["series"][0]["points"]
        for row in [{**row, "key": "m0"}]
    ]
    assert [mean for _, _, mean in rows] == [0.0, 42.0, 0.002]
    assert [(one["night"], one["jobs"]) for one in history.index()["nights"]] == [
        ("x0002", 2),
        ("n0001", 1),
        ("x0000", 2),
    ]


def test_a_failed_job_is_in_the_history_without_a_figure(tmp_path: Path) -> None:
    night = made_night(0, 2)
    night["jobs"][1] = {
        "key": "m1",
        "label": "model 1",
        "suite": "smoke",
        "engine": "",
        "state": "failed",
        "reason": "x",
    }
    history = History(tmp_path)
    history.replace_night(night)
    found = history.index()
    assert found["nights"][0] | {"began": None} == {
        "night": "x0000",
        "began": None,
        "jobs": 2,
        "failed": 1,
        "blocked": 1,
    }
    assert {one["key"] for one in found["series"]} == {"m0"}
    assert [(one["key"], one["state"]) for one in history.runs()] == [("m0", "done"), ("m1", "failed")]
    assert history.runs(but="x0000") == []


def test_a_damaged_file_is_an_error_that_says_how_to_mend_it(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.path.write_bytes(b"PAR1 and nothing else")
    for ask in (history.index, history.runs, lambda: history.replace_night(made_night(0, 1))):
        with pytest.raises(EvalkitError, match="--rebuild"):
            ask()
    assert history.path.read_bytes() == b"PAR1 and nothing else"


@pytest.fixture
def site(tmp_path: Path, evalkit: Call, monkeypatch: pytest.MonkeyPatch) -> Site:
    """After two nights."""
    monkeypatch.setattr("evalkit.pipeline.run.run_checkpoint", made_run)
    made = Site(tmp_path)
    evalkit("nightly", made.config, "--night", "one")
    made.checkpoint("sarah", seed=1)
    evalkit("nightly", made.config, "--night", "two")
    return made


def rows(site: Site) -> list[dict[str, Any]]:
    return [
        row
        for key in sorted({one["key"] for one in site.night("one")["jobs"]})
        for row in History(site.out).series(key)
    ]


def test_rebuilt_it_is_the_same(site: Site, evalkit: Call) -> None:
    before, index = rows(site), site.page("index.html")
    (site.out / "history.parquet").unlink()
    (site.out / "index.html").unlink()
    result = evalkit("nightly", site.config, "--rebuild", "--json")
    assert json.loads(result.stdout)["nights"] == 2, result.output
    assert rows(site) == before and len(before) == 2 * 2 * 3
    assert site.page("index.html") == index


@pytest.mark.parametrize("damage", ["missing", "damaged", "older"])
def test_the_next_night_mends_a_lost_history_and_says_so(site: Site, evalkit: Call, damage: str) -> None:
    path = site.out / "history.parquet"
    before = rows(site)
    if damage == "missing":
        path.unlink()
    elif damage == "damaged":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        History(site.out).rebuild([site.night("one")])
    result = evalkit("nightly", site.config, "--night", "three")
    assert result.exit_code == 0 and "it was made again from 3 nights" in result.output
    assert "it was made again" in site.page("nights/three.html")
    assert [row for row in rows(site) if row["night"] != "three"] == before
    assert site.entry("three")["last"]["night"] == "two"


def test_a_damaged_night_is_named_and_the_others_are_kept(site: Site, evalkit: Call) -> None:
    Nights(site.out).path("one").write_text("{")
    (site.out / "history.parquet").unlink()
    result = evalkit("nightly", site.config, "--rebuild")
    assert result.exit_code == 0 and "one.json cannot be read" in result.output
    assert {row["night"] for row in rows_of_two(site)} == {"two"}


def rows_of_two(site: Site) -> list[dict[str, Any]]:
    return [row for one in site.night("two")["jobs"] for row in History(site.out).series(one["key"])]


def test_there_is_nothing_to_rebuild_from_nothing(evalkit: Call, tmp_path: Path) -> None:
    result = evalkit("nightly", Site(tmp_path).config, "--rebuild")
    assert result.exit_code == 2 and "There is no finished night" in result.output
