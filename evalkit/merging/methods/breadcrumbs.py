"""Model Breadcrumbs: task vectors without their smallest and their largest changes."""

from __future__ import annotations

from torch import Tensor

from evalkit.merging.base import merge_method
from evalkit.merging.methods.consensus import disjoint_merge, plain_merge
from evalkit.merging.methods.sparsify import Factor, count_kept, density_option, keep_between, magnitudes
from evalkit.merging.methods.ties import NORMALISE, SCALE
from metrics.options import Option

# Where the authors' own search for parameters starts (github.com/rezazzr/breadcrumbs, find_best_hyperparam.py).
OPTIONS = {
    "density": density_option(0.15),
    "gamma": Option(0.006, "share of each tensor's changes, the largest, that is dropped as outliers", 0.0, 1.0),
    "scale": SCALE,
}


@merge_method("breadcrumbs", options=OPTIONS, statistics="sum")
def breadcrumbs(
    base: Tensor, tensors: list[Tensor], weights: list[float], density: float, gamma: float, scale: float
) -> Tensor:
    """Breadcrumbs: task vectors without their largest changes (outliers) and their smallest, scaled and added.

    base + scale sum(w_i m_i (t_i - base)). Of a tensor's n changes m_i drops the int(gamma n) largest, keeps the next
    int(density n), and drops the rest; nothing is rescaled. Where density + gamma exceeds 1, fewer outliers go. At
    least one change is kept, and so are those equal to the smallest or the largest one kept.

    Source: Davari and Belilovsky 2024, "Model Breadcrumbs", section 3 (arXiv 2312.06795), its masks taken per tensor.
    """
    return plain_merge(base, tensors, weights, _factors(base, tensors, density, gamma), scale)


@merge_method("breadcrumbs_ties", options=OPTIONS | {"normalise": NORMALISE}, statistics="agreed")
def breadcrumbs_ties(
    base: Tensor,
    tensors: list[Tensor],
    weights: list[float],
    density: float,
    gamma: float,
    scale: float,
    normalise: bool,
) -> Tensor:
    """Breadcrumbs with TIES' consensus: without largest and smallest changes, a sign elected, the mean of who agrees.

    base + scale sum(w_i tau_i) / sum(|w_i|) over the parents that agree with the sign of sum(w_i tau_i), where tau_i is
    the task vector thinned as in `breadcrumbs`; without normalise, the sum alone. Sources: arXiv 2312.06795, section 3,
    and TIES-Merging, arXiv 2306.01708, section 3.
    """
    factors = _factors(base, tensors, density, gamma)
    return disjoint_merge(base, tensors, weights, factors, normalise=normalise, scale=scale)


def _factors(base: Tensor, tensors: list[Tensor], density: float, gamma: float) -> list[Factor]:
    count = base.numel()
    kept = count_kept(density, count)
    outliers = min(int(gamma * count), count - kept)
    return [keep_between(magnitudes(base, tensor), kept, outliers) for tensor in tensors]
