"""One spelling for the same weights: effective float32 tensors without wrappers' prefixes, and what they hash to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from evalkit.errors import EvalkitError

# `module.` at the front, or after the section, is left there by DataParallel (Kokoro: `bert.module.encoder...`).
MODULE_PREFIX = re.compile(r"^([^.]+\.)?module\.")
# torch.nn.utils.weight_norm and torch.nn.utils.parametrizations.weight_norm.
OLD_HALF = re.compile(r"^(?P<module>(?:.*\.)?)(?P<name>weight)_(?P<half>[gv])$")
NEW_HALF = re.compile(r"^(?P<module>(?:.*\.)?)parametrizations\.(?P<name>[^.]+)\.original(?P<half>[01])$")
OTHER_HALF = {"g": "v", "v": "g", "0": "1", "1": "0"}


@dataclass(frozen=True)
class Canonical:
    """Weights as a model uses them.

    tensors: canonical key -> tensor, floating ones in float32; folded: canonical keys whose weight norm was folded;
    stripped: the original keys that lost a `module.` prefix.
    """

    tensors: Mapping[str, Tensor]
    folded: tuple[str, ...]
    stripped: tuple[str, ...]


def canonical(tensors: Mapping[str, Tensor]) -> Canonical:
    """Strip `module.`, fold weight norm of either spelling to the effective weight, turn floats into float32.

    Doing it twice changes nothing. Raises EvalkitError for half of a weight-norm pair, for a pair whose shapes do not
    fit, and where two tensors get the same canonical key.
    """
    plain: dict[str, Tensor] = {}
    stripped = []
    for key, tensor in tensors.items():
        short = _strip(key)
        if short != key:
            stripped.append(key)
        _add(plain, short, tensor)
    result: dict[str, Tensor] = {}
    folded = []
    for key, tensor in plain.items():
        half = _half(key, plain)
        if half is None:
            _add(result, key, tensor.float() if tensor.is_floating_point() else tensor)
        elif half.is_direction:  # the pair is folded when its second half comes by
            _add(result, half.target, fold_weight_norm(plain[half.partner], tensor, half.target))
            folded.append(half.target)
    return Canonical(result, tuple(folded), tuple(stripped))


def fold_weight_norm(magnitude: Tensor, direction: Tensor, key: str) -> Tensor:
    """Effective weight g * v / ||v||, float32, the norm taken over all dimensions but the one that g's shape names.

    magnitude: [out, 1, ...] for torch's default dim=0, one other long dimension for another dim, [] for dim=None;
    direction: the weight's shape. Computed in float64: the order in which a kernel sums then drowns in the rounding to
    float32, so a fingerprint is the same on every machine. Source: Salimans & Kingma 2016, eq. 2, and
    torch.nn.utils.parametrizations.weight_norm.
    """
    if magnitude.ndim == 0:
        reduced = list(range(direction.ndim))
    elif not _is_norm_of(magnitude, direction):
        raise EvalkitError(
            f"The weight norm of '{key}' does not fit together: magnitude {list(magnitude.shape)}, "
            f"direction {list(direction.shape)}; the checkpoint is damaged or was put together by hand."
        )
    else:
        reduced = [dim for dim, size in enumerate(magnitude.shape) if size == 1]
    v = direction.double()
    # No dimension left to reduce would mean "all of them" to torch: there, each element is its own norm.
    norm = v.square().sum(dim=reduced, keepdim=True).sqrt() if reduced else v.abs()
    return (magnitude.double() * (v / norm)).float().reshape(direction.shape)


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """sha256 (hex) of the weights' content: canonical names, shapes, types and bytes.

    Path, time, format, nesting, prefixes and the spelling of weight norm do not matter; one changed bit does.
    """
    digest = hashlib.sha256()
    for key, tensor in sorted(canonical(tensors).tensors.items()):
        digest.update(json.dumps([key, str(tensor.dtype), list(tensor.shape)]).encode() + b"\n")
        data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(data.numpy().data)
    return digest.hexdigest()


def non_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Keys of the tensors that contain NaN or infinity."""
    return [key for key, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]


@dataclass(frozen=True)
class _Half:
    """One of the two tensors that weight norm keeps instead of a weight."""

    is_direction: bool
    partner: str  # key of the other half
    target: str  # key of the weight


def _half(key: str, tensors: Mapping[str, Tensor]) -> _Half | None:
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


def _is_norm_of(magnitude: Tensor, direction: Tensor) -> bool:
    """True if a shape is the other's with every dimension but one set to 1."""
    if magnitude.ndim != direction.ndim:
        return False
    shape, ones = tuple(magnitude.shape), [1] * direction.ndim
    return any(shape == (*ones[:dim], size, *ones[dim + 1 :]) for dim, size in enumerate(direction.shape))


def _strip(key: str) -> str:
    while (short := MODULE_PREFIX.sub(r"\1", key)) != key:
        key = short
    return key


def _add(tensors: dict[str, Tensor], key: str, tensor: Tensor) -> None:
    if key in tensors:
        raise EvalkitError(f"Two tensors of the checkpoint have the canonical name '{key}'; remove one of them.")
    tensors[key] = tensor
