"""Weighted sums of tensors, a cache-sized block at a time: what every merge method ends in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Float64 buffers of this many elements stay in a core's cache, and temporary memory does not grow with the tensor.
BLOCK = 2**15

# (task vectors of one block, where the block lies in the flattened tensor) -> a coefficient for each of their elements.
Coefficients = Callable[[list[Tensor], slice], list[Tensor]]


def combine(tensors: Sequence[Tensor], coefficients: Sequence[float]) -> Tensor:
    """sum(c_i t_i), summed in float64, in the widest type of the tensors and float32.

    tensors: all of one shape; at least one coefficient is not 0. A tensor whose coefficient is 0 is left out: added as
    0 it would still turn -0 into 0.
    """
    terms = [(tensor, factor) for tensor, factor in zip(tensors, coefficients, strict=True) if factor != 0]

    def add(blocks: list[Tensor], _: slice) -> Tensor:
        total, *others = [block.mul_(factor) for block, (_, factor) in zip(blocks, terms, strict=True)]
        for other in others:
            total.add_(other)
        return total

    return _in_blocks([tensor for tensor, _ in terms], add, widest(tensors))


def add_vectors(base: Tensor, tensors: Sequence[Tensor], choose: Coefficients) -> Tensor:
    """base + sum(c_i (t_i - base)) with a coefficient c_i for every element, which choose() gives block by block.

    Written as (1 - sum(c_i)) base + sum(c_i t_i), leaving out what has the coefficient 0: so elements without any are
    the base's, and elements whose one coefficient is 1 are that parent's, bit for bit. Types as in combine().
    """

    def add(blocks: list[Tensor], part: slice) -> Tensor:
        start, *ends = blocks
        chosen = choose([end - start for end in ends], part)
        rest = 1 - sum(chosen[1:], start=chosen[0])
        # -0 is what changes no number that it is added to; 0 would turn -0 into 0.
        nothing = torch.tensor(-0.0, dtype=torch.float64, device=start.device)
        total = torch.where(rest != 0, rest * start, nothing)
        for factor, end in zip(chosen, ends, strict=True):
            total += torch.where(factor != 0, factor * end, nothing)
        return total

    return _in_blocks([base, *tensors], add, widest([base, *tensors]))


def gram(base: Tensor | None, tensors: Sequence[Tensor]) -> NDArray[np.float64]:
    """The inner products [k, k] of the k tensors (with a base: of their task vectors), each taken as one vector."""
    total = np.zeros((len(tensors), len(tensors)))
    for _, blocks in _blocks(list(tensors) if base is None else [base, *tensors]):
        rows = torch.stack(blocks) if base is None else torch.stack(blocks[1:]) - blocks[0]
        total += (rows @ rows.T).cpu().numpy()
    return total


def parts(count: int, device: torch.device) -> Iterator[slice]:
    """Slices that cover `count` elements in blocks; one slice on a GPU, which likes long ones."""
    step = BLOCK if device.type == "cpu" else max(count, 1)
    return (slice(first, min(first + step, count)) for first in range(0, count, step))


def _blocks(tensors: Sequence[Tensor]) -> Iterator[tuple[slice, list[Tensor]]]:
    """The tensors' blocks as float64 copies, which may be written to."""
    flat = [tensor.reshape(-1) for tensor in tensors]
    for part in parts(flat[0].numel(), flat[0].device):
        yield part, [tensor[part].to(torch.float64, copy=True) for tensor in flat]


def _in_blocks(
    tensors: Sequence[Tensor], function: Callable[[list[Tensor], slice], Tensor], dtype: torch.dtype
) -> Tensor:
    first = tensors[0]
    merged = torch.empty(first.numel(), dtype=dtype, device=first.device)
    for part, blocks in _blocks(tensors):
        merged[part] = function(blocks, part)
    return merged.reshape(first.shape)


def widest(tensors: Sequence[Tensor]) -> torch.dtype:
    """The widest type of the tensors and float32."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype
