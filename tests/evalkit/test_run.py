"""A run end to end on a fixture voice, with metrics that need no judge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
from commands import QUICK, Call

from evalkit.runs.log import UtteranceLog
from evalkit.runs.table import read_scores

SUITE = ("--suite", "smoke", "--metrics", QUICK)


def folder_of(out: Path) -> Path:
    (folder,) = (path for path in out.iterdir() if path.is_dir())
    return folder


@pytest.fixture
def finished(evalkit: Call, checkpoint: Path, tmp_path: Path) -> Path:
    result = evalkit("run", checkpoint, *SUITE, "--out", tmp_path / "runs")
    assert result.exit_code == 0, result.output
    return folder_of(tmp_path / "runs")


def test_the_folder_holds_what_the_design_lists(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()} - {".lock"}
    assert names == {
        *("manifest.json", "utterances.jsonl", "scores.parquet", "summary.json", "report.html", "audio"),
        "reference.json",
    }
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["id"] == finished.name
    assert manifest["engine"]["name"] == "tinytts"
    assert len(manifest["checkpoint"]["fingerprint"]) == 64
    assert set(manifest["passports"]) == set(QUICK.split(","))
    assert manifest["suite"]["name"] == "smoke" and manifest["suite"]["items"] == 10
    assert len(list((finished / "audio").glob("*.flac"))) == 10


def test_table_log_and_audio_agree(finished: Path) -> None:
    logged = {row["utterance"]: row for row in UtteranceLog(finished / "utterances.jsonl").rows}
    table = {row["utterance"]: row for row in read_scores(finished / "scores.parquet")}
    assert table.keys() == logged.keys() and len(table) == 10
    for name, row in table.items():
        assert all(logged[name].get(key) == value for key, value in row.items())
        info = soundfile.info(finished / row["audio"])
        assert row["duration_s"] == pytest.approx(info.duration, abs=1e-6)
        assert row["read"] == row["spoken"] and row["rtf"] > 0


def test_summary_is_the_mean_of_the_table(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    rows = read_scores(finished / "scores.parquet")
    for name, column in summary["columns"].items():
        values = [row[name] for row in rows if row[name] is not None]
        assert column["n"] == len(values)
        assert column["mean"] == pytest.approx(sum(values) / len(values))
        if name in ("rtf", "total_s"):
            assert column["ci95"] is None, "the utterances of a batch share one time"
        elif len(set(values)) > 1:
            assert column["ci95"][0] <= column["mean"] <= column["ci95"][1]
        else:
            assert column["ci95"] is None
    assert summary["coverage"]["share"] == 1.0


def test_rerun_makes_nothing_again(evalkit: Call, checkpoint: Path, finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "audio").iterdir()}
    assert evalkit("run", checkpoint, *SUITE, "--out", finished.parent).exit_code == 0
    assert folder_of(finished.parent) == finished
    assert {path: path.stat().st_mtime_ns for path in (finished / "audio").iterdir()} == before


def test_a_moved_checkpoint_is_the_same_run_and_another_seed_is_not(
    evalkit: Call, checkpoint: Path, finished: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere" / checkpoint.name
    moved.parent.mkdir()
    moved.write_bytes(checkpoint.read_bytes())
    reference = checkpoint.parents[1] / "audio" / "reference" / "sarah"
    assert evalkit("run", moved, *SUITE, "--out", finished.parent, "--reference", reference).exit_code == 0
    assert folder_of(finished.parent) == finished
    assert evalkit("run", checkpoint, *SUITE, "--out", finished.parent, "--seed", 1).exit_code == 0
    assert len([path for path in finished.parent.iterdir() if path.is_dir()]) == 2


def test_stored_audio_scores_exactly_as_it_did_in_the_run(evalkit: Call, finished: Path, tmp_path: Path) -> None:
    result = evalkit(
        *("score", finished / "audio", "--suite", "smoke", "--metrics", QUICK, "--out", tmp_path / "scored", "--json")
    )
    assert result.exit_code == 0, result.output
    again = {row["utterance"]: row for row in read_scores(folder_of(tmp_path / "scored") / "scores.parquet")}
    for row in read_scores(finished / "scores.parquet"):
        for column in ("wada_snr_db", "energy_std_db", "duration_s", "silence_ratio"):
            assert again[row["utterance"]][column] == pytest.approx(row[column], abs=1e-4)


def test_settings_and_repeats(evalkit: Call, checkpoint: Path, finished: Path, tmp_path: Path) -> None:
    fast = evalkit(
        *("run", checkpoint, *SUITE, "--out", tmp_path / "fast", "--set", "speed=1.5", "--repeats", 2, "--limit", 3)
    )
    assert fast.exit_code == 0, fast.output
    rows = read_scores(folder_of(tmp_path / "fast") / "scores.parquet")
    usual = {row["utterance"]: row for row in read_scores(finished / "scores.parquet")}
    assert len(rows) == 6 and len({row["seed"] for row in rows}) == 6
    assert all(row["duration_s"] < 0.8 * usual[f"{row['item']}.r0"]["duration_s"] for row in rows)


def test_a_text_the_engine_cannot_read_counts_against_coverage(evalkit: Call, checkpoint: Path, tmp_path: Path) -> None:
    suite = tmp_path / "mixed.jsonl"
    suite.write_text('{"id": "good", "text": "Good morning to you."}\n{"id": "bad", "text": "日本語"}\n')
    result = evalkit("run", checkpoint, "--suite", suite, "--metrics", QUICK, "--out", tmp_path / "runs")
    assert result.exit_code == 3, result.output
    assert "1 of 2" in result.stderr
    rows = {row["item"]: row for row in read_scores(folder_of(tmp_path / "runs") / "scores.parquet")}
    assert rows["good"]["status"] == "ok"
    assert rows["bad"]["status"] == "unknown_symbols" and rows["bad"]["reason"]
    assert rows["bad"]["missing"]["wada_snr_db"] == rows["bad"]["reason"]
    lenient = evalkit(
        *("run", checkpoint, "--suite", suite, "--metrics", QUICK, "--out", tmp_path / "runs", "--min-coverage", 0.5)
    )
    assert lenient.exit_code == 0


def test_baseline_adds_the_paired_difference(evalkit: Call, checkpoint: Path, finished: Path, tmp_path: Path) -> None:
    result = evalkit(
        *("run", checkpoint, *SUITE, "--out", tmp_path / "fast", "--set", "speed=1.5", "--baseline", finished)
    )
    assert result.exit_code == 0, result.output
    block = json.loads((folder_of(tmp_path / "fast") / "summary.json").read_text())["baseline"]
    assert block["run"] == finished.name
    duration = block["columns"]["duration_s"]
    assert duration["pairs"] == 10 and duration["ci95"][1] < 0
    assert duration["difference"] == pytest.approx(duration["mean"] - duration["baseline_mean"])


def test_a_baseline_with_another_passport_or_suite_is_refused(
    evalkit: Call, checkpoint: Path, finished: Path, tmp_path: Path
) -> None:
    manifest = json.loads((finished / "manifest.json").read_text())
    manifest["passports"]["wada_snr"]["version"] = "0"
    (finished / "manifest.json").write_text(json.dumps(manifest))
    other = evalkit("run", checkpoint, *SUITE, "--out", tmp_path / "new", "--baseline", finished)
    assert other.exit_code == 2 and "'wada_snr' differ in version" in other.stderr
    suite = evalkit(
        *(
            "run",
            checkpoint,
            "--suite",
            "general",
            "--metrics",
            QUICK,
            "--out",
            tmp_path / "new",
            "--baseline",
            finished,
        )
    )
    assert suite.exit_code == 2 and "suites differ" in suite.stderr


def test_json_is_the_summary_and_nothing_else(evalkit: Call, checkpoint: Path, finished: Path) -> None:
    result = evalkit("run", checkpoint, *SUITE, "--out", finished.parent, "--json")
    assert json.loads(result.stdout) == json.loads((finished / "summary.json").read_text())


@pytest.mark.parametrize("what", ["suites", "engines", "metrics", "mergers"])
def test_list(evalkit: Call, what: str) -> None:
    rows = json.loads(evalkit("list", what, "--json").stdout)
    assert rows and all(row.keys() == rows[0].keys() for row in rows)
    assert str(next(iter(rows[0].values()))) in evalkit("list", what).stdout


def test_doctor_names_every_check_with_its_state(evalkit: Call) -> None:
    rows = json.loads(evalkit("doctor", "--json").stdout)
    assert {"device", "disk", "engine tinytts", "metric dnsmos"} <= {row["check"] for row in rows}
    assert all(row["to do"] for row in rows if row["state"] not in ("ok", "optional"))
    whisper = next(row for row in rows if row["check"] == "metric wer.whisper")
    assert whisper["state"] == "optional" and "evalkit fetch whisper:base.en" in whisper["finding"]
