"""From thinned task vectors to one: added up, or with a sign elected for every element and averaged over who agrees."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evalkit.merging.methods.sparsify import Factor
from evalkit.merging.methods.sums import add_vectors

# A sum this much smaller than its terms is what rounding left of an exact tie.
TIE = 2.0**-40


def elected_sign(votes: Sequence[Tensor]) -> Tensor:
    """The sign of the sum of the votes, element by element; 0 in a tie.

    Source: Yadav et al. 2023, TIES-Merging, section 3 step 2 (arXiv 2306.01708): gamma_m = sgn(sum(tau_t)).
    """
    total = sum(votes[1:], start=votes[0])
    mass = sum((vote.abs() for vote in votes[1:]), start=votes[0].abs())
    return torch.where(total.abs() > TIE * mass, total.sign(), 0.0)


def plain_merge(
    base: Tensor, tensors: list[Tensor], weights: list[float], factors: Sequence[Factor], scale: float = 1.0
) -> Tensor:
    """base + scale sum(w_i f_i (t_i - base)), f_i: the factors that a sparsification left, one for every element."""

    def choose(vectors: list[Tensor], part: slice) -> list[Tensor]:
        return [scale * weight * _part(factors, index, vectors, part) for index, weight in enumerate(weights)]

    return add_vectors(base, tensors, choose)


def disjoint_merge(
    base: Tensor,
    tensors: list[Tensor],
    weights: list[float],
    factors: Sequence[Factor],
    *,
    normalise: bool = True,
    scale: float = 1.0,
    votes: list[float] | None = None,
) -> Tensor:
    """base + scale m, m: for every element the mean of w_i f_i (t_i - base) over the parents whose sign was elected.

    A parent votes with v_i f_i (t_i - base), v_i its coefficient w_i unless `votes` says otherwise, and agrees where
    that has the elected sign. normalise: m is sum(w_i f_i (t_i - base)) / sum(|w_i|) over those that agree; without it,
    the sum alone. Where the vote is a tie, or nobody has anything left, the element is the base's.
    """

    def choose(vectors: list[Tensor], part: slice) -> list[Tensor]:
        kept = [_part(factors, index, vectors, part) for index in range(len(vectors))]
        cast = [vote * factor * vector for vote, factor, vector in zip(votes or weights, kept, vectors, strict=True)]
        sign = elected_sign(cast)
        agree = [(vote.sign() == sign) & (sign != 0) for vote in cast]
        chosen = [yes.double() * weight for yes, weight in zip(agree, weights, strict=True)]
        if normalise:
            share = sum((weight.abs() for weight in chosen[1:]), start=chosen[0].abs())
            chosen = [torch.where(share > 0, weight / share, 0.0) for weight in chosen]
        return [scale * factor * weight for factor, weight in zip(kept, chosen, strict=True)]

    return add_vectors(base, tensors, choose)


def _part(factors: Sequence[Factor], index: int, vectors: list[Tensor], part: slice) -> Tensor:
    factor = factors[index]
    return torch.ones_like(vectors[index]) if factor is None else factor[part].double()
