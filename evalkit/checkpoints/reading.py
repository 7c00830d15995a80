"""Read a checkpoint file into flat, named tensors. Nothing in the file is ever executed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from evalkit.checkpoints.pickles import check_archive, foreign_globals, is_archive
from evalkit.errors import EvalkitError

Format = Literal["pth", "safetensors"]

FORMATS: Mapping[str, Format] = {".pth": "pth", ".pt": "pth", ".safetensors": "safetensors"}

# What training scripts save around the weights: StyleTTS2 `net`, F5-TTS `ema_model_state_dict`, Lightning `state_dict`.
WRAPPERS = ("net", "model", "state_dict", "ema_model_state_dict")
# Tensors of the training run, not of the model.
TRAINING_STATE = ("optimizer", "optimizers", "optimizer_state_dict", "scheduler", "scheduler_state_dict", "scaler")
# Real checkpoints nest two deep; the limit only stops a file that contains itself.
DEPTH_LIMIT = 32


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file as it is on disk.

    tensors: full key (``section.key``, spelled as in the file) -> tensor on the CPU, memory-mapped where possible;
    sections: names of the top-level dicts of a nested checkpoint in the file's order, empty for a flat state dict;
    extra: what stands beside the tensors (step counters, metadata), never used as weights.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    sections: tuple[str, ...]
    format: Format
    extra: Mapping[str, Any] = field(default_factory=dict)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a `.pth`, `.pt` or `.safetensors` file: nested dicts of sections, a flat state dict, or either in a wrapper.

    Raises EvalkitError, in one sentence, for a file that is missing, damaged, holds no tensors, or is a pickle that
    asks for anything but tensors and plain containers (the sentence names the global; nothing was executed).
    """
    if not path.exists():
        raise EvalkitError(f"The checkpoint {path} does not exist; check the path.")
    if path.is_dir():
        raise EvalkitError(f"The checkpoint {path} is a folder; name the .pth or .safetensors file inside it.")
    if path.suffix not in FORMATS:
        raise EvalkitError(f"The checkpoint {path} has an unknown suffix; evalkit reads {', '.join(FORMATS)}.")
    try:
        empty = path.stat().st_size == 0
        checkpoint = None if empty else _READERS[FORMATS[path.suffix]](path)
    except OSError as error:
        raise EvalkitError(f"The checkpoint {path} cannot be read: {error.strerror or error}.") from error
    if checkpoint is None:
        raise EvalkitError(f"The checkpoint {path} is empty (0 bytes); copy or train it again.")
    if not checkpoint.tensors:
        raise EvalkitError(f"The checkpoint {path} holds no tensors; is it a checkpoint of a model?")
    return checkpoint


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
            return Checkpoint(path, tensors, (), "safetensors", dict(file.metadata() or {}))
    except SafetensorError as error:
        raise EvalkitError(f"The checkpoint {path} is damaged or not safetensors ({error}); copy it again.") from error


def _read_torch(path: Path) -> Checkpoint:
    state, extra = _unwrap(_load(path), path)
    tensors: dict[str, Tensor] = {}
    for key, value in _leaves(state, path):
        if not isinstance(value, Tensor):
            extra[key] = value
        elif key in tensors:
            raise EvalkitError(f"The checkpoint {path} holds two tensors named '{key}'; rename one of them.")
        else:
            tensors[key] = _dense(value, key, path)
    sections = tuple(str(key) for key, value in state.items() if _holds_tensors(value, path))
    return Checkpoint(path, tensors, sections, "pth", extra)


def _load(path: Path) -> Any:
    """`torch.load` without execution; every way in which a file can be broken becomes one sentence."""
    archive = is_archive(path)
    if archive:
        check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of old pickle protocols; they load, or we explain below
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except OSError:
        raise
    except Exception as error:  # the parser meets arbitrary bytes: it raises about anything
        foreign = foreign_globals(path, error)
        if foreign:
            raise EvalkitError(
                f"The checkpoint {path} is refused: its pickle asks for {', '.join(foreign)}, which is no tensor or "
                "plain container; nothing was executed. Ask its author for a safetensors file or a plain state dict."
            ) from error
        raise EvalkitError(
            f"The checkpoint {path} is damaged or not what torch.save writes; copy or save it again."
        ) from error


def _unwrap(loaded: Any, path: Path) -> tuple[Mapping[Any, Any], dict[str, Any]]:
    """The dict that holds the model, without wrappers and training state, and what stood beside it."""
    extra: dict[str, Any] = {}
    for _ in range(DEPTH_LIMIT):
        if not isinstance(loaded, Mapping):
            raise EvalkitError(f"The checkpoint {path} holds a {type(loaded).__name__}, not a dict of tensors.")
        state = {key: value for key, value in loaded.items() if key not in TRAINING_STATE}
        inner = [key for key, value in state.items() if _holds_tensors(value, path)]
        if len(inner) != 1 or inner[0] not in WRAPPERS:
            return state, extra
        extra |= {str(key): value for key, value in state.items() if key != inner[0]}
        loaded = state[inner[0]]
    raise _too_deep(path)


def _leaves(tree: Mapping[Any, Any], path: Path, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """(full key, leaf) of nested dicts, in order."""
    if depth > DEPTH_LIMIT:
        raise _too_deep(path)
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _leaves(value, path, f"{key}.", depth + 1)
        elif isinstance(value, (list, tuple)) and any(isinstance(item, Tensor) for item in value):
            raise EvalkitError(f"The checkpoint {path} keeps tensors in a list at '{key}'; save them as a dict.")
        else:
            yield key, value


def _holds_tensors(value: Any, path: Path) -> bool:
    return isinstance(value, Mapping) and any(isinstance(leaf, Tensor) for _, leaf in _leaves(value, path))


def _dense(tensor: Tensor, key: str, path: Path) -> Tensor:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise EvalkitError(f"The checkpoint {path} holds a tensor that is not dense at '{key}'; save it dense.")
    return tensor.detach()


def _too_deep(path: Path) -> EvalkitError:
    return EvalkitError(f"The checkpoint {path} nests dicts more than {DEPTH_LIMIT} deep; save a plain state dict.")


_READERS = {"pth": _read_torch, "safetensors": _read_safetensors}
