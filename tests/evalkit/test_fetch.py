"""`evalkit fetch`."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Call
from weights_judges import publish_whisper

from metrics.weights import catalogue, require


@pytest.fixture(autouse=True)
def judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("EVALKIT_JUDGES", str(tmp_path / "judges"))
    monkeypatch.delenv("EVALKIT_JUDGES_LOCK", raising=False)
    yield tmp_path / "judges"
    catalogue.package_table.cache_clear()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the files of wespeaker:resnet34-lm."""
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "avg_model.pt").write_bytes(b"model")
    (folder / "config.yaml").write_text("model: ResNet34\n")
    return folder


def test_fetch_list_and_fetch_again(evalkit: Call, copy: Path, judges: Path) -> None:
    result = evalkit("fetch", "wespeaker:resnet34-lm", "--from", copy, "--json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert row["judge"] == "wespeaker:resnet34-lm"
    assert row["state"] == "fetched"
    assert row["path"] == str(judges / "wespeaker" / "resnet34-lm")
    assert row["sha256"] == dict(require("wespeaker", "resnet34-lm").sha256)
    again = evalkit("fetch", "wespeaker:resnet34-lm", "--offline", "--json")
    assert json.loads(again.stdout)[0]["state"] == "present"
    listed = {row["judge"]: row for row in json.loads(evalkit("fetch", "--list", "--json").stdout)}
    assert listed["wespeaker:resnet34-lm"]["here"] == "yes"
    assert listed["wespeaker:resnet221-lm"]["here"] == "no"
    assert listed["wav2vec2:lv-60-espeak"]["source"] == "https://huggingface.co/facebook/wav2vec2-lv-60-espeak-cv-ft"


def test_the_table_names_the_judge_and_its_state(evalkit: Call, copy: Path) -> None:
    result = evalkit("fetch", "wespeaker:resnet34-lm", "--from", copy)
    assert "wespeaker:resnet34-lm" in result.stdout
    assert "fetched" in result.stdout
    assert "wespeaker:resnet34-lm" in evalkit("fetch", "--list").stdout


def test_a_lock_file_is_written_and_checked(
    evalkit: Call, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "repository" / "judges.lock"
    assert evalkit("fetch", "wespeaker:resnet34-lm", "--from", copy, "--lock", lock).exit_code == 0
    assert list(json.loads(lock.read_text())["judges"]) == ["wespeaker:resnet34-lm"]
    monkeypatch.setenv("EVALKIT_JUDGES", str(tmp_path / "another machine"))
    (copy / "avg_model.pt").write_bytes(b"other")
    result = evalkit("fetch", "wespeaker:resnet34-lm", "--from", copy, "--lock", lock)
    assert result.exit_code == 2
    assert "it was removed and is not used" in result.stderr
    listed = json.loads(evalkit("fetch", "--list", "--json", "--lock", lock).stdout)
    assert {row["judge"]: row["here"] for row in listed}["wespeaker:resnet34-lm"] == "no"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Name a judge, such as whisper:base.en; evalkit fetch --list"),
        (("wespeaker:resnet34-lmm",), "did you mean 'wespeaker:resnet34-lm'"),
        (("wespeaker:resnet34-lm", "--offline"), "--offline forbids to download it"),
        (("wespeaker:resnet34-lm", "--from", "gopher://x"), "only http, https and paths on this disk will do"),
        (
            ("wespeaker:resnet34-lm", "--from", "http://127.0.0.1:9/judges"),
            "Cannot reach http://127.0.0.1:9/judges/wesp",
        ),
        (("wespeaker:resnet34-lm", "--from", "missing"), "there is no such file or folder"),
    ],
)
def test_one_sentence_and_status_2(evalkit: Call, arguments: tuple[str, ...], message: str) -> None:
    result = evalkit("fetch", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_typing_error_costs_no_download(evalkit: Call, copy: Path, judges: Path) -> None:
    result = evalkit("fetch", "wespeaker:resnet34-lm", "wespeaker:nothing", "--from", copy)
    assert result.exit_code == 2
    assert not judges.exists()


def test_wrong_bytes(evalkit: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_whisper(monkeypatch, tmp_path, b"the right weights", "https://example.org")
    wrong = tmp_path / "tiny.en.pt"
    wrong.write_bytes(b"the wrong weights")
    result = evalkit("fetch", "whisper:tiny.en", "--from", wrong)
    assert result.exit_code == 2
    assert "is the one published by its makers; it was removed and is not used" in result.stderr
    wrong.write_bytes(b"the right weights")
    assert evalkit("fetch", "whisper:tiny.en", "--from", wrong).exit_code == 0


def test_a_full_disk(evalkit: Call, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("metrics.weights.sources.os.fsync", full)
    result = evalkit("fetch", "wespeaker:resnet34-lm", "--from", copy)
    assert result.exit_code == 2
    assert "No room left to write" in result.stderr


def test_run_and_its_modules_do_not_import_the_downloader() -> None:
    import subprocess
    import sys

    script = (
        "import sys, evalkit.cli.main, evalkit.cli.run, metrics.weights\n"
        "print([name for name in sys.modules if name in ('metrics.weights.download', 'metrics.weights.fetch',"
        " 'huggingface_hub', 'urllib.request')])\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
