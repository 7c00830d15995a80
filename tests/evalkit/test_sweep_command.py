"""`evalkit sweep` as it is typed, with a voice that really speaks."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from commands import QUICK, VOICES, Call

from evalkit.decisions.sweep.axes import parse_axes
from evalkit.decisions.sweep.binding import bind
from evalkit.decisions.sweep.evaluating import Evaluator, Records
from evalkit.decisions.sweep.making import Maker
from evalkit.decisions.sweep.points import Point
from evalkit.decisions.sweep.subject import read_subject
from evalkit.engines.tinytts.engine import TinyTTS
from evalkit.pipeline.engine_setup import EngineKeeper
from evalkit.pipeline.job import Options
from evalkit.pipeline.speaking import Speaking

QUICKLY = ("--suite", "smoke", "--limit", 4, "--metrics", QUICK, "--primary", "wada_snr_db", "--quiet")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"base: {VOICES}/base.pth\nlayout: canonical\nmodels:\n  - path: {VOICES}/sarah.pth\n    weight: 0.6\n"
        f"  - path: {VOICES}/sumit.pth\n"
    )
    return path


def test_a_grid_of_two_axes_after_one_option(evalkit: Call, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    result = evalkit("sweep", recipe, *QUICKLY, "--out", out, "--grid", "alpha=0.6:1.0:0.4", "beta=1", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert [point["name"] for point in content["points"]] == ["alpha=0.6 beta=1", "alpha=1 beta=1"]
    assert content["points"][0]["baseline"] and all(point["status"] == "ok" for point in content["points"])
    folder = Path(content["folder"])
    assert folder.parent == out / "sweeps"
    for name in ("sweep.json", "points.csv", "report.html", "recipe.yaml", "winner.pth", "winner.pth.merge.json"):
        assert (folder / name).is_file(), name
    for point in content["points"]:
        assert (folder / point["run"] / "report.html").is_file(), "links of the report lead somewhere"

    # The run of the merged file is the run of the point.
    merged = tmp_path / "merged.pth"
    written = tmp_path / "merged.yaml"
    written.write_text(recipe.read_text().replace("0.6", "1.0"))
    assert evalkit("merge", written, "-o", merged).exit_code == 0
    items = ",".join(content["split"]["dev"])
    run = evalkit("run", merged, "--suite", "smoke", "--items", items, "--metrics", QUICK, "--out", tmp_path / "alone")
    assert run.exit_code == 0, run.output
    (alone,) = (path.name for path in (tmp_path / "alone").iterdir())
    swept = Path(content["points"][1]["run"]).name
    assert alone.rpartition("-")[2] == swept.rpartition("-")[2]

    # Given again, it finds everything.
    stamps = {path: path.stat().st_mtime_ns for path in (out / "sweeps" / "runs").rglob("*.flac")}
    again = evalkit("sweep", recipe, *QUICKLY, "--out", out, "--grid", "alpha=0.6:1.0:0.4", "--grid", "beta=1")
    assert again.exit_code == 0, again.output
    assert {path: path.stat().st_mtime_ns for path in (out / "sweeps" / "runs").rglob("*.flac")} == stamps
    assert "Chosen: alpha=" in again.stdout and "which the choice has not seen" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--grid", "alhpa=0,1"), "did you mean 'alpha'"),
        (("--grid", "alpha=0:1"), "needs a step"),
        (("--grid", "sarah:decodr=0,1"), "did you mean 'decoder'"),
        (("--grid", "set.temprature=0,1"), "did you mean 'temperature'"),
        (("--grid", "set.temperature=0,99"), "from 0"),
        (("--grid", "voice_s=1,2"), "has one voice"),
        ((), "nothing to sweep"),
        (("--grid", "alpha=0,1", "--split", "1.5"), "between 0 and 1"),
        (("--grid", "alpha=0,1", "--split", "0.5", "--no-split"), "contradict"),
        (("--grid", "alpha=0,1", "--items", "nobody"), "Unknown item"),
        (("--grid", "alpha=0,1", "--rules", "nowhere.toml"), "nowhere.toml"),
        (("--grid", "alpha=0,1", "another.pth"), "recipe.yaml and another.pth"),
        (("--search", "tpe", "--axes", "alpha=1..0"), "must rise"),
    ],
)
def test_what_cannot_work_is_one_sentence_before_anything_runs(
    evalkit: Call, recipe: Path, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    result = evalkit("sweep", recipe, *QUICKLY, "--out", tmp_path / "runs", *arguments)
    assert result.exit_code == 2, result.output
    (sentence,) = [line for line in result.stderr.splitlines() if line.startswith("evalkit: ")]
    assert says in sentence
    assert not (tmp_path / "runs").exists()


def test_a_point_that_is_stopped_keeps_its_partial_run(recipe: Path, tmp_path: Path) -> None:
    subject = read_subject(recipe)
    axes = bind(subject, parse_axes(["alpha=0..1"], True), (), None)
    maker, point = Maker(subject, Speaking("smoke"), None), Point((0.5,), axes)
    options = Options(out=tmp_path / "runs", metrics=("energy",))
    stages = [["sm-001"], ["sm-002"], ["sm-003", "sm-004"]]
    told: list[tuple[int, float]] = []

    def stop_after(last: int) -> Any:
        def report(stage: int, value: float) -> bool:
            told.append((stage, value))
            return stage >= last

        return report

    with EngineKeeper() as keeper:
        records = Records(tmp_path / "records.json")
        evaluator = Evaluator(maker, options, records, keeper, TinyTTS.spec, lambda sentence: None)
        found = evaluator.measure_stages("dev", point, stages, "energy_mean_db", stop_after(2))
        assert found.status == "pruned" and "after 2 of 4 items" in found.why and [stage for stage, _ in told] == [1, 2]
        assert found.scores is not None and sorted(found.scores.values("energy_mean_db")) == ["sm-001", "sm-002"]
        again = Evaluator(maker, options, Records(tmp_path / "records.json"), keeper, TinyTTS.spec, lambda s: None)
        known = again.measure_stages("dev", point, stages, "energy_mean_db", stop_after(0))
        assert (known.status, known.run, len(told)) == ("pruned", found.run, 2), "from the records"
        assert known.scores is not None
        assert known.scores.values("energy_mean_db") == found.scores.values("energy_mean_db")
        other = Point((1.0,), axes)
        whole = evaluator.measure_stages("dev", other, stages, "energy_mean_db", stop_after(9))
        assert whole.status == "ok" and whole.scores is not None and len(whole.scores.values("energy_mean_db")) == 4
    maker.close()


def test_a_killed_sweep_goes_on_and_repeats_nothing(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    arguments = ["sweep", recipe, *QUICKLY, "--out", out, "--grid", "alpha=0.6,1.0", "beta=0.5,1", "--json"]
    command = [sys.executable, "-c", "from evalkit.cli.main import main; main()", *map(str, arguments)]
    killed = 0
    for enough in (1, 3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and _recorded(out) < enough:
            time.sleep(0.005)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed == 2
    records = _records(out)
    runs = [record["run"] for record in records.values() if "run" in record]
    stamps = {path: path.stat().st_mtime_ns for run in runs for path in (out / "sweeps/runs" / run).rglob("*.flac")}
    assert stamps
    last = subprocess.run(command, check=True, capture_output=True, text=True)
    content = json.loads(last.stdout)
    assert len(content["points"]) == 4 and all(point["status"] == "ok" for point in content["points"])
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert records.items() <= _records(out).items()


def _records(out: Path) -> dict[str, Any]:
    files = list(out.glob("sweeps/*/records.json"))
    found: dict[str, Any] = json.loads(files[0].read_text()) if files else {}
    return found


def _recorded(out: Path) -> int:
    return len(_records(out))


def test_a_search_without_optuna_says_how_to_get_it(
    evalkit: Call, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evalkit.decisions.sweep import preparing

    monkeypatch.setattr(preparing, "find_spec", lambda name: None)
    result = evalkit("sweep", recipe, "--out", tmp_path, "--search", "tpe", "--axes", "alpha=0..1")
    assert result.exit_code == 2
    assert "pip install 'evalkit[sweep]'" in result.stderr
