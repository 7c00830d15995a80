"""Everything a user can get wrong: one sentence, the documented exit status, and nothing half-written."""

from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from commands import QUICK, Call


def refused(result: object, *words: str, status: int = 2) -> str:
    """The one sentence of a refusal, checked for its status, its words, and the absence of a traceback."""
    assert result.exit_code == status, result.output  # type: ignore[attr-defined]
    message: str = result.stderr.strip()  # type: ignore[attr-defined]
    assert message.startswith("evalkit: ") and "Traceback" not in message
    assert len(message.splitlines()) == 1, message
    for word in words:
        assert word in message, message
    return message


def changed(source: Path, target: Path, change: Callable[[dict[str, dict[str, torch.Tensor]]], None]) -> Path:
    content = torch.load(source, weights_only=True)
    change(content)
    torch.save(content, target)
    return target


def run(evalkit: Call, checkpoint: Path, out: Path, *more: object) -> object:
    return evalkit("run", checkpoint, "--suite", "smoke", "--metrics", QUICK, "--limit", 2, "--out", out, *more)


def test_nan_weights_are_refused_before_any_synthesis(evalkit: Call, checkpoint: Path, tmp_path: Path) -> None:
    def poison(content: dict[str, dict[str, torch.Tensor]]) -> None:
        next(iter(content["decoder"].values())).view(-1)[0] = float("nan")

    broken = changed(checkpoint, tmp_path / "nan.pth", poison)
    refused(run(evalkit, broken, tmp_path / "runs"), "nan.pth", "NaN", "decoder.")
    assert not (tmp_path / "runs").exists()


def test_another_layout_is_named(evalkit: Call, tmp_path: Path) -> None:
    torch.save({"generator": {"conv.weight": torch.zeros(3)}}, tmp_path / "other.pth")
    refused(run(evalkit, tmp_path / "other.pth", tmp_path / "runs"), "generator", "tinytts")


def test_kokoros_layout_is_recognised_though_no_engine_is_installed(evalkit: Call, tmp_path: Path) -> None:
    sections = ("bert", "bert_encoder", "predictor", "decoder", "text_encoder")
    torch.save({name: {"module.weight": torch.zeros(2)} for name in sections}, tmp_path / "kokoro.pth")
    refused(run(evalkit, tmp_path / "kokoro.pth", tmp_path / "runs"), "Kokoro")


def test_a_missing_tensor_is_an_error_not_a_random_layer(evalkit: Call, checkpoint: Path, tmp_path: Path) -> None:
    dropped: list[str] = []

    def drop(content: dict[str, dict[str, torch.Tensor]]) -> None:
        dropped.append(list(content["decoder"])[-1])
        del content["decoder"][dropped[0]]

    partial = changed(checkpoint, tmp_path / "partial.pth", drop)
    refused(run(evalkit, partial, tmp_path / "runs"), dropped[0])


