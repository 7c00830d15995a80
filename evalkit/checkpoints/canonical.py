"""One spelling for the same weights: effective float32 tensors without wrappers' prefixes, and what they hash to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from evalkit.errors import EvalkitError

T = TypeVar("T")

# Left at the front, or after the section, by DataParallel (Kokoro: `bert.module.encoder...`) and torch.compile; F5-TTS
# puts `ema_model.` before every key of its averaged weights.
WRAPPERS = ("module", "_orig_mod")
AVERAGE = "ema_model"
WRAPPING_PREFIX = re.compile(rf"^(?:([^.]+\.)?(?:{'|'.join(WRAPPERS)})|{AVERAGE})\.")
# torch.nn.utils.weight_norm and torch.nn.utils.parametrizations.weight_norm.
OLD_HALF = re.compile(r"^(?P<module>(?:.*\.)?)(?P<name>weight)_(?P<half>[gv])$")
NEW_HALF = re.compile(r"^(?P<module>(?:.*\.)?)parametrizations\.(?P<name>[^.]+)\.original(?P<half>[01])$")
OTHER_HALF = {"g": "v", "v": "g", "0": "1", "1": "0"}
BLOCK = 2**15  # elements folded at a time: their float64 copies stay in cache, and torch starts no threads for so few


@dataclass(frozen=True)
class Canonical:
    """Weights as a model uses them.

    tensors: canonical key -> tensor, floating ones in float32; folded: canonical keys whose weight norm was folded;
    stripped: the original keys that lost a prefix (`module.`, `_orig_mod.`, `ema_model.`).
    """

    tensors: Mapping[str, Tensor]
    folded: tuple[str, ...]
    stripped: tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """Where a canonical tensor comes from: its key in the file, or (magnitude, direction) of a weight norm.

    shape: of the canonical tensor; dtype: as stored, of the direction where there are two.
    """

    keys: tuple[str, ...]
    shape: torch.Size
    dtype: torch.dtype

    @property
    def folded(self) -> bool:
        return len(self.keys) == 2


class CanonicalTensors(Mapping[str, Tensor]):
    """Canonical key -> effective tensor, float32 if floating, made anew at every access: memory for one at a time.

    respell=False leaves names and weight norm as the file has them. Raises EvalkitError when made, for half of a
    weight-norm pair, for a pair whose shapes do not fit, and where two tensors get the same canonical key.
    """

    def __init__(self, tensors: Mapping[str, Tensor], respell: bool = True) -> None:
        self._tensors = tensors
        names: dict[str, str] = {}  # stripped key -> key
        for key in tensors:
            _add(names, _strip(key) if respell else key, key)
        self.stripped = tuple(key for short, key in names.items() if short != key)
        self.origins: dict[str, Origin] = {}
        for short, key in names.items():
            half = _half(short, names) if respell else None
            if half is None:
                _add(self.origins, short, Origin((key,), tensors[key].shape, tensors[key].dtype))
            elif half.is_direction:  # the pair is taken when its second half comes by
                magnitude, direction = tensors[names[half.partner]], tensors[key]
                _check_norm(magnitude, direction, half.target)
                origin = Origin((names[half.partner], key), direction.shape, direction.dtype)
                _add(self.origins, half.target, origin)
        self.folded = tuple(key for key, origin in self.origins.items() if origin.folded)

    def __getitem__(self, key: str) -> Tensor:
        stored = self.stored(key)
        if len(stored) == 2:
            return fold_weight_norm(stored[0], stored[1], key)
        return stored[0].float() if stored[0].is_floating_point() else stored[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self.origins)

    def __len__(self) -> int:
        return len(self.origins)

    def __contains__(self, key: object) -> bool:
        return key in self.origins  # a Mapping would make the tensor to find out

    def stored(self, key: str) -> tuple[Tensor, ...]:
        """The tensor as the file has it, or the (magnitude, direction) of its weight norm."""
        return tuple(self._tensors[name] for name in self.origins[key].keys)

    def shape(self, key: str) -> torch.Size:
        return self.origins[key].shape

    def is_floating(self, key: str) -> bool:
        return self.origins[key].dtype.is_floating_point


def canonical(tensors: Mapping[str, Tensor]) -> Canonical:
    """Strip wrapping prefixes, fold weight norm of either spelling to the effective weight, turn floats into float32.

    Doing it twice changes nothing. Holds all of it in memory; CanonicalTensors does not. Raises EvalkitError for half
    of a weight-norm pair, for a pair whose shapes do not fit, and where two tensors get the same canonical key.
    """
    lazy = CanonicalTensors(tensors)
    return Canonical(dict(lazy), lazy.folded, lazy.stripped)


def fold_weight_norm(magnitude: Tensor, direction: Tensor, key: str) -> Tensor:
    """Effective weight g * v / ||v||, float32, the norm taken over all dimensions but the one that g's shape names.

    magnitude: [out, 1, ...] for torch's default dim=0, one other long dimension for another dim, [] for dim=None;
    direction: the weight's shape. Computed in float64: the order in which a kernel sums then drowns in the rounding to
    float32, so a fingerprint is the same on every machine. Source: Salimans & Kingma 2016, eq. 2, and
    torch.nn.utils.parametrizations.weight_norm.
    """
    _check_norm(magnitude, direction, key)
    result = torch.empty(direction.shape)
    rows = direction.shape[0] if magnitude.ndim and magnitude.shape[0] == direction.shape[0] else 0
    step = max(1, BLOCK * rows // max(1, direction.numel())) if rows else 0
    if not rows or step >= rows:
        return _fold_into(result, magnitude, direction)
    for start in range(0, rows, step):  # each row has a norm of its own
        part = slice(start, start + step)
        _fold_into(result[part], magnitude[part], direction[part])
    return result


def _fold_into(result: Tensor, magnitude: Tensor, direction: Tensor) -> Tensor:
    everything = range(direction.ndim)
    reduced = [dim for dim in everything if magnitude.ndim == 0 or magnitude.shape[dim] == 1]
    v = direction.to(torch.float64, copy=True)
    # No dimension left to reduce would mean "all of them" to torch: there, each element is its own norm.
    norm = torch.linalg.vector_norm(v, dim=reduced, keepdim=True) if reduced else v.abs()
    return result.copy_(v.mul_(magnitude.double() / norm))


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """sha256 (hex) of the weights' content: canonical names, shapes, types and bytes.

    Path, time, format, nesting, prefixes and the spelling of weight norm do not matter; one changed bit does.
    """
    digest = hashlib.sha256()
    weights = CanonicalTensors(tensors)
    for key in sorted(weights):
        tensor = weights[key]
        digest.update(json.dumps([key, str(tensor.dtype), list(tensor.shape)]).encode() + b"\n")
        data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(data.numpy().data)
    return digest.hexdigest()


def non_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Keys of the tensors that contain NaN or infinity."""
    return [key for key, tensor in tensors.items() if not is_finite(tensor)]


