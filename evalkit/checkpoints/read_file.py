"""Read one checkpoint file. Nothing in it is executed, and nothing is believed that has not been checked."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from evalkit.checkpoints.pickles import check_torch_file
from evalkit.checkpoints.read_tree import flatten, split_counters
from evalkit.checkpoints.safe_files import regular_size
from evalkit.checkpoints.safe_json import BYTES_LIMIT, json_object
from evalkit.checkpoints.safe_keys import check_count, check_key, shown
from evalkit.errors import EvalkitError

Format = Literal["pth", "safetensors"]

# What evalkit writes.
FORMATS: Mapping[str, Format] = {".pth": "pth", ".pt": "pth", ".safetensors": "safetensors"}
# What it reads: `.bin` is Hugging Face's name for what torch saves, `.ckpt` Lightning's.
READ_FORMATS: Mapping[str, Format] = {**FORMATS, ".bin": "pth", ".ckpt": "pth"}
RECIPES = (".yaml", ".yml")
# Tied weights and shared layers repeat a tensor a few times; a hostile file could repeat one a thousand times.
REPEATS_LIMIT = 32
REASON_LENGTH = 240  # characters of what the safetensors library says


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it is on disk.

    tensors: full key (``section.key``, spelled as in the file) -> tensor on the CPU, memory-mapped where possible;
    sections: names of the top-level dicts of a nested checkpoint in the file's order, empty for a flat state dict;
    extra: what stands beside the tensors (step counters, metadata), never used as weights; wrapper: names of the dicts
    around the model that were unwrapped, outermost first; files: all files that were read.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    sections: tuple[str, ...]
    format: Format
    extra: Mapping[str, Any] = field(default_factory=dict)
    wrapper: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


def stem(path: Path) -> str:
    """What a checkpoint or a recipe is called: the file's name without its suffix, or the folder's name."""
    named = path if path.name not in ("", "..") else path.resolve()  # "." and ".." are folders too
    return named.stem if named.suffix in (*READ_FORMATS, *RECIPES) else named.name


def read_file(path: Path) -> Checkpoint:
    """Read one `.pth`, `.pt`, `.bin`, `.ckpt` or `.safetensors` file. Raises EvalkitError as `read_checkpoint` does."""
    size = regular_size(path)
    if path.suffix not in READ_FORMATS:
        raise EvalkitError(f"The checkpoint {path} has an unknown suffix; evalkit reads {', '.join(READ_FORMATS)}.")
    try:
        checkpoint = _READERS[READ_FORMATS[path.suffix]](path, size)
    except OSError as error:
        raise EvalkitError(f"The checkpoint {path} cannot be read: {error.strerror or error}.") from error
    if not checkpoint.tensors:
        raise EvalkitError(f"The checkpoint {path} holds no tensors; is it a checkpoint of a model?")
    if sum(tensor.nbytes for tensor in checkpoint.tensors.values()) > REPEATS_LIMIT * size:
        raise EvalkitError(
            f"The checkpoint {path} repeats its tensors more than {REPEATS_LIMIT} times; save each once."
        )
    return checkpoint


def _read_torch(path: Path, size: int) -> Checkpoint:
    archive = check_torch_file(path, size)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of pickle protocol 3, which it loads all the same
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except OSError:
        raise
    except Exception as error:  # the parser meets arbitrary bytes: it raises about anything
        raise EvalkitError(
            f"The checkpoint {path} is damaged or not what torch.save writes; copy or save it again."
        ) from error
    flat = flatten(loaded, path)
    tensors, counters = split_counters(flat.tensors)
    return Checkpoint(path, tensors, flat.sections, "pth", {**flat.extra, **counters}, flat.wrapper, (path,))


def _read_safetensors(path: Path, size: int) -> Checkpoint:
    _check_header(path, size)
    try:
        with safe_open(path, framework="pt") as file:
            found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
            extra = dict(file.metadata() or {})
    except SafetensorError as error:
        reason = shown(" ".join(str(error).split()), REASON_LENGTH)  # which quotes the file
        raise EvalkitError(f"The checkpoint {path} is damaged or not safetensors ({reason}); copy it again.") from error
    tensors, counters = split_counters(found)
    return Checkpoint(path, tensors, (), "safetensors", {**extra, **counters}, (), (path,))


def _check_header(path: Path, size: int) -> None:
    """Check what the safetensors library does not: repeated names (the last one would win), and the header's size."""
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            raise EvalkitError(f"The checkpoint {path} is cut short, damaged or not safetensors; copy it again.")
        header = file.read(min(length, BYTES_LIMIT + 1))
    names = json_object(header, "The header of the checkpoint", path)
    check_count(len(names), path)
    for name in names:
        check_key(name, path)


_READERS = {"pth": _read_torch, "safetensors": _read_safetensors}