def test_truncated_file(evalkit: Call, checkpoint: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pth"
    cut.write_bytes(checkpoint.read_bytes()[:100_000])
    refused(run(evalkit, cut, tmp_path / "runs"), "cut.pth")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_file_that_is_no_checkpoint(evalkit: Call, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "text.pth").write_bytes(content)
    refused(run(evalkit, tmp_path / "text.pth", tmp_path / "runs"), "text.pth")


def test_missing_file(evalkit: Call, tmp_path: Path) -> None:
    refused(run(evalkit, tmp_path / "nowhere.pth", tmp_path / "runs"), "nowhere.pth")


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def test_a_pickle_that_would_run_code_is_refused_and_its_global_named(evalkit: Call, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    with zipfile.ZipFile(tmp_path / "evil.pth", "w") as archive:
        archive.writestr("evil/data.pkl", pickle.dumps({"decoder": Malicious(marker)}, protocol=2))
        archive.writestr("evil/version", "3\n")
    (tmp_path / "legacy.pth").write_bytes(pickle.dumps({"decoder": Malicious(marker)}, protocol=2))
    for name in ("evil.pth", "legacy.pth"):
        refused(run(evalkit, tmp_path / name, tmp_path / "runs"), "system")
    assert not marker.exists()


def test_empty_suite_and_duplicate_id(evalkit: Call, checkpoint: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    refused(evalkit("run", checkpoint, "--suite", empty, "--out", tmp_path / "runs"), "empty.jsonl")
    double = tmp_path / "double.jsonl"
    double.write_text('{"id": "a", "text": "One."}\n{"id": "a", "text": "Two."}\n')
    refused(evalkit("run", checkpoint, "--suite", double, "--out", tmp_path / "runs"), "double.jsonl", "'a'")


def test_a_reference_clip_of_silence(evalkit: Call, checkpoint: Path, tmp_path: Path) -> None:
    silence = tmp_path / "silence.wav"
    soundfile.write(silence, np.zeros(32000, dtype=np.float32), 16000)
    refused(run(evalkit, checkpoint, tmp_path / "runs", "--reference", silence), "silence.wav", "silent")
    assert not (tmp_path / "runs").exists()


def test_a_reference_that_is_not_there_or_no_audio(evalkit: Call, checkpoint: Path, tmp_path: Path) -> None:
    refused(run(evalkit, checkpoint, tmp_path / "runs", "--reference", tmp_path / "gone.wav"), "gone.wav")
    (tmp_path / "notes.wav").write_text("not audio")
    refused(run(evalkit, checkpoint, tmp_path / "runs", "--reference", tmp_path / "notes.wav"), "notes.wav")
    (tmp_path / "clips").mkdir()
    refused(run(evalkit, checkpoint, tmp_path / "runs", "--reference", tmp_path / "clips"), "clips")


def test_a_folder_that_cannot_be_written(evalkit: Call, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    refused(run(evalkit, checkpoint, tmp_path / "file"), "file")
    refused(run(evalkit, checkpoint, tmp_path / "file" / "runs"), "file/runs")
    refused(run(evalkit, checkpoint, Path("/proc/evalkit-runs")), "/proc/evalkit-runs")


def test_a_full_disk_keeps_what_is_stored_and_the_rerun_goes_on(checkpoint: Path, tmp_path: Path) -> None:
    """A limit on file size stands in for the full disk: the kernel refuses the write in the same place."""
    command = [sys.executable, "-c", "from evalkit.cli.main import main; main()", "run", str(checkpoint)]
    command += ["--suite", "smoke", "--metrics", QUICK, "--limit", "2", "--out", str(tmp_path / "runs")]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, resource.RLIM_INFINITY))

    full = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)
    assert full.returncode == 2, full.stderr
    assert "No room left" in full.stderr and "Traceback" not in full.stderr
    assert not list(tmp_path.rglob(".*.flac.*")), "no part of a file is left behind"
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--suite", "smok"), ("smok", "did you mean 'smoke'")),
        (("--engine", "tinyts"), ("did you mean 'tinytts'",)),
        (("--metrics", "dnsmoss"), ("did you mean 'dnsmos'",)),
        (("--set", "sped=1"), ("did you mean 'speed'",)),
        (("--set", "speed"), ("name=value",)),
        (("--set", "speed=fast"), ("speed=fast",)),
        (("--set", "speed=99"), ("speed=99",)),
        (("--set", "speed=nan"), ("speed=nan",)),
        (("--device", "tpu9"), ("tpu9",)),
        (("--items", "zzz"), ("zzz",)),
        (("--baseline", "nowhere"), ("nowhere", "manifest.json")),
        (("--judges", "standard", "--metrics", "wer"), ("standard", "wer")),
    ],
)
def test_wrong_arguments(
    evalkit: Call, checkpoint: Path, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    base = ["run", checkpoint, "--out", tmp_path / "runs"]
    if "--suite" not in arguments:
        base += ["--suite", "smoke"]
    if "--metrics" not in arguments:
        base += ["--metrics", QUICK]
    refused(evalkit(*base, *arguments), *words)


def test_usage_errors_exit_with_2(evalkit: Call) -> None:
    assert evalkit("run").exit_code == 2
    assert evalkit("rnu").exit_code == 2
    assert evalkit("run", "x.pth", "--limit", 0).exit_code == 2
