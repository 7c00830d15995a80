"""Merging checkpoint files: layout and types of the result, its record, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from merge_recipes import VOICES, canonical, print_of, recipe, voices
from safetensors import safe_open
from safetensors.torch import save_file

from evalkit.checkpoints import CanonicalTensors, fingerprint, read_checkpoint, write_checkpoint
from evalkit.checkpoints.inspection.provenance import METADATA_KEY
from evalkit.errors import EvalkitError
from evalkit.files import sha256_file
from evalkit.merging import fold_adapter, read_adapter
from evalkit.merging.files import MergedFile, merge_files, merge_recipe
from evalkit.merging.recipe import Recipe, make_recipe, read_recipe
from evalkit.merging.record import record_path


def test_one_coefficient_of_one_gives_that_parent_bit_for_bit(tmp_path: Path) -> None:
    """Through the file and through weight norm: what did not change keeps its own magnitude and direction."""
    for name in ("sarah", "sumit"):
        out = tmp_path / f"{name}.pth"
        merge_files(voices({"sarah": float(name == "sarah"), "sumit": float(name == "sumit")}), out)
        assert print_of(out) == print_of(VOICES / f"{name}.pth")
    merge_files(voices({"sarah": 0.0, "sumit": 0.0}), tmp_path / "base.pth")
    assert print_of(tmp_path / "base.pth") == print_of(VOICES / "base.pth")


def test_the_result_has_the_names_nesting_and_types_of_the_base(tmp_path: Path) -> None:
    merge_files(voices(), tmp_path / "merged.pth")
    found, base = read_checkpoint(tmp_path / "merged.pth"), read_checkpoint(VOICES / "base.pth")
    assert found.sections == base.sections and list(found.tensors) == list(base.tensors)
    assert {key: tensor.dtype for key, tensor in found.tensors.items()} == {
        key: tensor.dtype for key, tensor in base.tensors.items()
    }


def test_another_parent_may_lend_its_layout(tmp_path: Path) -> None:
    merge_files(voices(layout="sarah"), tmp_path / "merged.pth")
    assert list(read_checkpoint(tmp_path / "merged.pth").tensors) == list(read_checkpoint(VOICES / "sarah.pth").tensors)
    merge_files(voices(layout="canonical"), tmp_path / "canonical.pth")
    found = read_checkpoint(tmp_path / "canonical.pth")
    assert found.sections == ("encoder", "predictor", "decoder")
    assert not any("weight_g" in key or "parametrizations" in key for key in found.tensors)
    assert {tensor.dtype for tensor in found.tensors.values() if tensor.is_floating_point()} == {torch.float32}
    with pytest.raises(EvalkitError, match="Unknown layout 'sara': did you mean 'sarah'"):
        merge_files(voices(layout="sara"), tmp_path / "x.pth")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_another_type_and_format(tmp_path: Path, dtype: str, suffix: str) -> None:
    merge_files(voices(dtype=dtype), tmp_path / f"merged{suffix}")
    found = read_checkpoint(tmp_path / f"merged{suffix}")
    assert {t.dtype for t in found.tensors.values() if t.is_floating_point()} == {getattr(torch, dtype)}
    reference, _ = merge_recipe(voices())
    tolerance = {"float32": 1e-6, "bfloat16": 1e-2, "float16": 2e-3}[dtype]
    for key, tensor in CanonicalTensors(found.tensors).items():
        torch.testing.assert_close(tensor, reference.tensors[key], rtol=tolerance, atol=tolerance)


def test_what_a_type_cannot_hold_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    for name, value in (("base", 1.0), ("sarah", 9e4), ("sumit", 1.0)):
        write_checkpoint(tmp_path / f"{name}.pth", {"net.w": torch.tensor([value])})
    out = tmp_path / "merged.pth"
    for layout in (None, "canonical"):
        with pytest.raises(EvalkitError, match=r"'net\.w' holds numbers too large for float16; write float32"):
            merge_files(recipe(tmp_path, {"sarah": 1.0, "sumit": 0.0}, dtype="float16", layout=layout), out)
    assert not out.exists() and not record_path(out).exists()


def test_rows_of_zeros_survive_weight_norm(tmp_path: Path) -> None:
    """A channel that is switched off has no direction; 0 / 0 would make the model speak NaN."""
    magnitude, direction = torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    for name, factor in (("base", 1.0), ("sarah", 2.0), ("sumit", 3.0)):
        state = {"net.c.weight_g": magnitude * factor, "net.c.weight_v": direction}
        write_checkpoint(tmp_path / f"{name}.pth", state)
    merge_files(recipe(tmp_path), tmp_path / "merged.pth")
    assert canonical(tmp_path / "merged.pth")["net.c.weight"].tolist() == [[0.0, 0.0], [0.0, pytest.approx(7.2)]]


def test_wrappers_are_restored_and_training_state_is_not(tmp_path: Path) -> None:
    """StyleTTS2: {'net': {...}, 'optimizer': ..., 'epoch': ...}."""
    for name, value in (("base", 1.0), ("sarah", 2.0), ("sumit", 3.0)):
        state = {"decoder": {"module.w": torch.tensor([value])}, "text_encoder": {"module.w": torch.tensor([value])}}
        torch.save({"net": state, "optimizer": {"lr": 1.0}, "epoch": 3}, tmp_path / f"{name}.pth")
    merge_files(recipe(tmp_path), tmp_path / "merged.pth")
    found = torch.load(tmp_path / "merged.pth", weights_only=True)
    assert set(found) == {"net"} and set(found["net"]) == {"decoder", "text_encoder"}
    assert found["net"]["decoder"]["module.w"].item() == pytest.approx(1 + 0.6 + 2)


def test_f5_training_files_merge_their_averaged_weights(tmp_path: Path) -> None:
    def training(value: float) -> dict[str, Any]:
        key = "transformer.transformer_blocks.0.attn.to_q.weight"
        averaged = {
            "initted": torch.tensor(True),
            "step": torch.tensor(9),
            f"ema_model.{key}": torch.full((2, 2), value),
        }
        return {"model_state_dict": {key: torch.zeros(2, 2)}, "ema_model_state_dict": averaged, "update": 5}

    for name, value in (("base", 1.0), ("sarah", 2.0), ("sumit", 3.0)):
        torch.save(training(value), tmp_path / f"{name}.pt")
    merge_files(recipe(tmp_path, suffix=".pt"), tmp_path / "merged.pt")
    found = torch.load(tmp_path / "merged.pt", weights_only=True)["ema_model_state_dict"]
    assert found["ema_model.transformer.transformer_blocks.0.attn.to_q.weight"][0, 0] == pytest.approx(1 + 0.6 + 2)


def hugging_face(folder: Path, value: float) -> Path:
    folder.mkdir()
    tensors = {"model.embed_tokens.weight": torch.full((4, 2), value), "model.norm.weight": torch.ones(2)}
    save_file({key: tensor.bfloat16() for key, tensor in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"neuphonic": {"input_format": "bpe"}}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "training_args.bin").write_bytes(b"a pickle")
    return folder


def test_a_folder_is_merged_into_a_folder_with_its_configuration(tmp_path: Path) -> None:
    """A model without its config.json would be prompted in another way, and nobody would be told."""
    base, one = hugging_face(tmp_path / "base", 1.0), hugging_face(tmp_path / "one", 2.0)
    both = make_recipe({"base": str(base), "models": [{"path": str(one), "weight": 0.5}]}, "")
    for _ in range(2):
        merged = merge_files(both, tmp_path / "merged", overwrite=True)
        assert sorted(path.name for path in merged.path.iterdir()) == [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
        ]
        found = read_checkpoint(merged.path)
        assert found.extra["config.json"]["neuphonic"]["input_format"] == "bpe"
        assert found.tensors["model.embed_tokens.weight"].dtype == torch.bfloat16
        assert found.tensors["model.embed_tokens.weight"][0, 0] == 1.5
        assert not list(tmp_path.glob(".*"))
    with pytest.raises(EvalkitError, match="exists; choose another name"):
        merge_files(both, tmp_path / "merged")
    with pytest.raises(EvalkitError, match="it is one of the parents"):
        merge_files(both, one, overwrite=True)
    merge_files(both, tmp_path / "merged.safetensors")
    assert print_of(tmp_path / "merged.safetensors") == print_of(tmp_path / "merged")
    assert "or has no suffix where the layout is a folder's" in _refusal(voices(), tmp_path / "folder")


def _refusal(wrong: Recipe, out: Path) -> str:
    with pytest.raises(EvalkitError) as raised:
        merge_files(wrong, out)
    return str(raised.value)


def test_tied_tensors_are_written_once(tmp_path: Path) -> None:
    for name, value in (("base", 1.0), ("sarah", 2.0), ("sumit", 3.0)):
        weight = torch.full((64, 64), value)
        torch.save({"embed.weight": weight, "head.weight": weight}, tmp_path / f"{name}.pth")
    for method in ("task_arithmetic", "dare_linear"):
        out = tmp_path / f"{method}.pth"
        merge_files(recipe(tmp_path, method=method), out)
        tensors = read_checkpoint(out).tensors
        assert tensors["embed.weight"].data_ptr() == tensors["head.weight"].data_ptr()
        assert out.stat().st_size < 1.5 * 64 * 64 * 4


def test_the_record_names_the_recipe_the_parents_and_the_result(tmp_path: Path) -> None:
    text = f"# why: names\nbase: {VOICES / 'base.pth'}\nmodels:\n  - path: {VOICES / 'sarah.pth'}  # the voice\n"
    (tmp_path / "recipe.yaml").write_text(text)
    read, verbatim = read_recipe(tmp_path / "recipe.yaml")
    merge_files(read, tmp_path / "merged.pth", verbatim)
    record = json.loads(record_path(tmp_path / "merged.pth").read_text())
    assert record["recipe_text"] == text
    assert record["parents"][1]["sha256"] == sha256_file(VOICES / "sarah.pth")
    assert [parent["name"] for parent in record["parents"]] == ["base", "sarah"]
    assert record["result"]["sha256"] == sha256_file(tmp_path / "merged.pth")
    assert record["counts"]["merged"] == len(record["tensors"]["merged"]) == 100
    merge_files(read, tmp_path / "merged.safetensors", verbatim)
    with safe_open(tmp_path / "merged.safetensors", framework="pt") as file:
        inside = json.loads(file.metadata()[METADATA_KEY])
    assert inside["recipe_text"] == text and inside["parents"] == record["parents"]
    assert not record_path(tmp_path / "merged.safetensors").exists()


def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path) -> None:
    for method in ("task_arithmetic", "dare_ties"):
        files = [tmp_path / f"{method}{index}" / "m.pth" for index in range(2)]
        for file in files:
            file.parent.mkdir()
            merge_files(voices(method=method, seed=5), file)
        assert sha256_file(files[0]) == sha256_file(files[1])


def test_an_adapter_is_a_parent_like_any_other(tmp_path: Path) -> None:
    adapter, base = VOICES / "sarah-lora-r8", VOICES / "base.pth"
    alone = make_recipe({"base": str(base), "models": [{"path": str(adapter)}]}, "")
    merge_files(alone, tmp_path / "folded.pth", None)
    folded = fold_adapter(read_checkpoint(base).tensors, read_adapter(adapter))
    merged, parents = merge_recipe(alone)
    assert fingerprint(merged.tensors) == fingerprint(folded)
    assert set(parents[1]["files"]) == {"adapter_config.json", "adapter_model.safetensors"}
    both = make_recipe({"base": str(base), "models": [{"path": str(adapter)}, {"path": str(VOICES / "sumit.pth")}]}, "")
    sum_of_both, _ = merge_recipe(both)
    start, sumit = canonical(base), canonical(VOICES / "sumit.pth")
    for key in ("encoder.blocks.0.conv.weight", "predictor.to_duration.bias"):
        torch.testing.assert_close(
            sum_of_both.tensors[key], folded[key] + sumit[key] - start[key], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"base": str(VOICES / "sarah-lora-r8")}, "'base' is a LoRA adapter; name the checkpoint"),
        ({"models": [{"path": str(VOICES / "nobody.pth")}]}, r"nobody\.pth does not exist"),
        ({"method": "model_stock", "models": [{"path": str(VOICES / "sarah.pth")}]}, "merges 2 or more parents, not 1"),
        ({"parameters": {"density": 0.5}}, "'task_arithmetic' has no option 'density'"),
        ({"unmatched": "keep:nobody"}, "it takes one of error, base, keep:sarah"),
    ],
)
def test_bad_recipes_write_nothing(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(EvalkitError, match=words):
        merge_files(voices(**fields), tmp_path / "merged.pth")
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_replaced_only_on_request_and_a_parent_never(tmp_path: Path) -> None:
    out = tmp_path / "merged.pth"

    def merged(**arguments: Any) -> MergedFile:
        return merge_files(voices(), out, **arguments)

    merged()
    before = sha256_file(out)
    with pytest.raises(EvalkitError, match="exists; choose another name, or give --force"):
        merged()
    assert sha256_file(out) == before
    merged(overwrite=True)
    (tmp_path / "link.pth").symlink_to(VOICES / "sarah.pth")
    with pytest.raises(EvalkitError, match="it is one of the parents"):
        merge_files(voices(), tmp_path / "link.pth", overwrite=True)


def test_leftovers_of_a_killed_merge_are_removed_and_a_living_one_is_left_alone(tmp_path: Path) -> None:
    import os

    dead, living = tmp_path / f".merged.pth.{2**22 + 1}.ab.tmp", tmp_path / f".merged.pth.{os.getpid()}.cd.tmp"
    for path in (dead, living):
        path.write_bytes(b"half")
    merge_files(voices(), tmp_path / "merged.pth")
    assert not dead.exists() and living.exists()
