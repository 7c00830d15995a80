"""Low-rank approximation of an update by its largest singular values."""

from __future__ import annotations

import torch
from torch import Tensor

from evalkit.merging.lora_update import LowRank, Storage


def truncate(delta: Tensor, rank: int, storage: Storage = "plain") -> tuple[LowRank, float]:
    """The closest update of at most that rank, and the share of the energy (squared singular values) that it keeps.

    delta: in the shape of a weight; a convolution's is flattened to [out, in * kernel]. Closest in Frobenius norm:
    Eckart & Young 1936. sqrt(S) goes into each factor, so that both have the same size. The share of an update of
    zeros is 1.
    """
    matrix = (delta if storage == "plain" else delta.T).double()
    left, values, right = torch.linalg.svd(matrix.flatten(1), full_matrices=False)
    return _cut(left, values, right, rank, matrix.shape, storage)


def compress(update: LowRank, rank: int) -> tuple[LowRank, float]:
    """`truncate` of an update that is known by its factors, without making the full matrix.

    With B = Q_b R_b and A^T = Q_a R_a the singular values of B A are those of the small R_b R_a^T.
    """
    b, a = update.scale * update.b.double().flatten(1), update.a.double().flatten(1)
    basis_b, small_b = torch.linalg.qr(b)
    basis_a, small_a = torch.linalg.qr(a.T)
    left, values, right = torch.linalg.svd(small_b @ small_a.T, full_matrices=False)
    shape = torch.Size((b.shape[0], *update.a.shape[1:]))
    return _cut(basis_b @ left, values, right @ basis_a.T, rank, shape, update.storage)


def _cut(
    left: Tensor, values: Tensor, right: Tensor, rank: int, shape: torch.Size, storage: Storage
) -> tuple[LowRank, float]:
    """left [out, n], values [n] falling, right [n, in * kernel], shape [out, in, *kernel] -> factors, kept share."""
    rank = min(rank, len(values))
    root = values[:rank].sqrt()
    a = (root[:, None] * right[:rank]).reshape(rank, *shape[1:])
    b = (left[:, :rank] * root).reshape(shape[0], rank, *[1] * (len(shape) - 2))
    energy = values.square()
    total = float(energy.sum())
    kept = float(energy[:rank].sum()) / total if total > 0 else 1.0
    return LowRank(a.float(), b.float(), 1.0, storage), kept
