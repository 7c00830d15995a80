"""The kokoro package's blocks on padded batches: every sentence comes out as it does alone.

A mask is [B, 1, L], one inside a sentence and zero in the padding, or None where nothing is padded; then the arithmetic
is the package's own. Tensors that go from one function to the next are zero in the padding, as convolutions see zeros
beyond the end of a sentence that is alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

Mask = Tensor | None


def mask_of(lengths: Sequence[int], like: Tensor) -> Mask:
    """The mask of sentences of these lengths, on the device and in the type of `like`."""
    longest = max(lengths)
    if min(lengths) == longest:
        return None
    ends = torch.tensor(lengths, device=like.device)
    return (torch.arange(longest, device=like.device) < ends[:, None])[:, None].to(like.dtype)


def masked(x: Tensor, mask: Mask) -> Tensor:
    return x if mask is None else x * mask


def run_lstm(lstm: nn.LSTM, x: Tensor, lengths: Sequence[int], always_pack: bool = False) -> Tensor:
    """x [B, L, C] to [B, L, 2 hidden]; the backward direction starts at each sentence's own end.

    always_pack: where the package packs a sentence that is alone too; the last bit of the result depends on it, and
    the phase of a high harmonic on the last bit of F0.
    """
    if min(lengths) == x.shape[1] and not always_pack:
        states: Tensor = lstm(x)[0]
        return states
    packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]


def adain(norm: Any, x: Tensor, style: Tensor, mask: Mask) -> Tensor:
    """AdaIN1d (istftnet.py:20-31): x [B, C, L] normalised over each sentence's own length, style [B, S]."""
    if mask is None:
        alone: Tensor = norm(x, style)
        return alone
    count = mask.sum(-1, keepdim=True)
    mean = x.sum(-1, keepdim=True) / count
    centred = torch.addcmul(x, mean, mask, value=-1)
    variance = torch.linalg.vector_norm(centred, dim=-1, keepdim=True).square() / count
    scale, shift = _affine(norm, style)
    scale = scale * (variance + norm.norm.eps).rsqrt()
    return torch.addcmul(shift, centred, scale).mul_(mask)


def _affine(norm: Any, style: Tensor) -> tuple[Tensor, Tensor]:
    """What follows the normalisation, [B, C, 1] each: (w n + b) (1 + gamma) + beta as scale and shift of n."""
    gamma, beta = norm.fc(style)[..., None].chunk(2, dim=1)
    return (1 + gamma) * norm.norm.weight[:, None], (1 + gamma) * norm.norm.bias[:, None] + beta


def residual_block(block: Any, x: Tensor, style: Tensor, before: Mask, after: Mask) -> Tensor:
    """AdainResBlk1d (istftnet.py:341-386). `after` is the mask at the output's rate, doubled if the block upsamples."""
    y = F.leaky_relu(adain(block.norm1, x, style, before), 0.2)
    y = block.conv1(masked(block.pool(y), after))
    y = F.leaky_relu(adain(block.norm2, masked(y, after), style, after), 0.2)
    y = masked(block.conv2(y), after)
    shortcut: Tensor = block._shortcut(x)
    return (y + shortcut) * torch.rsqrt(torch.tensor(2))


def snake_block(block: Any, x: Tensor, style: Tensor, mask: Mask) -> Tensor:
    """AdaINResBlock1 (istftnet.py:34-76): three pairs of dilated convolutions after Snake1D."""
    for half in zip(block.convs1, block.convs2, block.adain1, block.adain2, block.alpha1, block.alpha2, strict=True):
        conv1, conv2, norm1, norm2, alpha1, alpha2 = half
        y = conv1(_snake(adain(norm1, x, style, mask), alpha1))
        y = y if mask is None else y.mul_(mask)
        y = conv2(_snake(adain(norm2, y, style, mask), alpha2))
        x = x + y if mask is None else torch.addcmul(x, y, mask)
    return x


def _snake(x: Tensor, alpha: Tensor) -> Tensor:
    """x + sin(alpha x)^2 / alpha, in place: these tensors are the largest of all. Leaves zeros zero."""
    wave = torch.mul(x, alpha).sin_().square_()
    return x.addcmul_(wave, 1 / alpha)
