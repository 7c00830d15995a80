"""DELLA: task vectors thinned at random, small changes more than large ones."""

from __future__ import annotations

import torch
from torch import Tensor

from evalkit.errors import EvalkitError
from evalkit.merging.base import merge_method
from evalkit.merging.methods.consensus import disjoint_merge, plain_merge
from evalkit.merging.methods.sparsify import Factor, density_option, magnitudes, magprune
from evalkit.merging.methods.ties import SCALE
from metrics.options import Option

OPTIONS = {
    "density": density_option(0.5),
    "window": Option(0.2, "chance of the largest change to be kept, less that of the smallest (epsilon)", 0.0, 1.0),
    "scale": SCALE,
}


@merge_method("della", options=OPTIONS, random=True, statistics="agreed")
def della(
    base: Tensor,
    tensors: list[Tensor],
    weights: list[float],
    generators: list[torch.Generator],
    density: float,
    window: float,
    scale: float,
) -> Tensor:
    """DELLA: thinned at random, small changes more than large ones, a sign elected, the mean of those that agree.

    base + scale sum(w_i tau_i) / sum(|w_i|) over the parents that agree with the sign of sum(w_i tau_i), where
    tau_i = m_i (t_i - base) / p_i and m_i is 1 by the chance p_i, else 0. In each row of a tensor (all weights into one
    output; a vector is one row) p_i = density - window/2 + window r / (n - 1) for the ranks r = 0 .. n - 1 from the
    smallest magnitude to the largest.

    Source: Deep, Bhardwaj, Poria 2024, DELLA-Merging, section 3 (arXiv 2406.11617): MagPrune with their drop rate
    p = 1 - density, window epsilon and scale lambda. The chances run over both ends of the window, as in the authors'
    code (github.com/declare-lab/della, rank_magnitude), where the paper's epsilon r / n leaves out one. Elements are
    rescaled one by one, as in both. A tensor of one element is not thinned.
    """
    return disjoint_merge(base, tensors, weights, _factors(base, tensors, density, window, generators), scale=scale)


@merge_method("della_linear", options=OPTIONS, random=True, statistics="sum")
def della_linear(
    base: Tensor,
    tensors: list[Tensor],
    weights: list[float],
    generators: list[torch.Generator],
    density: float,
    window: float,
    scale: float,
) -> Tensor:
    """DELLA without election: thinned at random, small changes more than large ones, then scaled and added.

    base + scale sum(w_i tau_i), tau_i, source and options as in `della`.
    """
    return plain_merge(base, tensors, weights, _factors(base, tensors, density, window, generators), scale)


def _factors(
    base: Tensor, tensors: list[Tensor], density: float, window: float, generators: list[torch.Generator]
) -> list[Factor]:
    low, high = density - window / 2, density + window / 2
    if density < 1 and not (low > 0 and high <= 1):
        raise EvalkitError(
            f"The merge methods 'della' and 'della_linear' cannot keep changes by chances from {low:g} to {high:g}; "
            "choose a smaller window, or a density nearer to 0.5."
        )
    length = base[0].numel() if base.ndim > 1 and base.shape[0] else base.numel()
    return [
        magprune(magnitudes(base, tensor).reshape(-1, max(length, 1)), density, window, generator)
        for tensor, generator in zip(tensors, generators, strict=True)
    ]
