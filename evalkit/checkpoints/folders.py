"""Checkpoints that are folders, as Hugging Face lays them out: one file of weights, or shards with an index."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from evalkit.checkpoints.read_file import READ_FORMATS, Checkpoint, read_file
from evalkit.checkpoints.safe_files import regular_size
from evalkit.checkpoints.safe_json import BYTES_LIMIT, json_object
from evalkit.checkpoints.safe_keys import shown
from evalkit.errors import EvalkitError

INDEX = ".index.json"
# In the order in which transformers looks for them (`modeling_utils.py:_get_resolved_checkpoint_files`).
NAMES = ("model.safetensors", f"model.safetensors{INDEX}", "pytorch_model.bin", f"pytorch_model.bin{INDEX}")
# `.bin` is left out: transformers writes `training_args.bin`, a pickle that is no checkpoint.
ALONE = (".safetensors", ".pth", ".pt", ".ckpt")
ADAPTER = "adapter_config.json"
# Kept in `extra`: NeuTTS reads from it how a model wants its text (`neuphonic.input_format`).
CONFIG = "config.json"
SHOWN = 5


def read_folder(folder: Path) -> Checkpoint:
    """Read the weights of a folder, whole or in shards, with its `config.json` in `extra`.

    Raises EvalkitError if there are none or several, for an adapter, and where index and shards do not agree.
    """
    if os.path.lexists(folder / ADAPTER):
        raise EvalkitError(
            f"The folder {folder} is a LoRA adapter ({ADAPTER}), which means nothing without the base that it was "
            "trained on; name the base as the checkpoint and this folder as its adapter."
        )
    weights = _find(folder)
    found = _read_shards(weights) if weights.name.endswith(INDEX) else read_file(weights)
    extra, files = dict(found.extra), found.files
    if os.path.lexists(folder / CONFIG):
        extra[CONFIG] = _read_json(folder / CONFIG, "The file")
        files += (folder / CONFIG,)
    return Checkpoint(folder, found.tensors, found.sections, found.format, extra, found.wrapper, files)


def _find(folder: Path) -> Path:
    """The file of weights, or the index, of a folder."""
    try:
        present = sorted(entry.name for entry in os.scandir(folder))
    except OSError as error:
        raise EvalkitError(f"The folder {folder} cannot be read: {error.strerror}; check its permissions.") from error
    fixed = [name for name in NAMES if name in present][:1]
    indices = [name for name in present if name.endswith(INDEX)]
    files = [name for name in present if Path(name).suffix in ALONE]
    found = fixed or indices or files
    if len(found) == 1:
        return folder / found[0]
    if not found:
        raise EvalkitError(
            f"The checkpoint {folder} is a folder without weights (model.safetensors, an index of shards, or a single "
            f"{', '.join(ALONE)} file); name the file or the right folder."
        )
    names = ", ".join(shown(name) for name in found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
    raise EvalkitError(f"The folder {folder} holds several checkpoints ({names}); name one of these files.")


def _read_shards(index: Path) -> Checkpoint:
    """All tensors that an index names, each from the shard that it names."""
    expected = _read_index(index)
    tensors: dict[str, Tensor] = {}
    extra: dict[str, Any] = {}
    for name, keys in expected.items():
        shard = read_file(index.parent / name)
        if missing := keys - shard.tensors.keys():
            raise _disagree(index, name, f"lacks '{shown(min(missing))}'")
        if more := shard.tensors.keys() - keys:
            raise _disagree(index, name, f"also holds '{shown(min(more))}', which the index does not place there")
        tensors |= shard.tensors
        extra |= shard.extra
    files = (index, *(index.parent / name for name in expected))
    return Checkpoint(index, tensors, (), READ_FORMATS[_suffix(index)], extra, (), files)


def _read_index(index: Path) -> Mapping[str, set[str]]:
    """Shard -> keys that it should hold. Raises EvalkitError for a shard that is no plain name beside the index."""
    places = _read_json(index, "The index").get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise EvalkitError(f"The index {index} has no 'weight_map' from tensors to files; write it again.")
    expected: dict[str, set[str]] = {}
    for key, name in places.items():
        if name in (".", "..") or any(mark in name for mark in "/\\\0") or not name.endswith(_suffix(index)):
            raise EvalkitError(
                f"The index {index} names the shard '{shown(name)}', which is no *{_suffix(index)} beside it; "
                "put the shards into its folder and name them without a path."
            )
        expected.setdefault(name, set()).add(key)
    return expected


def _suffix(index: Path) -> str:
    """`.safetensors` of `model.safetensors.index.json`."""
    suffix = Path(index.name.removesuffix(INDEX)).suffix
    if suffix not in READ_FORMATS:
        raise EvalkitError(f"The index {index} is not named after the shards' format, as model.safetensors{INDEX} is.")
    return suffix


def _read_json(path: Path, what: str) -> dict[str, Any]:
    regular_size(path)
    try:
        with path.open("rb") as file:
            return json_object(file.read(BYTES_LIMIT + 1), what, path)
    except OSError as error:
        raise EvalkitError(f"{what} {path} cannot be read: {error.strerror}; check its permissions.") from error


def _disagree(index: Path, shard: str, how: str) -> EvalkitError:
    return EvalkitError(f"The shard {index.parent / shard} {how}; download the folder of {index.name} again.")
