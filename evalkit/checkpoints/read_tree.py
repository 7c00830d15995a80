"""From the nested dicts of a PyTorch file to flat, named tensors: wrappers, training state, counters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evalkit.checkpoints.safe_keys import KEY_LIMIT, check_count, check_key, shown
from evalkit.errors import EvalkitError

EMA = "ema_model_state_dict"
# What training scripts save around the weights: StyleTTS2 `net`, F5-TTS `ema_model_state_dict`, Lightning `state_dict`.
WRAPPERS = ("net", "model", "state_dict", "model_state_dict", EMA)
# F5-TTS saves both; its loader (`utils_infer.py:load_checkpoint`, use_ema=True by default) speaks with the average.
AVERAGED_PAIR = {"model_state_dict", EMA}
LEFT_OUT = f"left out: {EMA} beside it was read, as F5-TTS does"
# State of the training run, not of the model; the last four are Lightning's.
TRAINING_STATE = (
    "optimizer", "optimizers", "optimizer_state_dict", "scheduler", "scheduler_state_dict", "scaler", "rng_state",
    "cuda_rng_state", "optimizer_states", "lr_schedulers", "callbacks", "loops",
)  # fmt: skip
# Counters of ema_pytorch, kept beside its weights.
EMA_PREFIX = "ema_model."
EMA_COUNTERS = ("initted", "step")
# Real checkpoints nest two deep; the limit stops a file that contains itself.
DEPTH_LIMIT = 32
# Dicts can share their parts: 32 of them, each holding the next one twice, have four billion leaves.
VISITS_LIMIT = 2**20
NAMES_LIMIT = 2**16
PLAIN = (str, int, float, bytes, type(None), list, tuple, torch.dtype, torch.device)


@dataclass(frozen=True)
class Flat:
    """A file's tensors by their full keys; wrapper and sections as in `Checkpoint`."""

    tensors: dict[str, Tensor]
    wrapper: tuple[str, ...]
    sections: tuple[str, ...]
    extra: dict[str, Any]


def flatten(loaded: Any, path: Path) -> Flat:
    """Unwrap and flatten what `torch.load` returned. Raises EvalkitError for what is no tree of named tensors."""
    state, wrapper, extra = _unwrap(loaded, path)
    tensors: dict[str, Tensor] = {}
    for count, (key, value) in enumerate(_Walk(path).leaves(state)):
        if not isinstance(value, Tensor):
            if count > NAMES_LIMIT:
                raise _too_large(path)
            extra[key] = value
        elif key in tensors:
            raise EvalkitError(f"The checkpoint {path} holds two tensors named '{key}'; rename one of them.")
        else:
            check_count(len(tensors) + 1, path)
            tensors[key] = value.detach()
    sections = tuple(str(key) for key, value in state.items() if _holds_tensors(value, path))
    return Flat(tensors, wrapper, sections, extra)


def split_counters(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors without the counters of ema_pytorch, and these as numbers, if all else is behind `ema_model.`."""
    weights = {key: tensor for key, tensor in tensors.items() if key not in EMA_COUNTERS}
    counters = {key: tensor for key, tensor in tensors.items() if key in EMA_COUNTERS}
    averaged = bool(weights) and all(key.startswith(EMA_PREFIX) for key in weights)
    if not averaged or any(tensor.numel() != 1 for tensor in counters.values()):
        return dict(tensors), {}
    return weights, {key: tensor.item() for key, tensor in counters.items()}


def _unwrap(loaded: Any, path: Path) -> tuple[dict[Any, Any], tuple[str, ...], dict[str, Any]]:
    """The dict that holds the model, the names of the wrappers around it, and what stood beside them."""
    wrapper: tuple[str, ...] = ()
    extra: dict[str, Any] = {}
    while len(wrapper) < DEPTH_LIMIT:
        if not isinstance(loaded, dict):
            raise EvalkitError(f"The checkpoint {path} holds a {type(loaded).__name__}, not a dict of tensors.")
        # Not loaded.items(), which a file could have replaced: see `_plain`.
        state = {key: value for key, value in dict.items(loaded) if key not in TRAINING_STATE}
        inner = [key for key, value in state.items() if _holds_tensors(value, path)]
        if set(inner) == AVERAGED_PAIR:
            extra["model_state_dict"] = LEFT_OUT
            del state["model_state_dict"]
            inner = [EMA]
        if len(inner) != 1 or inner[0] not in WRAPPERS or any(_is_weight(value) for value in state.values()):
            return state, wrapper, extra
        loaded = state.pop(inner[0])
        wrapper += (inner[0],)
        _Walk(path).check(state)
        extra |= {str(key): _plain(value) for key, value in state.items()}
    raise _too_deep(path)


def _plain(value: Any) -> Any:
    """The same in plain containers: an OrderedDict has attributes, which a file may set ("items"). Walked before."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in dict.items(value)}
    return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value


def _is_weight(value: Any) -> bool:
    """True for a tensor that is more than a counter or a loss."""
    return isinstance(value, Tensor) and value.ndim > 0


def _holds_tensors(value: Any, path: Path) -> bool:
    return isinstance(value, dict) and any(isinstance(leaf, Tensor) for _, leaf in _Walk(path).leaves(value))


class _Walk:
    """One way through a tree that may share its parts or contain itself; too long a way is an EvalkitError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._visits = 0

    def leaves(self, tree: dict[Any, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
        """(full key, leaf) of nested dicts, in order."""
        for name, value in dict.items(tree):
            self._enter(depth)
            key = f"{prefix}{name}"
            if isinstance(value, Tensor) or len(key) > KEY_LIMIT:  # a table of symbols may well have a line break
                check_key(key, self._path)
            if isinstance(value, dict):
                yield from self.leaves(value, f"{key}.", depth + 1)
                continue
            if isinstance(value, (list, tuple)):
                self._check_list(value, key, depth + 1)
            elif not isinstance(value, (Tensor, *PLAIN)):
                kind = type(value).__name__
                raise EvalkitError(f"The checkpoint {self._path} holds a {kind} at '{shown(key)}'; save plain tensors.")
            yield key, value

    def check(self, tree: dict[Any, Any]) -> None:
        """Raise EvalkitError unless the tree can be walked to its end."""
        for _ in self.leaves(tree):
            pass

    def _check_list(self, items: Any, key: str, depth: int) -> None:
        for item in dict.values(items) if isinstance(items, dict) else items:
            self._enter(depth)
            if isinstance(item, Tensor):
                raise EvalkitError(
                    f"The checkpoint {self._path} keeps tensors in a list at '{shown(key)}'; save them as a dict."
                )
            if isinstance(item, (dict, list, tuple)):
                self._check_list(item, key, depth + 1)

    def _enter(self, depth: int) -> None:
        self._visits += 1
        if depth > DEPTH_LIMIT:
            raise _too_deep(self._path)
        if self._visits > VISITS_LIMIT:
            raise _too_large(self._path)


def _too_deep(path: Path) -> EvalkitError:
    return EvalkitError(f"The checkpoint {path} nests dicts more than {DEPTH_LIMIT} deep; save a plain state dict.")


def _too_large(path: Path) -> EvalkitError:
    return EvalkitError(f"The checkpoint {path} has more entries than any model; save a plain state dict.")
