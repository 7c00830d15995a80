"""`evalkit adapter`: extract and combine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from commands import VOICES, Call

from evalkit.checkpoints import canonical, read_checkpoint
from evalkit.errors import EvalkitError
from evalkit.merging import fold_adapter, read_adapter

BASE = VOICES / "base.pth"


def test_what_is_extracted_is_folded_back(evalkit: Call, tmp_path: Path) -> None:
    """The adapter knows its base, holds most of the change at a high rank, and says what it holds."""
    result = evalkit("adapter", "extract", VOICES / "sarah.pth", "--base", BASE, "-r", 64, "-o", tmp_path / "a")
    assert result.exit_code == 0
    assert "The adapter holds 88.1% of the fine-tune's change" in result.stdout
    assert "lies in 65 tensors that a LoRA cannot hold" in result.stdout
    base, tuned = (canonical(read_checkpoint(path).tensors).tensors for path in (BASE, VOICES / "sarah.pth"))
    folded = fold_adapter(base, read_adapter(tmp_path / "a"))
    left = sum(float((folded[key] - tuned[key]).square().sum()) for key in base if base[key].is_floating_point())
    whole = sum(float((tuned[key] - base[key]).square().sum()) for key in base if base[key].is_floating_point())
    assert 1 - left / whole == pytest.approx(0.881, abs=1e-3)
    arguments = ("--suite", "smoke", "--limit", "1", "--metrics", "signal", "--out", tmp_path / "runs")
    assert evalkit("run", tmp_path / "a", *arguments).exit_code == 0  # on the base that it names


def test_targets_choose_the_layers(evalkit: Call, tmp_path: Path) -> None:
    arguments = ("--base", BASE, "-r", 2, "--target", "to_chunks,to_frames", "--json", "-o", tmp_path / "a")
    found = json.loads(evalkit("adapter", "extract", VOICES / "sarah.pth", *arguments).stdout)
    assert set(found["kept"]) == {"encoder.to_chunks", "decoder.to_frames"}
    assert 0 < found["total"] < 0.1


@pytest.mark.parametrize("method", ["cat", "svd", "ties_svd"])
def test_adapters_are_combined_into_one(evalkit: Call, tmp_path: Path, method: str) -> None:
    adapters = [f"{VOICES / 'sarah-lora-r8'}:0.5", f"{VOICES / 'sarah-lora-r4'}:-0.25"]
    options = ("--set", "density=0.5", "-r", "6") if method == "ties_svd" else ()
    result = evalkit("adapter", "combine", *adapters, "-m", method, *options, "--json", "-o", tmp_path / "a")
    assert result.exit_code == 0
    assert {row["rank"] for row in json.loads(result.stdout).values()} == {6 if method == "ties_svd" else 12}
    if method != "ties_svd":  # exact: base + 0.5 delta_8 - 0.25 delta_4
        base = read_checkpoint(BASE).tensors
        folded = [
            fold_adapter(base, read_adapter(folder))["decoder.start.weight"]
            for folder in (tmp_path / "a", VOICES / "sarah-lora-r8", VOICES / "sarah-lora-r4")
        ]
        start = canonical(base).tensors["decoder.start.weight"]
        expected = start + 0.5 * (folded[1] - start) - 0.25 * (folded[2] - start)
        torch.testing.assert_close(folded[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("extract", VOICES / "sarah.pth", "--base", VOICES / "sarah.pth", "-r", 4), "equals its base"),
        (("extract", VOICES / "sarah.pth", "--base", BASE, "-r", 4, "--target", "to_q"), "is called to_q"),
        (("extract", VOICES / "nobody.pth", "--base", BASE, "-r", 4), "does not exist"),
        (("combine", VOICES / "sarah-lora-r8", "-m", "tis_svd"), "did you mean 'ties'"),
        (("combine", VOICES / "sarah-lora-r8", "-m", "average"), "There is no combination 'average'"),
        (("combine", VOICES / "sarah-lora-r8", "--set", "density=1"), "'svd' has no parameters"),
        (("combine", VOICES / "sarah-lora-r8", VOICES / "sarah-lora-r4", "-m", "linear"), "use 'svd'"),
        (("combine", VOICES / "sarah.pth"), "not a peft adapter folder"),
    ],
)
def test_wrong_arguments_are_one_sentence_and_write_nothing(
    evalkit: Call, tmp_path: Path, arguments: tuple[object, ...], words: str
) -> None:
    result = evalkit("adapter", *arguments, "-o", tmp_path / "a")
    assert result.exit_code == 2, result.output
    assert words in result.stderr and result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_left_alone(evalkit: Call, tmp_path: Path) -> None:
    result = evalkit("adapter", "combine", VOICES / "sarah-lora-r8", "-o", tmp_path)
    assert result.exit_code == 2 and "exists; name a folder that does not" in result.stderr
    result = evalkit("adapter", "combine", VOICES / "sarah-lora-r8", "-o", tmp_path / "no" / "a")
    assert result.exit_code == 2 and "does not exist; make it first" in result.stderr


def named(folder: Path, base: str) -> Path:
    shutil.copytree(VOICES / "sarah-lora-r8", folder)
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": base}))
    return folder


@pytest.mark.parametrize(
    ("bases", "expected"),
    [
        (("a/b", "a/b"), "a/b"),
        (("", "a/b"), "a/b"),
        (("", ""), ""),
        ((str(BASE), ""), None),
        (("a/b", "a/c"), "refused"),
    ],
)
def test_a_combination_has_the_base_of_its_parts(
    evalkit: Call, tmp_path: Path, bases: tuple[str, str], expected: str | None
) -> None:
    parts = [named(tmp_path / str(index), base) for index, base in enumerate(bases)]
    result = evalkit("adapter", "combine", *parts, "-o", tmp_path / "out")
    if expected == "refused":
        assert result.exit_code == 2 and "are of different bases, a/b and a/c" in result.stderr
        return
    assert result.exit_code == 0, result.output
    name = json.loads((tmp_path / "out" / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert name == expected if expected is not None else (tmp_path / "out" / name).resolve() == BASE


def test_an_extraction_that_failed_can_be_repeated(
    evalkit: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("adapter", "extract", VOICES / "sarah.pth", "--base", BASE, "-r", 1, "--target", "to_chunks", "-o")

    def full(*_: object, **__: object) -> None:
        raise EvalkitError("No room left.")

    with monkeypatch.context() as patched:
        patched.setattr("evalkit.merging.lora_write.write_checkpoint", full)
        assert evalkit(*arguments, tmp_path / "out").exit_code == 2
    assert not list(tmp_path.iterdir())
    assert evalkit(*arguments, tmp_path / "out").exit_code == 0
