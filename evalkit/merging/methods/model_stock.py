"""Model Stock."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from evalkit.errors import EvalkitError
from evalkit.merging.base import merge_method
from evalkit.merging.methods.sums import combine, gram


@merge_method("model_stock", parents=(2, None))
def model_stock(base: Tensor, tensors: list[Tensor], weights: list[float]) -> Tensor:
    """Model Stock: from the base towards the parents' average, as far as the parents' task vectors agree.

    base + t (mean(t_i) - base) with t = k c / (1 + (k - 1) c), c the mean cosine between two of the k task vectors,
    each tensor on its own. Source: Jang, Yun, Han 2024, "Model Stock", eq. 5 and section 4 (arXiv 2403.19522), whose c
    is one angle that all pairs are taken to share.

    Where the task vectors do not agree (c <= 0) the tensor stays the base's; a task vector of zero has the cosine 0 to
    all others. The parents are averaged as equals, so coefficients that differ are refused.
    """
    count = len(tensors)
    if len(set(weights)) > 1:
        raise EvalkitError(
            "The merge method 'model_stock' averages its parents as equals; give all of them the same coefficient."
        )
    products = gram(base, tensors)
    lengths = np.sqrt(np.diag(products))
    scale = np.outer(lengths, lengths)
    cosines = np.divide(products, scale, where=scale > 0, out=np.zeros_like(scale))
    pairs = cosines[np.triu_indices(count, 1)]
    agreement = float(np.clip(pairs.mean(), 0, 1)) if len(pairs) else 1.0
    step = count * agreement / (1 + (count - 1) * agreement)
    return combine([base, *tensors], [1 - step, *[step / count] * count])
