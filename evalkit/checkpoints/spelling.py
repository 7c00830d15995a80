"""Canonical weights written the way a checkpoint of the user's own code spells them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evalkit.checkpoints.canonical import Origin, is_finite
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
    parts = _halves(key, tensor, like[0].shape, stored) if origin.folded else [tensor]
    return {
        name: _cast(key, part, dtype if dtype is not None and old.is_floating_point() else old.dtype)
        for name, part, old in zip(origin.keys, parts, like, strict=True)
    }


def _halves(key: str, tensor: Tensor, like: torch.Size, stored: Sequence[Tensor]) -> Sequence[Tensor]:
    """(magnitude, direction) with the norm over the dimensions that `like`, a magnitude's shape, has it over."""
    if like and len(like) != tensor.ndim:
        raise EvalkitError(f"'{key}' has another shape than in this layout; name another with --layout.")
    shape = torch.Size(1 if size == 1 else tensor.shape[dim] for dim, size in enumerate(like))
    return stored if len(stored) == 2 and stored[0].shape == shape else unfold_weight_norm(tensor, shape)


def unfold_weight_norm(weight: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """(magnitude, direction) of an effective weight: its norm, and the weight itself, float32.

    shape: of the magnitude; dimensions of size 1 (all, for []) are what the norm is taken over. A row of zeros gets a
    direction of ones: 0 / 0 would be NaN when the model computes g * v / ||v||.
    """
    reduced = [dim for dim, size in enumerate(shape) if size == 1] or None
    if reduced is None and shape:  # every element is a row of its own
        norm = weight.abs()
    else:
        norm = torch.linalg.vector_norm(weight, dim=reduced, keepdim=True, dtype=torch.float64).float()
    direction = torch.where(norm == 0, torch.ones_like(weight), weight) if bool((norm == 0).any()) else weight
    return norm if shape else norm.reshape(()), direction


def _cast(key: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if tensor.dtype == dtype or not tensor.is_floating_point():
        return tensor
    result = tensor.to(dtype)
    if not is_finite(result):
        raise EvalkitError(f"'{key}' holds numbers too large for {str(dtype).removeprefix('torch.')}; write float32.")
    return result
