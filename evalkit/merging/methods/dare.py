"""DARE: task vectors thinned at random and rescaled."""

from __future__ import annotations

import torch
from torch import Tensor

from evalkit.merging.base import merge_method
from evalkit.merging.methods.consensus import disjoint_merge, plain_merge
from evalkit.merging.methods.sparsify import Factor, density_option, drop
from evalkit.merging.methods.ties import NORMALISE, SCALE

DENSITY = density_option(0.5)


@merge_method("dare_linear", options={"density": DENSITY}, random=True, statistics="sum")
def dare_linear(
    base: Tensor, tensors: list[Tensor], weights: list[float], generators: list[torch.Generator], density: float
) -> Tensor:
    """DARE: each task vector thinned at random and rescaled by 1/density, then scaled and added.

    base + sum(w_i m_i (t_i - base) / density), each m_i 1 by the chance `density`, else 0. Source: Yu et al. 2024,
    "Language models are super Mario", section 3.2 (arXiv 2311.03099); their drop rate p is 1 - density. The rescaling
    is the paper's, which leaves the expected task vector as it was, and not one to an equal norm. A tensor of one
    element is not thinned: it would vanish or grow by 1/density as a whole.
    """
    return plain_merge(base, tensors, weights, _factors(tensors, density, generators))


@merge_method(
    "dare_ties",
    options={"density": DENSITY, "normalise": NORMALISE, "scale": SCALE},
    random=True,
    statistics="agreed",
)
def dare_ties(
    base: Tensor,
    tensors: list[Tensor],
    weights: list[float],
    generators: list[torch.Generator],
    density: float,
    normalise: bool,
    scale: float,
) -> Tensor:
    """DARE with TIES' consensus: thinned at random, a sign elected per element, the mean of those that agree.

    base + scale sum(w_i tau_i) / sum(|w_i|) over the parents that agree with the sign of sum(w_i tau_i), where
    tau_i = m_i (t_i - base) / density as in dare_linear; without normalise, the sum alone. Random thinning stands in
    for TIES' trimming. Sources: arXiv 2311.03099, section 3.3, and TIES-Merging, arXiv 2306.01708, section 3.
    """
    factors = _factors(tensors, density, generators)
    return disjoint_merge(base, tensors, weights, factors, normalise=normalise, scale=scale)


def _factors(tensors: list[Tensor], density: float, generators: list[torch.Generator]) -> list[Factor]:
    return [
        drop(tensor.numel(), density, generator, tensor.device)
        for tensor, generator in zip(tensors, generators, strict=True)
    ]
