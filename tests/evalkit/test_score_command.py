"""`evalkit score` against a suite, a baseline and references: nothing that is not there looks well."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from commands import FIXTURES, Call

from evalkit.decisions.scores import open_scores
from evalkit.errors import EvalkitError
from evalkit.pipeline.existing import plan_existing
from evalkit.pipeline.plan import Utterance, utterances
from evalkit.pipeline.references import with_references
from evalkit.suites import load_suite
from evalkit.suites.model import Item

SARAH = FIXTURES / "audio" / "reference" / "sarah"
SUITE = 'name = "{}"\nversion = "{}"\ndescription = "Two."\nlanguage = "en-IN"\nlicence = "CC0-1.0"\n'


def tone(path: Path, pitch: float = 0.1, seconds: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.5 * np.sin(np.arange(int(16000 * seconds)) * pitch), 16000)
    return path


def suite(folder: Path, version: str = "1", name: str = "mine") -> Path:
    folder.mkdir()
    (folder / "suite.toml").write_text(SUITE.format(name, version))
    items = [{"id": name, "text": f"This is {name}."} for name in ("a", "b", "c")]
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return folder


def only(out: Path) -> Path:
    (folder,) = (path for path in out.iterdir() if path.is_dir())
    return folder


def manifest(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text())


def test_an_item_without_a_file_counts_against_the_checkpoint(evalkit: Call, tmp_path: Path) -> None:
    tone(tmp_path / "in" / "b.r0.wav")
    result = evalkit(
        *("score", tmp_path / "in", "--suite", suite(tmp_path / "mine"), "--metrics", "signal,wer"),
        *("--out", tmp_path / "runs"),
    )
    assert result.exit_code == 3 and "1 of 3 utterances could be scored (2 failed)" in result.stderr
    rows = {row["item"]: row for row in open_scores(only(tmp_path / "runs")).rows}
    assert {name: row["status"] for name, row in rows.items()} == {"a": "failed", "b": "ok", "c": "failed"}
    assert rows["a"]["reason"] == "There is no file for a." and rows["a"]["wer"] == 1.0


def test_limit_is_of_the_items_of_the_suite(evalkit: Call, tmp_path: Path) -> None:
    for name in ("c", "a.r0", "a.r1"):
        tone(tmp_path / "in" / f"{name}.wav")
    given = ("score", tmp_path / "in", "--suite", suite(tmp_path / "mine"), "--metrics", "signal", "--limit", 1)
    result = evalkit(*given, "--out", tmp_path / "runs")
    assert result.exit_code == 0, result.output
    assert [row["utterance"] for row in open_scores(only(tmp_path / "runs")).rows] == ["a.r0", "a.r1"]


def test_files_of_no_item_are_named(tmp_path: Path) -> None:
    for name in ("a", "B", "d"):
        tone(tmp_path / "in" / f"{name}.wav")
    with pytest.raises(EvalkitError, match=r"no item called B, d\. Name every file after its item \(a\.wav"):
        plan_existing(tmp_path / "in", load_suite(str(suite(tmp_path / "mine"))).items)


def test_audio_of_a_rare_format_is_not_passed_over(evalkit: Call, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    tone(folder / "a.wav")
    tone(folder / "b.aiff")
    (folder / "c.m4a").write_bytes(b"\0\0\0\x18ftypM4A ")
    (folder / "a.m4a").write_bytes(b"the same sound once more")
    result = evalkit("score", folder, "--metrics", "signal", "--out", tmp_path / "runs")
    assert result.exit_code == 3 and "2 of 3" in result.stderr
    rows = {row["item"]: row for row in open_scores(only(tmp_path / "runs")).rows}
    assert {name: row["status"] for name, row in rows.items()} == {"a": "ok", "b": "ok", "c": "unreadable"}
    assert "c.m4a cannot be read as audio" in rows["c"]["reason"]


def test_a_wav_that_was_cut_short_is_not_scored(evalkit: Call, tmp_path: Path) -> None:
    path = tone(tmp_path / "in" / "a.wav")
    path.write_bytes(path.read_bytes()[:20000])
    result = evalkit("score", tmp_path / "in", "--metrics", "signal", "--out", tmp_path / "runs")
    assert result.exit_code == 3
    (row,) = open_scores(only(tmp_path / "runs")).rows
    assert row["status"] == "unreadable" and "cut short: it announces 32000 bytes of samples" in row["reason"]
    whole = tone(tmp_path / "other" / "a.wav").parent
    result = evalkit("score", whole, "--reference", path, "--metrics", "signal", "--out", tmp_path / "runs")
    assert result.exit_code == 2 and "a.wav: The WAV is cut short" in result.stderr


def test_two_sets_of_audio_are_compared(evalkit: Call, tmp_path: Path) -> None:
    for name, pitch in (("old", 0.1), ("new", 0.2)):
        for item in ("a", "b"):
            tone(tmp_path / name / f"{item}.wav", pitch, 1.0 + pitch)
            (tmp_path / name / f"{item}.txt").write_text(f"Text of {item}.")
    common = ("--metrics", "signal", "--out", tmp_path / "runs")
    assert evalkit("score", tmp_path / "old", *common).exit_code == 0
    old = only(tmp_path / "runs")
    assert (manifest(old)["suite"]["name"], manifest(old)["suite"]["version"]) == ("audio", "-")
    result = evalkit("score", tmp_path / "new", *common, "--baseline", old, "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["baseline"]["columns"]["duration_s"]["difference"] == pytest.approx(0.1)
    assert summary["suite"] is None
    (tmp_path / "new" / "a.txt").write_text("Something else.")
    assert "the suites differ" in evalkit("score", tmp_path / "new", *common, "--baseline", old).stderr


def test_the_suite_stands_in_the_manifest_and_its_version_begins_anew(evalkit: Call, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        tone(tmp_path / "in" / f"{name}.wav")
    first, second = suite(tmp_path / "one"), suite(tmp_path / "two", version="2")
    common = ("score", tmp_path / "in", "--metrics", "signal", "--out", tmp_path / "runs", "--suite")
    assert evalkit(*common, first).exit_code == 0
    folder = only(tmp_path / "runs")
    sha256 = load_suite(str(first)).sha256
    assert manifest(folder)["suite"] == {"name": "mine", "version": "1", "sha256": sha256, "items": 3}
    assert load_suite(str(second)).sha256 == sha256
    refused = evalkit(*common, second, "--baseline", folder)
    assert refused.exit_code == 2 and "the suites differ (mine 2 and mine 1)" in refused.stderr
    assert evalkit(*common, second).exit_code == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2, "another version is another run"


def test_a_clip_is_no_reference_of_itself(evalkit: Call, tmp_path: Path) -> None:
    clips = sorted(SARAH.glob("*.flac"))[:2]
    folder = tmp_path / "in"
    folder.mkdir()
    for clip in clips:
        shutil.copy(clip, folder)
    common = ("--metrics", "speaker_similarity", "--out", tmp_path / "runs")
    together = evalkit("score", folder, "--reference", folder, *common, "--json")
    assert together.exit_code == 0, together.output
    assert together.stderr.count("among the reference clips too") == 1
    (tmp_path / "rows.csv").write_text(f"audio,reference\nin/{clips[0].name},in/{clips[1].name}\n")
    apart = json.loads(evalkit("score", tmp_path / "rows.csv", *common, "--json").stdout)
    value = apart["columns"]["speaker_similarity"]["mean"]
    assert json.loads(together.stdout)["columns"]["speaker_similarity"]["mean"] == pytest.approx(value, abs=1e-4)

    (tmp_path / "own.csv").write_text(f"audio,reference\nin/{clips[0].name},{clips[0]}\n")
    alone = json.loads(evalkit("score", tmp_path / "own.csv", *common, "--json").stdout)
    assert alone["absent"]["speaker_similarity"] == "the clip is its own reference"


def test_what_the_plan_makes_of_references(tmp_path: Path) -> None:
    a, copy, b = (tone(tmp_path / name, pitch) for name, pitch in (("a.wav", 0.1), ("copy.wav", 0.1), ("b.wav", 0.2)))
    (spoken,) = utterances([Item("x", "x", "x", (), ())], 1, 0)
    planned = [spoken, *(Utterance(f.stem, spoken.item, 0, 0, 1.0, source=f) for f in (a, b))]
    (engine, first, second), own = with_references(planned, (copy, b))
    assert engine.references == (copy, b) and first.references == (b,) and second.references == (copy,)
    assert [one.id for one in own] == ["a", "b"]


def test_audio_is_found_from_a_folder_that_is_a_link(evalkit: Call, tmp_path: Path) -> None:
    tone(tmp_path / "v1.5" / "a.wav")
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "runs").symlink_to(tmp_path / "real" / "deep")
    assert evalkit("score", tmp_path / "v1.5", "--metrics", "signal", "--out", tmp_path / "runs").exit_code == 0
    folder = only(tmp_path / "runs")
    (row,) = open_scores(folder).rows
    assert (folder / row["audio"]).is_file()
    assert "-v1.5-audio-" in folder.name and open_scores(folder).name == "v1.5"


def test_a_cell_that_no_csv_reader_takes(evalkit: Call, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"audio,text\na.wav,{'x' * 140000}\n")
    result = evalkit("score", tmp_path / "list.csv", "--out", tmp_path / "runs")
    assert result.exit_code == 2 and "list.csv line 2 cannot be read as a CSV" in result.stderr


def test_a_baseline_with_nothing_to_compare_is_refused(evalkit: Call, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        tone(tmp_path / "in" / f"{name}.wav")
    common = ("score", tmp_path / "in", "--suite", suite(tmp_path / "mine"), "--out", tmp_path / "runs", "--metrics")
    assert evalkit(*common, "signal").exit_code == 0
    baseline = ("--baseline", only(tmp_path / "runs"))
    for more, words in (
        (("signal", *baseline), "is this very run"),
        (("energy", *baseline), "no column that could be compared"),
    ):
        result = evalkit(*common, *more)
        assert result.exit_code == 2 and words in result.stderr, result.output
    assert len(list((tmp_path / "runs").iterdir())) == 1, "it is refused before anything is written"
