"""The built-in merge methods."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from evalkit.errors import EvalkitError
from evalkit.merging.base import merge_method


@merge_method("linear", needs_base=False)
def linear(base: Tensor | None, tensors: list[Tensor], weights: list[float]) -> Tensor:
    """Weighted average of the parents, sum(w_i t_i) / sum(w_i); the base takes no part.

    Source: Wortsman et al. 2022, "Model soups" (uniform soup for equal weights).
    """
    total = math.fsum(weights)
    if total == 0:
        raise EvalkitError("The merge method 'linear' cannot average with coefficients that add up to 0; change one.")
    return _combine(tensors, [weight / total for weight in weights])


@merge_method("task_arithmetic")
def task_arithmetic(base: Tensor, tensors: list[Tensor], weights: list[float]) -> Tensor:
    """base + sum(w_i (t_i - base)): task vectors, scaled and added. Source: Ilharco et al. 2023, eq. in section 2.

    Written as (1 - sum(w_i)) base + sum(w_i t_i), which is the same: then one coefficient of 1 among zeros gives that
    parent bit for bit, and zeros alone the base, where base + (t - base) would round twice.
    """
    rest = 1.0 - math.fsum(weights)
    return _combine([base, *tensors], [rest, *weights])


def _combine(tensors: list[Tensor], coefficients: list[float]) -> Tensor:
    """sum(c_i t_i), summed in float64, returned in the widest type of the tensors and float32.

    The coefficients add up to 1, so at least one is not 0. A tensor whose coefficient is 0 is left out: added as 0 it
    would still turn -0 into 0.
    """
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    terms = (tensor.double() * factor for tensor, factor in zip(tensors, coefficients, strict=True) if factor != 0)
    return functools.reduce(torch.add, terms).to(dtype)
