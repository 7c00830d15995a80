"""TIES-Merging."""

from __future__ import annotations

from torch import Tensor

from evalkit.errors import EvalkitError
from evalkit.merging.base import Stream, merge_method
from evalkit.merging.methods.consensus import disjoint_merge
from evalkit.merging.methods.sparsify import density_option, magnitudes, thresholds, trim
from metrics.options import Option

NORMALISE = Option(True, "average the task vectors that agree in sign; otherwise add them")
SCALE = Option(1.0, "what the merged task vector is multiplied by (lambda)")


def survey_magnitudes(
    stream: Stream, density: float, scope: str, normalise: bool, scale: float
) -> tuple[float, ...] | None:
    """Each parent's magnitude threshold over the whole model; None where none is needed."""
    return thresholds(stream, density) if scope == "model" and density < 1 else None


@merge_method(
    "ties",
    options={
        "density": density_option(0.2),
        "scope": Option(
            "model",
            "where the largest changes are sought: in the whole model, or in each tensor",
            choices=("model", "tensor"),
        ),
        "normalise": NORMALISE,
        "scale": SCALE,
    },
    survey=survey_magnitudes,
    statistics="agreed",
)
def ties(
    base: Tensor,
    tensors: list[Tensor],
    weights: list[float],
    survey: tuple[float, ...] | None,
    density: float,
    scope: str,
    normalise: bool,
    scale: float,
) -> Tensor:
    """TIES: each task vector's largest changes, a sign elected per element, the mean of those that agree.

    base + scale sum(w_i tau_i) / sum(|w_i|), both sums over the parents whose trimmed tau_i = t_i - base has the sign
    of sum(w_i tau_i). Source: Yadav et al. 2023, "TIES-Merging", section 3 (arXiv 2306.01708); its k = 20 % is the
    default density, its lambda the scale, and its coefficients are all 1.

    Under normalise only the ratios of the coefficients count (one parent with 0.5 is that parent); use scale to weaken
    the whole. A tie of signs elects none and leaves the base there, as sgn(0) = 0 does in the paper.

    scope "model" is the paper's: one threshold per task vector over all tensors that are merged. "tensor" trims each
    tensor to the density, keeping at least one element, so a scalar is never trimmed. In both, what equals the smallest
    magnitude kept is kept too, so more than the density may stay where many magnitudes are equal.
    """
    if density >= 1:
        return disjoint_merge(base, tensors, weights, [None] * len(tensors), normalise=normalise, scale=scale)
    sizes = (magnitudes(base, tensor) for tensor in tensors)
    if scope == "tensor":
        factors = [trim(size, density) for size in sizes]
    elif survey is None:
        raise EvalkitError(
            "The merge method 'ties' looks for the largest changes of the whole model; merge whole checkpoints, "
            "or set its option scope to tensor."
        )
    else:
        factors = [size >= threshold for size, threshold in zip(sizes, survey, strict=True)]
    return disjoint_merge(base, tensors, weights, factors, normalise=normalise, scale=scale)
