"""From symbols to frames: how long each symbol lasts, and the pitch and energy of every half frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from evalkit.engines.kokoro.blocks import Mask, mask_of, masked, residual_block, run_lstm
from evalkit.engines.kokoro.config import STYLE


@dataclass(frozen=True)
class Sentence:
    """What the network is given. ids: with a zero at both ends; style [256]: a row of a voice pack."""

    ids: Sequence[int]
    style: Tensor
    speed: float
    seed: int


@dataclass(frozen=True)
class Timed:
    """A sentence with its durations. states: of the predictor, [N, C]; frames: per symbol; finite: are they numbers?"""

    sentence: Sentence
    states: Tensor
    frames: Sequence[int]
    finite: bool

    @property
    def length(self) -> int:
        return sum(self.frames)


def padded_ids(sentences: Sequence[Sentence], device: torch.device) -> Tensor:
    """[B, N]; zeros, which are no symbol, fill the rows."""
    return pad_sequence([torch.tensor(s.ids) for s in sentences], batch_first=True).to(device)


def predict_durations(model: Any, sentences: Sequence[Sentence]) -> list[Timed]:
    """Durations of all sentences as one batch (model.py:94-110)."""
    parameter = model.bert_encoder.weight
    lengths = [len(sentence.ids) for sentence in sentences]
    ids = padded_ids(sentences, parameter.device)
    style = torch.stack([s.style[STYLE:] for s in sentences]).to(parameter)
    speed = torch.tensor([s.speed for s in sentences], device=parameter.device, dtype=parameter.dtype)
    mask = mask_of(lengths, parameter)
    inside = torch.ones_like(ids) if mask is None else mask[:, 0].long()
    text = model.bert_encoder(model.bert(ids, attention_mask=inside.int()))
    states = _encode(model.predictor.text_encoder, text, style, lengths, mask)
    x = run_lstm(model.predictor.lstm, states, lengths)
    wanted = torch.sigmoid(model.predictor.duration_proj(x)).sum(-1) / speed[:, None]
    durations = wanted.round().clamp(min=1).nan_to_num(1).long() * inside
    finite = (wanted.isfinite() | (inside == 0)).all(-1)
    return [
        Timed(sentence, states[row, :length], frames[:length], good)
        for row, (sentence, length, frames, good) in enumerate(
            zip(sentences, lengths, durations.tolist(), finite.tolist(), strict=True)
        )
    ]


def _encode(encoder: Any, text: Tensor, style: Tensor, lengths: Sequence[int], mask: Mask) -> Tensor:
    """DurationEncoder (modules.py:139-176): text [B, N, C] to [B, N, C + S]."""
    inside = None if mask is None else mask.transpose(1, 2)
    style_everywhere = style[:, None].expand(-1, text.shape[1], -1)
    x = masked(torch.cat([text, style_everywhere], -1), inside)
    for lstm, norm in zip(encoder.lstms[::2], encoder.lstms[1::2], strict=True):
        x = norm(run_lstm(lstm, x, lengths, always_pack=True), style)
        x = masked(torch.cat([x, style_everywhere], -1), inside)
    return x


def spread(states: Sequence[Tensor], timed: Sequence[Timed]) -> Tensor:
    """Symbols' states [N, C] of each sentence repeated for their durations: [B, T, C], zero in the padding.

    The same numbers as the package's product with a matrix of zeros and ones (model.py:111-114).
    """
    repeats = [torch.tensor(t.frames, device=s.device) for s, t in zip(states, timed, strict=True)]
    return pad_sequence(
        [
            torch.repeat_interleave(s, r, dim=0, output_size=t.length)
            for s, r, t in zip(states, repeats, timed, strict=True)
        ],
        batch_first=True,
    )


def curves(model: Any, timed: Sequence[Timed]) -> tuple[Tensor, Tensor]:
    """F0 in Hz and energy, [B, 2 T] each, in the predictor's type (ProsodyPredictor.F0Ntrain, modules.py:124-136)."""
    predictor = model.predictor
    x = spread([t.states for t in timed], timed)
    style = torch.stack([t.sentence.style[STYLE:] for t in timed]).to(x)
    frames = [t.length for t in timed]
    mask, doubled = mask_of(frames, x), mask_of([2 * n for n in frames], x)
    shared = masked(run_lstm(predictor.shared, x, frames).transpose(1, 2), mask)

    def curve(blocks: nn.ModuleList, projection: nn.Module) -> Tensor:
        first, second, third = blocks
        y = residual_block(first, shared, style, mask, mask)
        y = residual_block(second, y, style, mask, doubled)
        y = residual_block(third, y, style, doubled, doubled)
        return masked(projection(y), doubled).squeeze(1)

    return curve(predictor.F0, predictor.F0_proj), curve(predictor.N, predictor.N_proj)
