"""A merge method: the median of the scaled task vectors, which one parent that went astray cannot pull away."""

from __future__ import annotations

import torch
from torch import Tensor

from evalkit.merging import merge_method


@merge_method("median")
def median(base: Tensor, tensors: list[Tensor], weights: list[float]) -> Tensor:
    """base + median(w_i (t_i - base)), element by element; of an even number of parents, the mean of the middle two."""
    # Called once per tensor of the checkpoint with effective float weights: no keys, no sections, no files here.
    vectors = torch.stack([weight * (tensor - base) for tensor, weight in zip(tensors, weights, strict=True)])
    lower, upper = vectors.median(dim=0).values, -(-vectors).median(dim=0).values
    return base + (lower + upper) / 2
