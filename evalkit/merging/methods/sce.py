"""SCE: select, calculate, erase."""

from __future__ import annotations

import torch
from torch import Tensor

from evalkit.merging.base import merge_method
from evalkit.merging.methods.consensus import disjoint_merge
from evalkit.merging.methods.sparsify import LEAST_DENSITY, Factor, trim
from evalkit.merging.methods.sums import parts
from metrics.options import Option


@merge_method(
    "sce",
    parents=(2, None),
    statistics="agreed",
    options={
        "select": Option(1.0, "share of each tensor, where the parents vary most, that is merged", LEAST_DENSITY, 1.0)
    },
)
def sce(base: Tensor, tensors: list[Tensor], weights: list[float], select: float) -> Tensor:
    """SCE: each tensor's task vectors weighted by their energy, where parents vary most, without minority signs.

    Select: of the elements whose task vectors t_i - base differ at all, the `select` with the largest variance over the
    parents (the smallest selected variance is selected whole); the rest stays the base's. Calculate: e_i = the sum of
    squares of the selected task vector. Erase: per element, those of the sign opposite to the sum of the task vectors.
    Result: base + sum(e_i tau_i) / sum(e_i) over the rest.

    The coefficients multiply: w_i e_i for e_i, and w_i tau_i in the sum that elects the sign; only their ratios count.
    Source: Wan et al. 2024, "FuseChat", section 3.3 (arXiv 2408.07990); the division by the remaining weights is that
    of mergekit's sce. Parents that are all the same vary nowhere, and then select below 1 leaves the base.
    """
    chosen = _select(base, tensors, select) if select < 1 else None
    energies = _energies(base, tensors, chosen)
    total = sum(energies) or 1.0
    scaled = [weight * energy / total for weight, energy in zip(weights, energies, strict=True)]
    return disjoint_merge(base, tensors, scaled, [chosen] * len(tensors), votes=weights)


def _select(base: Tensor, tensors: list[Tensor], select: float) -> Factor:
    variance = torch.empty(base.numel(), dtype=torch.float64, device=base.device)
    start, ends = base.reshape(-1), [tensor.reshape(-1) for tensor in tensors]
    for part in parts(start.numel(), start.device):
        vectors = torch.stack([end[part].double() - start[part] for end in ends])
        variance[part] = (vectors - vectors.mean(dim=0)).square_().mean(dim=0)
    varying = variance > 0
    mask = trim(variance[varying], select)
    chosen = varying.clone()
    if mask is not None:
        chosen[varying] = mask
    return chosen


def _energies(base: Tensor, tensors: list[Tensor], chosen: Factor) -> list[float]:
    """The sum of squares of each task vector over the chosen elements."""
    energies = [0.0] * len(tensors)
    start, ends = base.reshape(-1), [tensor.reshape(-1) for tensor in tensors]
    for part in parts(start.numel(), start.device):
        for index, end in enumerate(ends):
            vector = end[part].double() - start[part]
            energies[index] += float((vector if chosen is None else vector[chosen[part]]).square_().sum())
    return energies
