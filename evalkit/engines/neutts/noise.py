"""Gumbel noise that depends on a request's seed, the step and the token, and on nothing else.

A generator that is counted instead of drawn from (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"),
with the mixing function of SplitMix64 (Steele et al. 2014): whole numbers only, so the same on every device, in any
batch, and however a near-tie orders the candidates. argmax(log p + Gumbel) draws from p (Gumbel-max).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_BITS = 53  # of a float64


def keys(seeds: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """A key for each request, int64 [B]."""
    return _mixed(torch.tensor([_signed(seed) for seed in seeds], dtype=torch.int64, device=device))


def gumbel(keys: Tensor, step: int, tokens: Tensor) -> Tensor:
    """Standard Gumbel noise, float64 [B, K], for tokens [B, K] at a step; keys: int64 [B]."""
    of_step = _mixed(keys + _signed(_GOLDEN * (step + 1)))
    bits = _mixed(of_step[:, None] ^ _mixed(tokens))
    uniform = (_shifted(bits, 64 - _BITS).double() + 0.5) * 2.0**-_BITS  # never 0 and never 1
    return -(-uniform.log()).log()


def _mixed(x: Tensor) -> Tensor:
    """SplitMix64's finaliser; int64 arithmetic wraps as unsigned arithmetic does."""
    x = x + _signed(_GOLDEN)
    x = (x ^ _shifted(x, 30)) * _signed(_FIRST)
    x = (x ^ _shifted(x, 27)) * _signed(_SECOND)
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, by: int) -> Tensor:
    """Shift right, filling with zeros; torch fills with the sign."""
    return (x >> by) & ((1 << (64 - by)) - 1)


def _signed(number: int) -> int:
    """A whole number modulo 2**64, as int64 holds it."""
    low = number & (2**64 - 1)
    return low - 2**64 if low >= 2**63 else low
