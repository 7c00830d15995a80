"""Arcee Fusion."""

from __future__ import annotations

import torch
from torch import Tensor

from evalkit.merging.base import merge_method
from evalkit.merging.methods.consensus import plain_merge
from evalkit.merging.methods.sparsify import in_order
from evalkit.merging.methods.sums import BLOCK

# Keeps the logarithm finite where a softmax is 0.
FLOOR = 1e-8


@merge_method("arcee_fusion", parents=(1, 1), statistics="sum")
def arcee_fusion(base: Tensor, tensors: list[Tensor], weights: list[float]) -> Tensor:
    """Arcee Fusion: of one parent only the changes that stand out, by size times divergence of their row.

    base + w (t - base) where |t - base| KL(softmax(t) + 1e-8 || softmax(base) + 1e-8) is at least its median + 1.5
    interquartile ranges over the tensor, else the base. The softmax and the divergence run along the last dimension;
    a quantile q of n numbers is the one of index int(q (n - 1)) in order.

    Source: there is no paper; the method is described in Arcee's "Meet mergekit v0.1" (arcee.ai, 2025) and defined by
    mergekit's arcee_fusion.py, which has w = 1, works in the tensor's own type, where the divergence of rows that
    changed little is rounding noise, and in a tensor of more than a million elements takes the quantiles of a random
    sample; this works in float64 and takes those of all. Where the divergence is 0 everywhere
    (rows of one element) nothing stands out, and the whole parent is taken.
    """
    importance = _importance(base, tensors[0])
    count = importance.numel()
    if count == 0:
        return plain_merge(base, tensors, weights, [None])
    first, median, third = in_order(importance, *(int(q * (count - 1)) for q in (0.25, 0.5, 0.75)))
    return plain_merge(base, tensors, weights, [importance >= median + 1.5 * (third - first)])


def _importance(base: Tensor, parent: Tensor) -> Tensor:
    """|parent - base| times the divergence of the row it is in, [elements], float64."""
    length = max(base.shape[-1] if base.ndim else 1, 1)
    importance = torch.empty(base.numel(), dtype=torch.float64, device=base.device)
    rows = max(BLOCK // length, 1)
    pairs = zip(torch.split(base.reshape(-1, length), rows), torch.split(parent.reshape(-1, length), rows), strict=True)
    for place, (old, new) in zip(torch.split(importance, rows * length), pairs, strict=True):
        q, p = old.double().softmax(dim=-1) + FLOOR, new.double().softmax(dim=-1) + FLOOR
        divergence = (p * (p / q).log()).sum(dim=-1, keepdim=True)
        place.copy_(((new.double() - old.double()).abs() * divergence).reshape(-1))
    return importance
