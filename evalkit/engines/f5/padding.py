"""What makes a padded batch of F5-TTS exact: no frame of a sentence sees the padding behind it.

The package masks its position convolution and zeroes attention's output, but in its configurations attention reads the
padded frames (modules.py:513), global response normalisation sums over them (modules.py:243), and without text masking
the text's convolutions read them. Only the instances of one network are changed; its parameters and names stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Padding:
    """Which frames of the batch that is being spoken are real: [B, N] bool, None where all are."""

    def __init__(self) -> None:
        self.real: Tensor | None = None

    @contextmanager
    def of(self, real: Tensor | None) -> Iterator[None]:
        self.real = real
        try:
            yield
        finally:
            self.real = None


class MaskedGRN(nn.Module):
    """Global response normalisation (Woo et al. 2023) over the real frames, with another one's parameters."""

    def __init__(self, grn: Any, padding: Padding) -> None:
        super().__init__()
        self.gamma, self.beta = grn.gamma, grn.beta
        self._padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, N, D]."""
        real = self._padding.real
        counted = x if real is None else x * real.unsqueeze(-1)
        response = torch.linalg.vector_norm(counted, dim=1, keepdim=True)
        share = response / (response.mean(dim=-1, keepdim=True) + 1e-6)
        result: Tensor = self.gamma * (x * share) + self.beta + x
        return result


class MaskedAttention:
    """Attention over the real frames, in place of `f5_tts.model.modules.AttnProcessor`.

    The package's own mask is [B, heads, N, N]; this one has a row per sentence and is broadcast.
    """

    def __init__(self, rotated_heads: int | None) -> None:
        self._rotated = rotated_heads  # None: all (modules.py:497)

    def __call__(self, attn: Any, x: Tensor, mask: Tensor | None = None, rope: Any = None) -> Tensor:
        """x: [B, N, D]; mask: [B, N], True for real frames; rope: what `RotaryEmbedding.forward_from_seq_len` gives."""
        query, key, value = (self._split(layer(x), attn.heads) for layer in (attn.to_q, attn.to_k, attn.to_v))
        if attn.q_norm is not None:
            query, key = attn.q_norm(query), attn.k_norm(key)
        if rope is not None:
            query, key = self._rotate(query, rope), self._rotate(key, rope, inverse=True)
        seen = None if mask is None else mask[:, None, None, :]
        heard = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        mixed: Tensor = attn.to_out[0](heard.transpose(1, 2).flatten(2))
        return mixed if mask is None else mixed.masked_fill(~mask.unsqueeze(-1), 0.0)

    @staticmethod
    def _split(x: Tensor, heads: int) -> Tensor:
        return x.view(*x.shape[:2], heads, -1).transpose(1, 2)  # [B, heads, N, D / heads]

    def _rotate(self, x: Tensor, rope: Any, inverse: bool = False) -> Tensor:
        from x_transformers.x_transformers import apply_rotary_pos_emb

        angles, scale = rope
        scale = 1.0 if scale is None else scale**-1.0 if inverse else scale
        rotated: Tensor = apply_rotary_pos_emb(x[:, : self._rotated], angles, scale)
        return rotated if self._rotated is None else torch.cat([rotated, x[:, self._rotated :]], dim=1)


def make_exact(transformer: Any) -> Padding:
    """Change a DiT's instances so that a padded batch speaks as its sentences do alone; returns what to tell it."""
    padding = Padding()
    for block in transformer.transformer_blocks:
        block.attn.processor = MaskedAttention(block.attn.processor.pe_attn_head)
    for block in getattr(transformer.text_embed, "text_blocks", ()):
        block.grn = MaskedGRN(block.grn, padding)
        block.dwconv.register_forward_pre_hook(lambda _, inputs: _without_padding(inputs[0], padding))
    return padding


def _without_padding(x: Tensor, padding: Padding) -> Tensor:
    """x: [B, D, N]."""
    return x if padding.real is None else x * padding.real.unsqueeze(1)
