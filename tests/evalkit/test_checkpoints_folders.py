"""Folders: one file of weights, shards with an index, links as model caches make them, and what is no checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from evalkit.checkpoints import read_checkpoint
from evalkit.errors import EvalkitError

WEIGHTS = {"model.embed.weight": torch.randn(4, 3), "model.layers.0.w": torch.randn(2), "lm_head.weight": torch.ones(5)}


def write(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    if path.suffix == ".safetensors":
        save_file(dict(tensors), path, metadata={"format": "pt"})
    else:
        torch.save(dict(tensors), path)
    return path


def write_shards(folder: Path, index: str = "model.safetensors.index.json") -> None:
    """A shard for each of WEIGHTS, and their index."""
    stem, suffix = index.removesuffix(".index.json").split(".")
    places = {}
    for number, (key, tensor) in enumerate(WEIGHTS.items(), start=1):
        places[key] = f"{stem}-{number:05}-of-{len(WEIGHTS):05}.{suffix}"
        write(folder / places[key], {key: tensor})
    (folder / index).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))


def refusal(folder: Path) -> str:
    with pytest.raises(EvalkitError) as raised:
        read_checkpoint(folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def same(tensors: Mapping[str, Tensor]) -> bool:
    return tensors.keys() == WEIGHTS.keys() and all(torch.equal(tensors[key], WEIGHTS[key]) for key in WEIGHTS)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "pytorch_model.bin", "mine.safetensors", "kokoro.pth", "last.ckpt"]
)
def test_the_only_file_of_weights_is_read(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, WEIGHTS)
    for other in ("training_args.bin", "README.md", "voice.npy"):
        (tmp_path / other).write_bytes(b"x")
    checkpoint = read_checkpoint(tmp_path)
    assert same(checkpoint.tensors)
    assert checkpoint.format == ("safetensors" if name.endswith(".safetensors") else "pth")
    assert checkpoint.path == tmp_path
    assert checkpoint.files == (tmp_path / name,)


@pytest.mark.parametrize(
    "index", ["model.safetensors.index.json", "pytorch_model.bin.index.json", "other.safetensors.index.json"]
)
def test_shards_are_put_together(tmp_path: Path, index: str) -> None:
    write_shards(tmp_path, index)
    checkpoint = read_checkpoint(tmp_path)
    assert same(checkpoint.tensors)
    assert list(checkpoint.tensors) == list(WEIGHTS)
    assert checkpoint.format == ("pth" if ".bin" in index else "safetensors")
    assert len(checkpoint.files) == 4
    assert checkpoint.files[0] == tmp_path / index


def test_a_whole_file_goes_before_shards_and_other_files(tmp_path: Path) -> None:
    write_shards(tmp_path)
    write(tmp_path / "consolidated.pth", {"other": torch.zeros(1)})
    write(tmp_path / "model.safetensors", {"whole": torch.zeros(1)})
    assert list(read_checkpoint(tmp_path).tensors) == ["whole"]


def test_links_as_a_model_cache_makes_them(tmp_path: Path) -> None:
    """The snapshot is a folder of links to files that are named after their content, without a suffix."""
    (blobs := tmp_path / "blobs").mkdir()
    (snapshot := tmp_path / "snapshots" / "abc").mkdir(parents=True)
    write_shards(snapshot)
    for number, path in enumerate(sorted(snapshot.iterdir())):
        path.rename(blobs / str(number))
        path.symlink_to(f"../../blobs/{number}")
    (tmp_path / "link").symlink_to(snapshot)
    assert same(read_checkpoint(snapshot).tensors)
    assert same(read_checkpoint(tmp_path / "link").tensors)
    (blobs / "0").unlink()
    assert "is a link to a file that is gone" in refusal(snapshot)


def test_the_config_is_kept_because_engines_read_from_it(tmp_path: Path) -> None:
    config = {"architectures": ["Qwen2ForCausalLM"], "neuphonic": {"input_format": "bpe"}}
    write(tmp_path / "model.safetensors", WEIGHTS)
    (tmp_path / "config.json").write_text(json.dumps(config))
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.extra == {"format": "pt", "config.json": config}
    assert checkpoint.files == (tmp_path / "model.safetensors", tmp_path / "config.json")


def test_a_nested_file_in_a_folder_keeps_its_sections_and_wrapper(tmp_path: Path) -> None:
    torch.save({"net": {"bert": {"w": torch.ones(1)}}}, tmp_path / "epoch_3.pth")
    checkpoint = read_checkpoint(tmp_path)
    assert (checkpoint.sections, checkpoint.wrapper) == (("bert",), ("net",))


def test_an_adapter_is_refused_as_one(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    write(tmp_path / "adapter_model.safetensors", WEIGHTS)
    message = refusal(tmp_path)
    assert "is a LoRA adapter" in message
    assert "base" in message


def test_several_checkpoints_in_a_folder_are_named(tmp_path: Path) -> None:
    for name in ("llm.pt", "flow.pt", "hift.pt"):
        write(tmp_path / name, WEIGHTS)
    assert "several checkpoints (flow.pt, hift.pt, llm.pt)" in refusal(tmp_path)


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    write_shards(tmp_path)
    shard = tmp_path / "model-00002-of-00003.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert str(shard) in refusal(tmp_path)
