"""Tied tensors: one tensor under several names, which a merge must not pull apart."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from evalkit.checkpoints import CanonicalTensors
from evalkit.merging.align import Sources


def find_ties(sources: Sources, keys: Iterable[str]) -> dict[str, str]:
    """Key -> the first key that it is tied to.

    Keys are tied if they share memory in the first checkpoint, as torch stores tied parameters, and are equal in each
    of the others: a file format may have stored them twice, but where one fine-tune has changed only one of two, they
    are two tensors now.
    """
    first, *others = sources.values()
    heads: dict[tuple[object, ...], str] = {}
    tied: dict[str, str] = {}
    for key in keys:
        place = _place(first, key)
        head = heads.setdefault(place, key) if place else key
        if head != key and all(_equal(tensors, head, key) for tensors in others):
            tied[key] = head
    return tied


def _place(tensors: CanonicalTensors, key: str) -> tuple[object, ...] | None:
    """Where a tensor lies in memory, None where nothing can be tied to it."""
    if key not in tensors:
        return None
    stored = tensors.stored(key)
    if not stored[-1].numel():
        return None
    return tuple((part.data_ptr(), part.dtype, part.shape, part.stride()) for part in stored)


def _equal(tensors: CanonicalTensors, one: str, other: str) -> bool:
    if one not in tensors or other not in tensors:
        return False
    return _place(tensors, one) == _place(tensors, other) or torch.equal(tensors[one], tensors[other])
