"""`evalkit run --latency` end to end on a fixture voice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Call
from timed_engines import Clock, Machine, Streaming, Whole, plan, source_of
from typer.testing import CliRunner

from evalkit.decisions.paired import baseline_block
from evalkit.errors import EvalkitError
from evalkit.pipeline.job import Job, Options
from evalkit.pipeline.latency import ONE_CHUNK
from evalkit.pipeline.run import _carry_out
from evalkit.pipeline.timings import timing_columns
from evalkit.runs.folder import RunFolder
from evalkit.runs.log import UtteranceLog
from evalkit.runs.table import read_scores

SUITE = ("--suite", "smoke", "--metrics", "signal")


def only(out: Path) -> RunFolder:
    (folder,) = (path for path in out.iterdir() if path.is_dir())
    return RunFolder(folder)


@pytest.fixture(autouse=True)
def _short_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.pipeline.latency.IDLE_S", 0.02)


@pytest.fixture(scope="module")
def first_run(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from evalkit.cli.main import app

    out = tmp_path_factory.mktemp("latency")
    arguments = ["run", str(checkpoint), *SUITE, "--latency", "--out", str(out)]
    result = CliRunner().invoke(app, arguments, prog_name="evalkit")
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def timed(first_run: Path, tmp_path: Path) -> RunFolder:
    """A copy of the one run, to be changed at will."""
    return only(shutil.copytree(first_run, tmp_path / "timed"))


def test_every_utterance_has_its_timings_and_the_summary_percentiles(timed: RunFolder) -> None:
    rows = read_scores(timed.scores_path)
    assert len(rows) == 10
    sizes = [json.loads(line)["batch"][1] for line in timed.log_path.read_text().splitlines()]
    assert sizes == [8] * 8 + [2] * 2, "metrics work after eight utterances, not between any two"
    for row in rows:
        assert row["first_chunk_s"] == row["total_s"] > 0
        assert row["rtf"] == pytest.approx(row["total_s"] / row["duration_s"], rel=1e-3)
        assert row["details"]["timing"]["wall_s"] >= row["total_s"]
    summary = timed.summary()
    values = sorted(row["total_s"] for row in rows)
    found = summary["columns"]["total_s"]
    assert found["percentiles"]["p50"] == pytest.approx((values[4] + values[5]) / 2)
    assert found["percentiles"]["p90"] is not None and found["percentiles"]["p95"] is None
    assert found["median_ci95"][0] <= found["percentiles"]["p50"] <= found["median_ci95"][1]
    assert "percentiles" not in summary["columns"]["duration_s"]
    assert "second_chunk_rtf" not in summary["columns"] and "second_chunk_rtf" not in summary["absent"]
    assert summary["timing"]["mode"] == "single" and len(summary["timing"]["starts"]) == 1


def test_the_manifest_says_how_and_on_what(timed: RunFolder) -> None:
    timing = timed.manifest()["timing"]
    assert timing["mode"] == "single" and timing["threads"]["torch"] == torch.get_num_threads()
    assert timing["cpu"] and timing["cores"] and timing["device"] == "cpu" and "load_at_start" in timing


def test_table_and_report_show_the_latency(evalkit: Call, checkpoint: Path, timed: RunFolder) -> None:
    shown = evalkit("run", checkpoint, *SUITE, "--latency", "--out", timed.path.parent)
    assert "Latency: each utterance spoken alone (batch 1), not streamed" in shown.stdout and "p90" in shown.stdout
    assert 'id="latency"' in timed.report_path.read_text()


def test_audio_is_that_of_a_run_in_batches_and_its_timings_are_not_compared(
    evalkit: Call, checkpoint: Path, timed: RunFolder, tmp_path: Path
) -> None:
    result = evalkit("run", checkpoint, *SUITE, "--out", tmp_path / "batch", "--baseline", timed.path)
    assert result.exit_code == 0, result.output
    batch = only(tmp_path / "batch")
    assert batch.path.name != timed.path.name, "another identity"
    block = batch.summary()["baseline"]
    assert "duration_s" in block["columns"] and not {"rtf", "total_s"} & block["columns"].keys()
    assert block["omitted"] == dict.fromkeys(
        ("rtf", "total_s"), "the runs were timed with another mode (batch and single)"
    )
    said = " ".join(result.stdout.split())
    assert "rtf, total_s: not compared with the baseline, the runs were timed with another mode" in said
    assert batch.summary()["timing"] is None and "first_chunk_s" not in batch.summary()["columns"]
    lengths = {row["utterance"]: row["duration_s"] for row in read_scores(timed.scores_path)}
    assert {row["utterance"]: row["duration_s"] for row in read_scores(batch.scores_path)} == lengths


def test_runs_that_were_timed_alike_are_compared(
    evalkit: Call, checkpoint: Path, timed: RunFolder, tmp_path: Path
) -> None:
    result = evalkit(
        *("run", checkpoint, *SUITE, "--latency", "--set", "speed=1.5", "--out", tmp_path / "fast"),
        *("--baseline", timed.path),
    )
    assert result.exit_code == 0, result.output
    block = only(tmp_path / "fast").summary()["baseline"]
    assert block["columns"]["first_chunk_s"]["pairs"] == 10 and block["omitted"] == {}


def test_an_interrupted_measurement_goes_on(evalkit: Call, checkpoint: Path, timed: RunFolder) -> None:
    whole: dict[str, Any] = {row["utterance"]: row for row in UtteranceLog(timed.log_path).rows}
    lines = timed.log_path.read_text().splitlines(keepends=True)
    timed.log_path.write_text("".join(lines[:8]))  # the first batch
    timed.summary_path.unlink()
    assert evalkit("run", checkpoint, *SUITE, "--latency", "--out", timed.path.parent).exit_code == 0
    rows = UtteranceLog(timed.log_path).rows
    assert only(timed.path.parent).path == timed.path and len(rows) == 10
    assert all(row == whole[row["utterance"]] for row in rows[:8]), "what was measured is not measured again"
    starts = [number for number, row in enumerate(rows) if "start" in row["details"]["timing"]]
    assert starts == [0, 8] and len(timed.summary()["timing"]["starts"]) == 2


def test_other_threads_are_another_run(
    evalkit: Call, checkpoint: Path, timed: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    result = evalkit("run", checkpoint, *SUITE, "--latency", "--out", timed.path.parent, "--limit", 10)
    assert result.exit_code == 0, result.output
    folders = [path for path in timed.path.parent.iterdir() if path.is_dir()]
    assert len(folders) == 2
    modes = [json.loads((path / "manifest.json").read_text())["timing"]["threads"] for path in folders]
    assert modes[0] != modes[1]


def carried_out(out: Path, engine: Whole, baseline: Path | None = None) -> RunFolder:
    """A whole run of an engine with a clock of its own."""
    planned = plan([f"Sentence number {n}." for n in range(12)])
    source = source_of(engine, planned, Machine(engine.clock), [])
    record = {"checkpoint": None, "engine": None, "voice": None, "repeats": 1, "seed": 0, "device": "cpu"}
    job = Job(
        name="fake",
        suite="fake",
        content={"timing": source.record},
        record={**record, "timing": source.record, "suite": {"name": "fake", "version": "1", "sha256": "0"}},
        stages=(planned,),
        max_batch=8,
        source=source,
        choices=[],
        references=(),
        options=Options(out=out, baseline=baseline),
        timings=timing_columns(source.record["mode"]),
    )
    return _carry_out(job, lambda folder, whole, done: lambda utterances, seconds: None).folder


def test_a_streamed_run_has_every_column_of_a_stream(tmp_path: Path) -> None:
    folder = carried_out(tmp_path, Streaming(Clock()))
    summary = folder.summary()
    means = {name: column["mean"] for name, column in summary["columns"].items()}
    expected = {"first_chunk_s": 0.4, "first_chunk_rtf": 0.8, "second_chunk_rtf": 0.4, "rtf": 0.71, "total_s": 0.71}
    assert means == pytest.approx(expected)
    assert summary["columns"]["second_chunk_rtf"]["percentiles"]["p90"] == pytest.approx(0.4)
    assert summary["timing"]["mode"] == "stream" and summary["timing"]["others"] == 0.0
    assert "spoken alone, streamed" in folder.report_path.read_text()


def test_a_stream_of_one_chunk_says_why_there_is_no_second(tmp_path: Path) -> None:
    folder = carried_out(tmp_path, Streaming(Clock(), chunks=((0.4, 1.0),)))
    assert folder.summary()["absent"] == {"second_chunk_rtf": ONE_CHUNK}
    assert all(row["missing"] == {"second_chunk_rtf": ONE_CHUNK} for row in read_scores(folder.scores_path))


def test_a_stream_is_compared_with_speech_that_was_not_only_with_a_word_about_it(tmp_path: Path) -> None:
    whole = carried_out(tmp_path / "whole", Whole(Clock()))
    again = carried_out(tmp_path / "again", Whole(Clock()), whole.path).summary()["baseline"]
    assert again["notices"] == [] and again["omitted"] == {} and again["columns"]["total_s"]["difference"] == 0.0
    with pytest.raises(EvalkitError, match=r"no column .* \(first_chunk_s, rtf, total_s: the runs were timed with"):
        carried_out(tmp_path / "refused", Streaming(Clock()), whole.path)
    folder = carried_out(tmp_path / "streamed", Streaming(Clock()))
    rows, timed = read_scores(folder.scores_path), timing_columns("stream")
    streamed = baseline_block(rows, timed, whole, folder.manifest())
    assert set(streamed["omitted"]) == {"first_chunk_s", "rtf", "total_s"} and streamed["columns"] == {}
    assert len(streamed["notices"]) == 1 and "streamed its audio and the other did not" in streamed["notices"][0]
