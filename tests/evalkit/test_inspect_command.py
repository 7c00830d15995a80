"""`evalkit inspect`: tables for people, JSON for programs, a page for both, and the exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from commands import VOICES, Call

from evalkit.checkpoints import canonical, read_checkpoint, write_checkpoint
from evalkit.merging import fold_adapter, read_adapter

BASE, SARAH, SUMIT = (VOICES / f"{name}.pth" for name in ("base", "sarah", "sumit"))


def test_one_checkpoint_is_described(evalkit: Call) -> None:
    result = evalkit("inspect", SARAH)
    assert result.exit_code == 0
    for said in ("sarah.pth", "tinytts", "weight norm as parametrizations on 11 tensors", "1,632,624", "predictor"):
        assert said in result.stdout


def test_vectors_are_tabulated_by_section_and_layer(evalkit: Call) -> None:
    result = evalkit("inspect", SARAH, SUMIT, "--base", BASE)
    assert result.exit_code == 0
    for said in ("Task vectors from base", "0.157", "0.134", "By section", "decoder.blocks.5", "All come from base"):
        assert said in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 140


def test_layers_can_be_folded_into_sections(evalkit: Call) -> None:
    result = evalkit("inspect", SARAH, SUMIT, "--base", BASE, "--layers", "sections")
    assert "decoder.blocks.5 " not in result.stdout and "By section" in result.stdout


def test_many_layers_fold_by_themselves_unless_all_are_asked_for(evalkit: Call, tmp_path: Path) -> None:
    tensors = {f"net.blocks.{n}.w": torch.randn(20) for n in range(60)}
    paths = [tmp_path / "base.pth", tmp_path / "m.pth"]
    for path in paths:
        write_checkpoint(path, tensors)
    folded = evalkit("inspect", paths[1], "--base", paths[0]).stdout
    assert "net.blocks.59" not in folded and "60 layers are folded" in folded
    assert "net.blocks.59" in evalkit("inspect", paths[1], "--base", paths[0], "--layers", "all").stdout


def test_json_is_strict_and_alone_on_standard_output(evalkit: Call) -> None:
    result = evalkit("inspect", SARAH, SUMIT, "--base", BASE, "--json")
    found = json.loads(result.stdout, parse_constant=pytest.fail)
    assert [checkpoint["name"] for checkpoint in found["checkpoints"]] == ["base", "sarah", "sumit"]
    assert found["vectors"]["base"] == "base" and len(found["vectors"]["layers"]) == 24
    assert found["vectors"]["overall"]["vectors"][0]["relative_norm"] == pytest.approx(0.1575, abs=1e-4)
    assert json.loads(evalkit("inspect", SARAH, "--json").stdout)["vectors"] is None


def test_a_problem_that_was_found_is_no_failure(evalkit: Call, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pth"
    write_checkpoint(broken, {"a.w": torch.tensor([torch.nan, 1.0])})
    result = evalkit("inspect", broken)
    assert result.exit_code == 0 and "problem" in result.stdout


@pytest.mark.parametrize("position", ["alone", "second", "base"])
def test_an_unreadable_checkpoint_is_bad_input(evalkit: Call, tmp_path: Path, position: str) -> None:
    gone = tmp_path / "gone.pth"
    arguments = {"alone": [gone], "second": [SARAH, gone], "base": [SARAH, "--base", gone]}[position]
    result = evalkit("inspect", *arguments)
    assert result.exit_code == 2
    assert result.stderr == f"evalkit: The checkpoint {gone} does not exist; check the path.\n"
    assert result.stdout == ""


def test_the_page_is_written_and_named(evalkit: Call, tmp_path: Path) -> None:
    page = tmp_path / "new" / "vectors.html"
    result = evalkit("inspect", SARAH, SUMIT, "--base", BASE, "--html", page)
    assert result.exit_code == 0 and str(page) in result.stdout
    text = page.read_text()
    assert "decoder.blocks.5" in text and "All come from base" in text


def test_without_a_base_weights_are_compared(evalkit: Call) -> None:
    result = evalkit("inspect", SARAH, SUMIT)
    assert result.exit_code == 0 and "Weights, without a base" in result.stdout and "distance" in result.stdout


def test_control_characters_in_metadata_never_reach_the_terminal(evalkit: Call, tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    torch.save({"net": {"a.w": torch.randn(2)}, "note": "\x1b[31mred\x07 \u202e [bold]x[/bold] \udc80"}, path)
    result = evalkit("inspect", path, "--html", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert not {"\x1b", "\x07", "\u202e"} & set(result.stdout)
    assert "\\x1b[31mred" in result.stdout and "[bold]x[/bold]" in result.stdout
    assert json.loads(evalkit("inspect", path, "--json").stdout)["checkpoints"][0]["extra"]["note"].startswith("\x1b")


def test_an_adapter_is_shown_alone_and_compared_by_what_it_does(evalkit: Call) -> None:
    adapter = VOICES / "sarah-lora-r32"
    alone = json.loads(evalkit("inspect", adapter, "--json").stdout)["checkpoints"][0]
    assert alone["system"] == "LoRA adapter" and alone["name"] == "sarah-lora-r32"
    assert alone["extra"]["rank"] == "32" and alone["extra"]["modules"] == 26 and alone["extra"]["base"] == "base.pth"
    assert all(said["level"] == "ok" for said in alone["judgements"])
    both = ("inspect", adapter, VOICES / "sarah.pth", "--base", VOICES / "base.pth", "--json")
    vectors = json.loads(evalkit(*both).stdout)["vectors"]
    base, tuned = read_checkpoint(VOICES / "base.pth").tensors, read_checkpoint(VOICES / "sarah.pth").tensors
    start, folded = canonical(base).tensors, fold_adapter(base, read_adapter(adapter))
    ends = canonical(tuned).tensors
    keys = [key for key, tensor in start.items() if tensor.is_floating_point()]
    one = torch.cat([(folded[key] - start[key]).flatten() for key in keys]).double()
    other = torch.cat([(ends[key] - start[key]).flatten() for key in keys]).double()
    (pair,) = vectors["overall"]["pairs"]
    assert pair["cosine"] == pytest.approx(float(one @ other / one.norm() / other.norm()), abs=1e-3)
    refused = evalkit("inspect", adapter, VOICES / "sarah.pth")
    assert refused.exit_code == 2 and "is a LoRA adapter" in refused.stderr and "give --base" in refused.stderr
