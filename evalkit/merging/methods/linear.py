"""The linear methods: an average of parents, and a sum of task vectors."""

from __future__ import annotations

import math

from torch import Tensor

from evalkit.errors import EvalkitError
from evalkit.merging.base import merge_method
from evalkit.merging.methods.sums import combine, widest
from metrics.options import Option

ROUNDING = {
    "rounding": Option(
        "once",
        "once: only the result is rounded; each_step: every step is rounded to float32, as published scripts do",
        choices=("once", "each_step"),
    )
}


@merge_method("linear", needs_base=False)
def linear(base: Tensor | None, tensors: list[Tensor], weights: list[float]) -> Tensor:
    """Weighted average of the parents, sum(w_i t_i) / sum(w_i); the base takes no part.

    Source: Wortsman et al. 2022, "Model soups" (uniform soup for equal weights).
    """
    total = math.fsum(weights)
    if total == 0:
        raise EvalkitError("The merge method 'linear' cannot average with coefficients that add up to 0; change one.")
    return combine(tensors, [weight / total for weight in weights])


@merge_method("task_arithmetic", options=ROUNDING, statistics="sum")
def task_arithmetic(base: Tensor, tensors: list[Tensor], weights: list[float], rounding: str) -> Tensor:
    """base + sum(w_i (t_i - base)): task vectors, scaled and added.

    Source: Ilharco et al. 2023, "Editing models with task arithmetic", section 2 (arXiv 2212.04089).

    rounding: "once" writes it as (1 - sum(w_i)) base + sum(w_i t_i) in float64, which is the same and is rounded once:
    then one coefficient of 1 among zeros gives that parent bit for bit, and zeros alone the base, where
    base + (t - base) would round twice. "each_step" is base + w_1 (t_1 - base) + w_2 (t_2 - base), left to right, every
    step rounded to float32 and coefficients of 0 not left out, which reproduces the files of scripts that write it so.
    """
    return _add_task_vectors(base, tensors, weights, rounding)


@merge_method("hierarchical", options=ROUNDING, by_layer=True, statistics="sum")
def hierarchical(base: Tensor, tensors: list[Tensor], weights: list[float], rounding: str) -> Tensor:
    """base + sum(w_i (t_i - base)) with each layer's own coefficients, which the recipe's layer rules give.

    Source: HE-Vector, arXiv 2512.18699: one task vector rules the text embedding and the lower layers (dialect),
    another the upper ones (emotion). The formula is task_arithmetic's, and so is the option `rounding`.
    """
    return _add_task_vectors(base, tensors, weights, rounding)


def _add_task_vectors(base: Tensor, tensors: list[Tensor], weights: list[float], rounding: str) -> Tensor:
    if rounding == "once":
        return combine([base, *tensors], [1.0 - math.fsum(weights), *weights])
    dtype = widest([base, *tensors])
    start = base.to(dtype)
    merged = start
    for tensor, weight in zip(tensors, weights, strict=True):
        merged = merged + weight * (tensor.to(dtype) - start)
    return merged
