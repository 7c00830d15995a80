"""Merges along great circles: the tensors' directions are averaged on the sphere, their lengths apart.

A tensor is taken as one long vector. Whatever the method, the result is sum(c_i t_i) with one number c_i per parent
that depends on the parents' inner products alone; so these are computed first, and the tensors are added up once, as
in combine(). With a base that is base + sum(c_i (t_i - base)).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalkit.errors import EvalkitError
from evalkit.merging.base import merge_method
from evalkit.merging.methods.sums import add_vectors, combine, gram
from metrics.options import Option

Vector = NDArray[np.float64]

# Vectors at a smaller sine than this are parallel, where the ratio of sines is a line's to 1e-12, or opposite, where
# what rounding leaves of their cosine gives no plane to go along.
PARALLEL = 1e-6
# mergekit's bound, to agree with it: above this |cosine| it interpolates linearly, which is within 2e-4 of the arc.
ALMOST_PARALLEL = 0.9995


@merge_method("slerp", needs_base=False, parents=(2, 2))
def slerp(base: Tensor | None, tensors: list[Tensor], weights: list[float]) -> Tensor:
    """Spherical linear interpolation from the first parent to the second, at t = w_2 / (w_1 + w_2); no base.

    (sin((1 - t) a) t_1 + sin(t a) t_2) / sin(a), a: the angle between the two. Source: Shoemake 1985, "Animating
    rotation with quaternion curves". The angle is that of the directions, the interpolation is of the raw tensors, as
    in mergekit's slerp, so between parents of different lengths the length goes smoothly from one to the other. Where
    |cos(a)| > 0.9995, or a parent is zero, it is linear interpolation; nuslerp goes along the arc there too.
    """
    t = _position("slerp", weights)
    return combine(tensors, _on_the_arc(gram(None, tensors), t, ALMOST_PARALLEL))


@merge_method(
    "nuslerp",
    needs_base=False,
    parents=(2, 2),
    options={
        "flatten": Option(True, "take a tensor as one vector; otherwise each of its columns or rows"),
        "row_wise": Option(False, "without flatten: vectors run along the first dimension, not along the last"),
    },
)
def nuslerp(base: Tensor | None, tensors: list[Tensor], weights: list[float], flatten: bool, row_wise: bool) -> Tensor:
    """Spherical linear interpolation of two parents, or with a base of their task vectors, at t = w_2 / (w_1 + w_2).

    The formula is slerp's, on t_i - base and added to the base where there is one; linear only where vectors are
    parallel or opposite to 1e-6, or zero. flatten and row_wise mean what mergekit's nuslerp_flatten and
    nuslerp_row_wise do, where row_wise, in spite of its name, makes vectors of the columns, along dimension 0.
    Source: mergekit's nuslerp.
    """
    t = _position("nuslerp", weights)
    if flatten or tensors[0].ndim == 0:
        return _merge(base, tensors, _on_the_arc(gram(base, tensors), t, 1.0))
    dim = 0 if row_wise else -1
    start = torch.zeros_like(tensors[0]) if base is None else base
    one, two = (tensor.double() - start.double() for tensor in tensors)
    lengths = [vector.norm(dim=dim, keepdim=True) for vector in (one, two)]
    cosine = ((one * two).sum(dim=dim, keepdim=True) / (lengths[0] * lengths[1])).nan_to_num(0.0).clamp(-1, 1)
    angle = cosine.acos()
    arc = (angle.sin() > PARALLEL) & (lengths[0] > 0) & (lengths[1] > 0)
    share = [torch.where(arc, (part * angle).sin() / angle.sin(), part) for part in (1 - t, t)]
    coefficients = [part.expand(one.shape).reshape(-1) for part in share]
    return add_vectors(start, tensors, lambda _, part: [coefficient[part] for coefficient in coefficients])


@merge_method("multislerp", needs_base=False)
def multislerp(base: Tensor | None, tensors: list[Tensor], weights: list[float]) -> Tensor:
    """Barycentre on the sphere: averaged in the plane that touches it at the parents' mean direction, and back.

    With unit vectors u_i and coefficients that add up to 1: m = sum(w_i u_i) / |sum(w_i u_i)|, v = sum(w_i log_m(u_i)),
    result exp_m(v) sum(w_i |t_i|); log and exp as in `karcher`, of which this is one step. With a base it is the task
    vectors that are averaged. Source: the barycentre of Buss and Fillmore 2001, "Spherical averages", first iteration;
    Goddard's Multi-SLERP (goddard.blog, 2025) describes the same steps, but mergekit's code has u_i - (u_i m) m in
    place of the logarithm, whose weighted sum is 0, and so stays at m. Two parents with equal coefficients give slerp.
    """
    return _merge(base, tensors, _barycentre("multislerp", gram(base, tensors), weights, iterations=1, tolerance=0.0))


@merge_method(
    "karcher",
    needs_base=False,
    options={
        "iterations": Option(10, "the most steps towards the mean", low=1),
        "tolerance": Option(1e-5, "a step shorter than this, in radians, is the last", low=0.0),
    },
)
def karcher(
    base: Tensor | None, tensors: list[Tensor], weights: list[float], iterations: int, tolerance: float
) -> Tensor:
    """Karcher mean of the parents' directions, as long as the parents are on average; the base takes no part.

    From m = sum(w_i u_i) / |sum(w_i u_i)|, repeated: v = sum(w_i log_m(u_i)), m = exp_m(v), until |v| <= tolerance,
    where log_m(u) = a / sin(a) (u - cos(a) m) at the angle a between them and exp_m(v) = cos|v| m + sin|v| v / |v|. The
    result is m sum(w_i |t_i|). The coefficients are made to add up to 1. A zero tensor has no direction but counts in
    the length; where the directions cancel out, the result is the weighted average. Source: Karcher 1977; Buss and
    Fillmore 2001, "Spherical averages", algorithm A1.
    """
    return combine(tensors, _barycentre("karcher", gram(None, tensors), weights, iterations, tolerance))


def _merge(base: Tensor | None, tensors: list[Tensor], coefficients: list[float]) -> Tensor:
    if base is None:
        return combine(tensors, coefficients)
    return combine([base, *tensors], [1.0 - math.fsum(coefficients), *coefficients])


def _position(method: str, weights: list[float]) -> float:
    total = math.fsum(weights)
    if total == 0:
        raise EvalkitError(
            f"The merge method '{method}' cannot divide coefficients that add up to 0 into shares; change one."
        )
    return weights[1] / total


def _on_the_arc(products: Vector, t: float, straight: float) -> list[float]:
    """The two tensors' coefficients at t, from their inner products [2, 2]; on a line above the |cosine| `straight`."""
    lengths = np.sqrt(np.diag(products))
    if not lengths.all():
        return [1 - t, t]
    cosine = float(np.clip(products[0, 1] / lengths[0] / lengths[1], -1, 1))
    angle = math.acos(cosine)
    if abs(cosine) > straight or math.sin(angle) < PARALLEL:
        return [1 - t, t]
    return [math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)]


