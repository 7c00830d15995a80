"""LoRA adapters folded into the weights of a base."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from evalkit.checkpoints import canonical, is_finite
from evalkit.errors import EvalkitError
from evalkit.merging.lora_match import spelled_as_base
from evalkit.merging.lora_read import read_adapter
from evalkit.merging.lora_update import Adapter, LowRank

__all__ = ["Adapter", "LowRank", "fold_adapter", "fold_adapters", "folded_tensor", "read_adapter"]

# Canonical key of the base -> coefficient of an adapter there.
Coefficient = Callable[[str], float]
# Of updates that add up to less than this share of the largest, nothing is left but rounding.
CANCELLED = 1e-6


def fold_adapter(base: Mapping[str, Tensor], adapter: Adapter, weight: float = 1.0) -> dict[str, Tensor]:
    """Canonical weights of the base with the adapter in them, float32: base + weight * (base with adapter - base).

    base: the tensors of a checkpoint in any spelling; weight norm is folded first, since an update of a weight-normed
    layer is one of its effective weight (peft's `merge_and_unload` adds it to a tensor that the next forward pass
    computes anew, and so loses it). weight multiplies the whole change, with DoRA too, where peft would scale inside
    the length. Raises EvalkitError if the base lacks a tensor that the adapter changes or has it in another shape, if
    the result is not finite, and if an update is so small that float32 loses it.
    """
    return fold_adapters(base, [(adapter, lambda _: weight)])


def fold_adapters(base: Mapping[str, Tensor], parts: Sequence[tuple[Adapter, Coefficient]]) -> dict[str, Tensor]:
    """Canonical weights base + sum_i c_i(key) * delta_i(key), float32, delta_i being what adapter i changes by itself.

    parts: each adapter with its coefficient for every canonical key of the base, so that different layers can follow
    different adapters. HE-Vector (arXiv 2512.18699) does this with task vectors it calls E-vectors, trained as LoRA:
    dialect in the text embedding and the lower half of the transformer, emotion in the upper half. An integer tensor
    among an adapter's whole tensors has no sum: the last adapter whose coefficient is not 0 gives it.
    Raises EvalkitError as `fold_adapter` does, and for a coefficient that is no number.
    """
    tensors = dict(canonical(base).tensors)
    spellings = [spelled_as_base(adapter.keys(), tensors, adapter.source) for adapter, _ in parts]
    for key in dict.fromkeys(key for spelling in spellings for key in spelling):
        terms = [
            (adapter, spelling[key], _coefficient(coefficient, key, adapter))
            for (adapter, coefficient), spelling in zip(parts, spellings, strict=True)
            if key in spelling
        ]
        terms = [term for term in terms if term[2] != 0]
        if terms:
            tensors[key] = folded_tensor(key, tensors[key], terms)
    return tensors


# (adapter, its own name of the tensor, coefficient)
_Term = tuple[Adapter, str, float]


def folded_tensor(key: str, start: Tensor, terms: Sequence[_Term]) -> Tensor:
    """start + sum(c_i (with adapter i - start)), float32.

    Summed as (1 - sum(c_i)) start + sum(c_i with adapter i), which is the same: then a coefficient of 1 gives exactly
    the adapter's weight.
    """
    if not start.is_floating_point():
        adapter, name, _ = terms[-1]
        return adapter.copies[name]
    parts = (adapter.apply(name, start).mul_(factor) for adapter, name, factor in terms)
    moved = functools.reduce(Tensor.add_, parts)
    rest = 1.0 - math.fsum(factor for _, _, factor in terms)
    result = (moved.add_(start, alpha=rest) if rest else moved).float()
    names = " and ".join(adapter.source for adapter, _, _ in terms)
    if not is_finite(result):
        raise EvalkitError(f"'{key}' is not finite with {names} folded in; use a smaller weight or another base.")
    if torch.equal(result, start) and _is_update(terms):
        raise EvalkitError(
            f"The update of '{key}' by {names} is too small to change the base's float32 weights; use a larger weight."
        )
    return result


def _is_update(terms: Sequence[_Term]) -> bool:
    """True if the low-rank updates add up to something."""
    deltas = [factor * delta for adapter, name, factor in terms if (delta := adapter.delta(name)) is not None]
    if not deltas:
        return False
    largest = max(float(delta.abs().max()) for delta in deltas)
    return float(torch.stack(deltas).sum(0).abs().max()) > CANCELLED * largest


def _coefficient(coefficient: Coefficient, key: str, adapter: Adapter) -> float:
    value = coefficient(key)
    if not math.isfinite(value):
        raise EvalkitError(f"The coefficient of the adapter {adapter.source} for '{key}' is {value}; give a number.")
    return value
