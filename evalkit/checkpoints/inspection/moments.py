"""Sums over the elements of several vectors, from which norms, cosines and sign conflicts follow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalkit.checkpoints.inspection.contents import pieces
from evalkit.checkpoints.inspection.report import Group, PairFigures, VectorFigures

Array = NDArray[np.float64]
# (relative, absolute) bound on how far storage alone moves an element.
Rounding = tuple[float, float]


@dataclass
class Moments:
    """Sums of n vectors x_i in float64. Arrays are [n] or [n, n]; a pair's sums run over the tensors that both have.

    elements: of each; base: sum of squares of the base where both are, on the diagonal where one is; dot: sum x_i x_j;
    own: own[i, j] is sum x_i^2 where j is too; size: sum |x_i|; largest: max |x_i|; moved: elements that are not zero;
    weight: sum |x_i x_j|; spread: sum (x_i x_j)^2; both: elements where neither is zero; opposed: those of different
    signs.
    """

    elements: Array
    base: Array
    dot: Array
    own: Array
    size: Array
    largest: Array
    moved: Array
    weight: Array
    spread: Array
    both: Array
    opposed: Array

    @classmethod
    def none(cls, n: int) -> Moments:
        """Of n vectors without elements."""
        flat, square = (n,), (n, n)
        shapes = [flat, square, square, square, flat, flat, flat, square, square, square, square]
        return cls(*(np.zeros(shape) for shape in shapes))

    def __add__(self, other: Moments) -> Moments:
        """Over the tensors of both."""
        combine = {"largest": np.maximum}
        names = [field.name for field in fields(self)]
        return Moments(*(combine.get(name, np.add)(getattr(self, name), getattr(other, name)) for name in names))

    def add(self, base: Tensor | None, models: Sequence[Tensor | None], rounding: Sequence[Rounding]) -> None:
        """Take in one tensor. base, models: float32 of one shape; None for a model without it, no base: zeros.

        rounding: per model; a difference within it is zero. Only a chunk is in float64 at a time.
        """
        here = [index for index, model in enumerate(models) if model is not None]
        streams = [pieces(model) for model in models if model is not None]
        origin = pieces(base) if base is not None else None
        for chunks in zip(*streams, strict=True):
            b = next(origin).double() if origin is not None else None
            self._add_chunk(b, {i: chunk.double() for i, chunk in zip(here, chunks, strict=True)}, rounding)

    def _add_chunk(self, base: Tensor | None, models: dict[int, Tensor], rounding: Sequence[Rounding]) -> None:
        vectors = {}
        length = 0.0 if base is None else float(base.dot(base))
        for i, model in models.items():
            vectors[i] = x = model if base is None else _difference(model, base, *rounding[i])
            self.elements[i] += x.numel()
            self.base[i, i] += length
            self.dot[i, i] += (own := float(x.dot(x)))
            self.own[i, i] += own
            magnitude = x.abs()
            self.size[i] += float(magnitude.sum())
            self.largest[i] = max(self.largest[i], float(magnitude.max()) if magnitude.numel() else 0.0)
            self.moved[i] += int(x.count_nonzero())
        for i, j in combinations(models, 2):
            x, y = vectors[i], vectors[j]
            product = x * y
            self.base[i, j] += length
            self.own[i, j] += float(x.dot(x))
            self.own[j, i] += float(y.dot(y))
            self.dot[i, j] += float(x.dot(y))
            if base is not None:
                self.spread[i, j] += float(product.dot(product))
                self.weight[i, j] += float(product.abs().sum())
                self.both[i, j] += int(product.count_nonzero())  # float32 squared is far from underflow in float64
                self.opposed[i, j] += int((product < 0).count_nonzero())


def _difference(model: Tensor, base: Tensor, relative: float, absolute: float) -> Tensor:
    """model - base, zero where storage alone explains it."""
    difference = model - base
    if relative or absolute:
        difference[difference.abs() <= base.abs() * relative + absolute] = 0.0
    return difference


def rounding_of(stored: torch.dtype, base: torch.dtype, stored_folded: bool, base_folded: bool) -> Rounding:
    """What storage alone can change, by the coarser of two types.

    Half a unit in the last place between types; two units where one is a folded weight norm, whose magnitude, direction
    and product were each rounded. Nothing between tensors that are stored alike.
    """
    if stored == base and stored_folded == base_folded:
        return 0.0, 0.0
    limits = max((torch.finfo(stored), torch.finfo(base)), key=lambda info: info.eps)
    units = 2.0 if stored_folded or base_folded else 0.5
    return units * limits.eps, units * limits.eps * limits.smallest_normal


def figures(name: str, moments: Moments, models: Sequence[str], against_base: bool) -> Group:
    """The figures of a group of tensors."""
    vectors = tuple(_vector(moments, i, model, against_base) for i, model in enumerate(models))
    pairs = tuple(_pair(moments, i, j, models, against_base) for i, j in combinations(range(len(models)), 2))
    return Group(name, int(moments.elements.max()), vectors, pairs)


def _vector(m: Moments, i: int, model: str, against_base: bool) -> VectorFigures:
    elements, norm = m.elements[i], math.sqrt(m.dot[i, i])
    return VectorFigures(
        model=model,
        elements=int(elements),
        norm=norm,
        relative_norm=norm / math.sqrt(m.base[i, i]) if m.base[i, i] > 0 else None,
        moved=float(m.moved[i] / elements) if against_base and elements else None,
        mean_abs=float(m.size[i] / elements) if elements else None,
        max_abs=float(m.largest[i]),
    )


def _pair(m: Moments, i: int, j: int, models: Sequence[str], against_base: bool) -> PairFigures:
    lengths = math.sqrt(m.own[i, j]) * math.sqrt(m.own[j, i])
    apart = math.sqrt(max(0.0, m.own[i, j] + m.own[j, i] - 2 * m.dot[i, j]))
    unit = math.sqrt(m.base[i, j] if against_base else (m.own[i, j] + m.own[j, i]) / 2)
    weight = m.weight[i, j]
    return PairFigures(
        first=models[i],
        second=models[j],
        cosine=float(np.clip(m.dot[i, j] / lengths, -1, 1)) if lengths else None,
        distance=apart / unit if unit else None,
        both_moved=int(m.both[i, j]) if against_base else None,
        conflict=float(m.opposed[i, j] / m.both[i, j]) if m.both[i, j] else None,
        weighted_conflict=float((1 - m.dot[i, j] / weight) / 2) if weight else None,
        standard_error=float(math.sqrt(m.spread[i, j]) / (2 * weight)) if weight else None,
    )