def is_finite(tensor: Tensor) -> bool:
    """True if no element is NaN or infinite.

    The smallest and the largest element tell, without a mask of the tensor's size.
    """
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    low, high = torch.aminmax(tensor if tensor.element_size() > 1 else tensor.float())  # none for 8 bits
    return bool(low.isfinite() & high.isfinite())


@dataclass(frozen=True)
class _Half:
    """One of the two tensors that weight norm keeps instead of a weight."""

    is_direction: bool
    partner: str  # key of the other half
    target: str  # key of the weight


def _half(key: str, tensors: Collection[str]) -> _Half | None:
    """Which half of a weight norm a key is, or None. Raises EvalkitError if the other half is missing."""
    match = OLD_HALF.match(key) or NEW_HALF.match(key)
    if match is None:
        return None
    target = f"{match['module']}{match['name']}"
    if f"{target}_orig" in tensors:  # torch.nn.utils.spectral_norm keeps a `weight_v` too
        return None
    partner = key[:-1] + OTHER_HALF[match["half"]]
    if partner not in tensors:
        raise EvalkitError(
            f"The weight norm of '{target}' has '{key}' but no '{partner}'; the checkpoint is incomplete."
        )
    return _Half(match["half"] in ("v", "1"), partner, target)


def _check_norm(magnitude: Tensor, direction: Tensor, key: str) -> None:
    if magnitude.ndim and not _is_norm_of(magnitude, direction):
        raise EvalkitError(
            f"The weight norm of '{key}' does not fit together: magnitude {list(magnitude.shape)}, "
            f"direction {list(direction.shape)}; the checkpoint is damaged or was put together by hand."
        )


def _is_norm_of(magnitude: Tensor, direction: Tensor) -> bool:
    """True if a shape is the other's with every dimension but one set to 1."""
    if magnitude.ndim != direction.ndim:
        return False
    shape, ones = tuple(magnitude.shape), [1] * direction.ndim
    return any(shape == (*ones[:dim], size, *ones[dim + 1 :]) for dim, size in enumerate(direction.shape))


def _strip(key: str) -> str:
    while (short := WRAPPING_PREFIX.sub(r"\1", key)) != key:
        key = short
    return key


def _add(named: dict[str, T], key: str, value: T) -> None:
    if key in named:
        raise EvalkitError(f"Two tensors of the checkpoint have the canonical name '{key}'; remove one of them.")
    named[key] = value
