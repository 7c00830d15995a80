"""Canonical weights written the way a checkpoint of the user's own code spells them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evalkit.checkpoints.canonical import Origin, fold_weight_norm, is_finite
from evalkit.errors import EvalkitError


def spell(
    key: str,
    tensor: Tensor,
    origin: Origin,
    like: Sequence[Tensor],
    dtype: torch.dtype | None = None,
    stored: Sequence[Tensor] = (),
) -> dict[str, Tensor]:
    """One canonical tensor as the file spells it: under its own key, or as magnitude and direction of a weight norm.

    like: the file's own tensors for `origin.keys`, whose types and shapes are taken over; dtype: another type for
    floating ones; stored: another (magnitude, direction) of the very same weight, written instead of a new one, so
    that a weight that did not change keeps its bits. Raises EvalkitError if a number is too large for the type.
    """
    types = [dtype if dtype is not None and old.is_floating_point() else old.dtype for old in like]
    if not origin.folded:
        return {origin.keys[0]: _cast(key, tensor, types[0])}
    parts = _halves(key, tensor, like[0].shape, stored, types[1])
    halves = [_cast(key, part, each) for part, each in zip(parts, types, strict=True)]
    if _is_short(types[1]) and not is_finite(fold_weight_norm(halves[0], halves[1], key)):
        raise EvalkitError(f"'{key}' holds numbers too small for {_name(types[1])}; write float32.")
    return dict(zip(origin.keys, halves, strict=True))


def _halves(
    key: str, tensor: Tensor, like: torch.Size, stored: Sequence[Tensor], dtype: torch.dtype
) -> Sequence[Tensor]:
    """(magnitude, direction) with the norm over the dimensions that `like`, a magnitude's shape, has it over.

    dtype: what the direction will be stored as.
    """
    if like and len(like) != tensor.ndim:
        raise EvalkitError(f"'{key}' has another shape than in this layout; name another with --layout.")
    shape = torch.Size(1 if size == 1 else tensor.shape[dim] for dim, size in enumerate(like))
    short = _is_short(dtype)
    if len(stored) == 2 and stored[0].shape == shape and (stored[1].dtype == dtype or not short):
        return stored
    return unfold_weight_norm(tensor, shape, unit=short)


def unfold_weight_norm(weight: Tensor, shape: torch.Size, unit: bool = False) -> tuple[Tensor, Tensor]:
    """(magnitude, direction) of an effective weight: its norm, and the weight itself, or with `unit` the weight / its
    norm, float32: of a small weight itself, a type that ends at 6e-8 would leave noise or zeros.

    shape: of the magnitude; dimensions of size 1 (all, for []) are what the norm is taken over. A row of zeros gets a
    direction of ones: 0 / 0 would be NaN when the model computes g * v / ||v||.
    """
    reduced = [dim for dim, size in enumerate(shape) if size == 1] or None
    if reduced is None and shape:  # every element is a row of its own
        norm = weight.abs()
    else:
        norm = torch.linalg.vector_norm(weight, dim=reduced, keepdim=True, dtype=torch.float64).float()
    direction = torch.where(norm == 0, torch.ones_like(weight), weight) if bool((norm == 0).any()) else weight
    if unit:
        direction = torch.where(norm == 0, direction, weight / norm)
    return norm if shape else norm.reshape(()), direction


def _is_short(dtype: torch.dtype) -> bool:
    """Whether a floating type ends long before float32 does, towards 0: float16 does, bfloat16 does not."""
    return dtype.is_floating_point and torch.finfo(dtype).tiny > torch.finfo(torch.float32).tiny


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _cast(key: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if tensor.dtype == dtype or not tensor.is_floating_point():
        return tensor
    result = tensor.to(dtype)
    if not is_finite(result):
        raise EvalkitError(f"'{key}' holds numbers too large for {_name(dtype)}; write float32.")
    return result
