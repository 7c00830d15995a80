"""`evalkit merge`, and `evalkit run` on recipes and adapters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from commands import VOICES, Call

from evalkit.checkpoints import fingerprint, read_checkpoint, write_checkpoint
from evalkit.merging import fold_adapter, read_adapter
from evalkit.merging.files import merge_recipe
from evalkit.merging.recipe import read_recipe

PARENTS = (f"{VOICES / 'sarah.pth'}:0.6", f"{VOICES / 'sumit.pth'}:1.0")
BASE = ("--base", VOICES / "base.pth")


def print_of(path: Path) -> str:
    return fingerprint(read_checkpoint(path).tensors)


def test_the_command_line_says_what_a_recipe_says(evalkit: Call, tmp_path: Path) -> None:
    text = f"base: {VOICES / 'base.pth'}\nmodels:\n"
    text += f"  - {{path: {VOICES / 'sarah.pth'}, weight: 0.6, layers: {{late: 1}}}}\n"
    text += f"  - {{path: {VOICES / 'sumit.pth'}, layers: {{late: 0}}}}\n"
    (tmp_path / "recipe.yaml").write_text(text)
    assert evalkit("merge", tmp_path / "recipe.yaml", "-o", tmp_path / "a.pth").exit_code == 0
    rules = ("--layers", "sarah:late=1", "--layers", "sumit:late=0")
    result = evalkit("merge", *BASE, *PARENTS, *rules, "-o", tmp_path / "b.pth")
    assert result.exit_code == 0
    assert print_of(tmp_path / "a.pth") == print_of(tmp_path / "b.pth")
    for words in ("sarah 0.6, sumit 1", "sarah 1, sumit 0", "100 tensors merged", "weight norm"):
        assert words in result.stdout


def test_names_and_paths_with_signs_in_them(evalkit: Call, tmp_path: Path) -> None:
    odd = tmp_path / "a=b:c.pth"
    odd.write_bytes((VOICES / "sarah.pth").read_bytes())
    arguments = ("--layers", "voice:decoder=0.5", "--json", "-o", tmp_path / "m.pth")
    result = evalkit("merge", *BASE, f"voice={VOICES / 'sumit.pth'}", odd, *arguments)
    assert result.exit_code == 0
    models = json.loads(result.stdout)["recipe"]["models"]
    assert [(model["name"], model["weight"], model["layers"]) for model in models] == [
        ("voice", None, {"decoder": 0.5}),
        ("a=b:c", None, {}),
    ]


def test_json_is_the_record_and_nothing_else(evalkit: Call, tmp_path: Path) -> None:
    result = evalkit("merge", *BASE, *PARENTS, "-m", "ties", "--set", "density=0.3", "--json", "-o", tmp_path / "m.pth")
    record = json.loads(result.stdout)
    assert record["recipe"]["parameters"] == {"density": 0.3} and record["counts"]["merged"] == 100
    on_disk = json.loads((tmp_path / "m.pth.merge.json").read_text())
    assert {key: value for key, value in on_disk.items() if key != "result"} == record


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*BASE, VOICES / "nobody.pth"), "does not exist"),
        ((*BASE, *PARENTS, "-m", "task_aritmetic"), "did you mean 'task_arithmetic'?"),
        (PARENTS, "needs a base"),
        ((*BASE, *PARENTS, "--set", "rounding=never"), "one of once, each_step"),
        ((*BASE, *PARENTS, "--set", "rounding"), "write it as name=value"),
        ((*BASE, *PARENTS, "--layers", "sarah=1"), "write it as MODEL:PATTERN=WEIGHT"),
        ((*BASE, *PARENTS, "--layers", "sara:late=1"), "there is no model 'sara'; the models are sarah, sumit"),
        ((*BASE, *PARENTS, "--layers", "sarah:decodr=1"), "did you mean 'decoder'"),
        ((*BASE, *PARENTS, "--dtype", "int8"), "wrong at 'dtype'"),
        ((*BASE, *PARENTS, "--unmatched", "sarah"), "it takes one of error, base, keep:sarah, keep:sumit"),
        ((*BASE, *PARENTS, PARENTS[0]), "two models are called 'sarah'"),
        ((VOICES / "sarah-lora-r8",), "'sarah-lora-r8' is a LoRA adapter; name the checkpoint"),
        (("missing.yaml",), "The recipe missing.yaml does not exist"),
        (("missing.yaml", "--seed", "3"), "--seed does not go with a recipe"),
        ((*BASE, *PARENTS, "--no-canonical"), "without a partner"),
    ],
)
def test_wrong_arguments_are_one_sentence_and_write_nothing(
    evalkit: Call, tmp_path: Path, arguments: tuple[object, ...], words: str
) -> None:
    result = evalkit("merge", *arguments, "-o", tmp_path / "merged.pth")
    assert result.exit_code == 2
    assert words in result.stderr and result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("out", ["merged.bin", "merged", "missing/merged.pth"])
def test_outputs_that_cannot_be_written(evalkit: Call, tmp_path: Path, out: str) -> None:
    result = evalkit("merge", *BASE, *PARENTS, "-o", tmp_path / out)
    assert result.exit_code == 2 and f"Cannot write {tmp_path / out}" in result.stderr


def test_an_existing_output_needs_force(evalkit: Call, tmp_path: Path) -> None:
    for force, code in ((False, 0), (False, 2), (True, 0)):
        assert evalkit("merge", *BASE, *PARENTS, "-o", tmp_path / "m.pth", *["--force"] * force).exit_code == code


def test_presets_and_mergers_are_listed(evalkit: Call) -> None:
    presets = json.loads(evalkit("list", "presets", "--json").stdout)
    assert {"checkpoints of": "tinytts", "preset": "prosody", "tensors": "predictor"} in presets
    mergers = {row["method"]: row for row in json.loads(evalkit("list", "mergers", "--json").stdout)}
    assert mergers["slerp"]["parents"] == "2" and mergers["model_stock"]["parents"] == "2 or more"
    assert mergers["ties"]["base"] == "needed" and mergers["linear"]["base"] == "optional"
    assert "density=0.2" in mergers["ties"]["options"]


def test_a_killed_merge_leaves_the_old_file_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    out = tmp_path / "merged.pth"
    out.write_bytes(b"old")
    # Stops where the new file is complete but has no name yet.
    script = (
        "import sys, time; from evalkit.checkpoints import writing\n"
        "writing._sync = lambda path: (print('complete', flush=True), time.sleep(60))\n"
        "from evalkit.cli.main import main; sys.argv[1:] = sys.argv[1:]; main()"
    )
    command = ["merge", *map(str, BASE), *PARENTS, "-o", str(out), "--force"]
    process = subprocess.Popen([sys.executable, "-c", script, *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "complete\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert out.read_bytes() == b"old" and len(list(tmp_path.glob(".*.tmp"))) == 1
    again = [sys.executable, "-c", "from evalkit.cli.main import main; main()", *command]
    assert subprocess.run(again, capture_output=True, check=False).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merged.pth", "merged.pth.merge.json"]


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    script = (
        "import time; from evalkit.checkpoints import writing\n"
        "writing._sync = lambda path: (print('complete', flush=True), time.sleep(60))\n"
        "from evalkit.cli.main import main; main()"
    )
    command = [sys.executable, "-c", script, "merge", *map(str, BASE), *PARENTS, "-o", str(tmp_path / "merged.pth")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "complete\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors.startswith("evalkit: Interrupted.")
    assert not list(tmp_path.iterdir())


def test_a_recipe_is_run_as_the_merged_checkpoint_is(evalkit: Call, tmp_path: Path) -> None:
    """Merged in memory, without a checkpoint on disk; the manifest says of what."""
    (tmp_path / "both.yaml").write_text(
        f"base: {VOICES / 'base.pth'}\nmodels: [{{path: {VOICES / 'sarah.pth'}, weight: 0.6}}, "
        f"{{path: {VOICES / 'sumit.pth'}}}]\n"
    )
    arguments = ("--suite", "smoke", "--limit", "1", "--metrics", "signal", "--out", tmp_path / "runs")
    assert evalkit("run", tmp_path / "both.yaml", *arguments).exit_code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    merged, parents = merge_recipe(read_recipe(tmp_path / "both.yaml")[0])
    assert manifest["checkpoint"]["fingerprint"] == fingerprint(merged.tensors)
    assert manifest["checkpoint"]["merge"]["parents"] == parents
    assert "-both-smoke-" in folder.name


def test_an_adapter_is_run_on_its_base(evalkit: Call, tmp_path: Path) -> None:
    arguments = ("--suite", "smoke", "--limit", "1", "--metrics", "signal", "--out", tmp_path / "runs")
    adapter = VOICES / "sarah-lora-r8"
    assert evalkit("run", adapter, *arguments).exit_code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    folded = fold_adapter(read_checkpoint(VOICES / "base.pth").tensors, read_adapter(adapter))
    assert manifest["checkpoint"]["fingerprint"] == fingerprint(folded)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for file in adapter.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    refused = evalkit("run", moved, *arguments)
    assert refused.exit_code == 2 and "name the base with --base" in refused.stderr
    assert evalkit("run", moved, "--base", VOICES / "base.pth", *arguments).exit_code == 0
    wrong = evalkit("run", VOICES / "sarah.pth", "--base", VOICES / "base.pth", *arguments)
    assert wrong.exit_code == 2 and "is no LoRA adapter" in wrong.stderr


def test_an_adapter_is_run_from_inside_its_folder(
    evalkit: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "." has no name of its own; the run, and the card beside the folder, still do."""
    folder = tmp_path / "voice-v1.0"
    folder.mkdir()
    for file in (VOICES / "sarah-lora-r8").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (tmp_path / "voice-v1.0.toml").write_text('reference = "nowhere/"\n')
    monkeypatch.chdir(folder)
    arguments = ("--base", VOICES / "base.pth", "--suite", "smoke", "--limit", "1", "--metrics", "signal")
    refused = evalkit("run", ".", *arguments, "--out", tmp_path / "runs")
    assert refused.exit_code == 2 and "nowhere" in refused.stderr
    (tmp_path / "voice-v1.0.toml").unlink()
    assert evalkit("run", ".", *arguments, "--out", tmp_path / "runs").exit_code == 0
    assert "-voice-v1.0-smoke-" in next((tmp_path / "runs").iterdir()).name


def test_names_that_look_like_markup_are_shown_as_they_are(evalkit: Call, tmp_path: Path) -> None:
    for name, value in (("base", 1.0), ("on[e]", 2.0)):
        write_checkpoint(tmp_path / f"{name}.pth", {"[/y].w": torch.tensor([value]), "[red]x.w": torch.ones(1)})
    result = evalkit("merge", "--base", tmp_path / "base.pth", tmp_path / "on[e].pth", "-o", tmp_path / "m[b].pth")
    assert result.exit_code == 0, result.output
    assert all(text in result.stdout for text in ("m[b].pth by", "[/y]", "[red]x", "on[e] 1"))


def test_a_coefficient_that_a_hierarchical_merge_would_not_look_at_is_refused(evalkit: Call, tmp_path: Path) -> None:
    arguments = ("-m", "hierarchical", "--layers", "sarah:*=1", "-o", tmp_path / "m.pth")
    result = evalkit("merge", *BASE, f"{VOICES / 'sarah.pth'}:0.3", *arguments)
    assert result.exit_code == 2 and "'sarah' has the coefficient 0.3, but 'hierarchical'" in result.stderr
    assert evalkit("merge", *BASE, VOICES / "sarah.pth", *arguments).exit_code == 0
