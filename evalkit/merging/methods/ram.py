"""Reinforced Agent Merging: changes of one parent alone are kept whole, shared ones are averaged."""

from __future__ import annotations

import torch
from torch import Tensor

from evalkit.errors import EvalkitError
from evalkit.merging.base import Stream, merge_method
from evalkit.merging.methods.sparsify import magnitudes
from evalkit.merging.methods.sums import add_vectors, parts
from metrics.options import Option

EPSILON = Option(1e-5, "a weight is changed where it differs from the base by more than this", low=0.0)


@merge_method("ram", options={"epsilon": EPSILON}, statistics="shared")
def ram(base: Tensor, tensors: list[Tensor], weights: list[float], epsilon: float) -> Tensor:
    """RAM: where one parent alone changed a weight, its change; where several did, the mean of their changes.

    base + sum(w_i (t_i - base)) / c over the c parents with |t_i - base| > epsilon. Source: Yuan et al. 2026, "Behavior
    knowledge merge in reinforced agentic models" (arXiv 2601.13572), whose coefficients are all 1.
    """
    return _merge(base, tensors, weights, epsilon, [1.0] * len(tensors))


def survey_overlap(stream: Stream, epsilon: float, r: float, alpha: float) -> tuple[float, ...]:
    """rho of each parent: of the whole model, how many weights it and others changed over how many it alone changed."""
    shared: list[int] = []
    unique: list[int] = []
    for base, tensors in stream:
        shared, unique = shared or [0] * len(tensors), unique or [0] * len(tensors)
        start, ends = base.reshape(-1), [tensor.reshape(-1) for tensor in tensors]
        for part in parts(start.numel(), start.device):
            changed = [magnitudes(start[part], end[part]) > epsilon for end in ends]
            count = sum(changed[1:], start=changed[0].int())
            for index, mask in enumerate(changed):
                shared[index] += int((mask & (count > 1)).sum())
                unique[index] += int((mask & (count == 1)).sum())
    # Without a weight of its own rho is without meaning and without effect.
    return tuple(both / alone if alone else 0.0 for both, alone in zip(shared, unique, strict=True))


@merge_method(
    "ram_plus",
    options={
        "epsilon": EPSILON,
        "r": Option(0.1, "how much more the changes of one parent alone count, per unit of overlap", low=0.0),
        "alpha": Option(0.2, "the overlap at which that stops growing", low=0.0),
    },
    survey=survey_overlap,
    statistics="shared",
)
def ram_plus(
    base: Tensor,
    tensors: list[Tensor],
    weights: list[float],
    survey: tuple[float, ...] | None,
    epsilon: float,
    r: float,
    alpha: float,
) -> Tensor:
    """RAM+: as ram, but a parent's own changes are strengthened the more of its others are averaged away.

    Where one parent alone changed a weight, its change is multiplied by 1 + r min(rho_i, alpha); rho_i is the overlap
    of survey_overlap, over the whole model. Source: arXiv 2601.13572.
    """
    if survey is None:
        raise EvalkitError("The merge method 'ram_plus' counts the changes of a whole model; merge whole checkpoints.")
    return _merge(base, tensors, weights, epsilon, [1 + r * min(rho, alpha) for rho in survey])


def _merge(base: Tensor, tensors: list[Tensor], weights: list[float], epsilon: float, strengths: list[float]) -> Tensor:
    start, ends = base.reshape(-1), [tensor.reshape(-1) for tensor in tensors]

    def choose(vectors: list[Tensor], part: slice) -> list[Tensor]:
        changed = [(magnitudes(start[part], end[part]) > epsilon).double() for end in ends]
        count = sum(changed[1:], start=changed[0])
        return [
            weight * mask * torch.where(count == 1, strength, 1 / count.clamp(min=1))
            for weight, mask, strength in zip(weights, changed, strengths, strict=True)
        ]

    return add_vectors(base, tensors, choose)