def _barycentre(method: str, products: Vector, weights: list[float], iterations: int, tolerance: float) -> list[float]:
    """The tensors' coefficients in their spherical mean, from their inner products [k, k].

    A direction is written as its coefficients x over the unit vectors u_i, so that its inner products with them are
    cosines @ x, and its length is sqrt(x @ cosines @ x).
    """
    if min(weights) < 0 or not any(weights):
        raise EvalkitError(
            f"The merge method '{method}' averages with coefficients of 0 or more, not all 0; change the others."
        )
    share = np.array(weights) / math.fsum(weights)
    lengths = np.sqrt(np.diag(products))
    directed = lengths > 0
    inverse = np.divide(1.0, lengths, where=directed, out=np.zeros_like(lengths))
    cosines = np.clip(products * np.outer(inverse, inverse), -1, 1)
    np.fill_diagonal(cosines, directed)
    pull = np.where(directed, share, 0.0)
    length = math.sqrt(max(pull @ cosines @ pull, 0.0))
    if length <= PARALLEL * pull.sum():
        return [float(part) for part in share]
    mean = pull / length
    pull = pull / pull.sum()
    for _ in range(iterations):
        step = _tangent(mean, cosines, pull)
        size = math.sqrt(max(step @ cosines @ step, 0.0))
        if size <= tolerance:
            break
        mean = math.cos(size) * mean + math.sin(size) / size * step
        mean /= math.sqrt(mean @ cosines @ mean)
    return [
        float(part) for part in np.divide((share @ lengths) * mean, lengths, where=directed, out=np.zeros_like(mean))
    ]


def _tangent(mean: Vector, cosines: Vector, pull: Vector) -> Vector:
    """sum(pull_i log_mean(u_i)): the direction in which the sum of squared angles falls fastest."""
    cosine = np.clip(cosines @ mean, -1, 1)
    angle = np.arccos(cosine)
    sine = np.sin(angle)
    # Along the mean itself the ratio is 1; opposite to it there is no direction to go.
    ratio = np.divide(angle, sine, where=sine > PARALLEL, out=np.where(cosine > 0, 1.0, 0.0))
    pulled = pull * ratio
    return pulled - (pulled @ cosine) * mean
