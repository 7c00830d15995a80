"""The network of tinytts: characters to vocoder frames, without autoregression.

Three sections. The encoder decides which phones each letter speaks, through a softmax over phone chunks (none, one or
two phones), so that pronunciation lives there. The predictor gives each letter its frames; the decoder draws them.
Blocks follow ConvNeXt (Liu et al. 2022) in one dimension. Every convolution sees zeros outside the sentence, so a
sentence comes out the same alone and padded in a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evalkit.engines.tinytts import vocoder
from evalkit.engines.tinytts.text import SYMBOLS

POSITION_FEATURES = 4
_LONGEST_LETTER = 100  # frames; keeps a broken duration from filling the memory


@dataclass(frozen=True)
class Dimensions:
    """Sizes of the network; all of them can be read off a checkpoint's shapes."""

    chunks: int = 82
    width: int = 160
    hidden: int = 400
    hints: int = 16
    encoder_blocks: int = 4
    predictor_blocks: int = 2
    decoder_blocks: int = 6


class Reading(NamedTuple):
    """What the encoder says of each letter: chunk logits [B, L, chunks], hints beside the phones [B, L, hints]."""

    logits: Tensor
    hints: Tensor


class Draws(NamedTuple):
    """What chance adds, per letter: to chunk logits [B, L, chunks], states [B, L, width], log durations [B, L]."""

    logits: Tensor
    states: Tensor
    log_duration: Tensor


class ConvNormBlock(nn.Module):
    def __init__(self, width: int, kernel: int = 5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.conv((self.norm(x) * mask).transpose(1, 2)).transpose(1, 2)
        return x + F.gelu(y)


class ConvNeXtBlock(nn.Module):
    def __init__(self, width: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(width, width, kernel, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y: Tensor = self._mixed(x * mask)
        y = self.contract(F.gelu(self.expand(self.norm(y))))
        return x + y

    def _mixed(self, x: Tensor) -> Tensor:
        """The depthwise convolution along time of x [B, T, width], done in two dimensions: 4 times faster on a CPU."""
        image = x.transpose(1, 2).unsqueeze(2)
        padding = (0, self.mix.kernel_size[0] // 2)
        mixed: Tensor = F.conv2d(
            image, self.mix.weight.unsqueeze(2), self.mix.bias, padding=padding, groups=self.mix.groups
        )
        return mixed.squeeze(2).transpose(1, 2)


class Encoder(nn.Module):
    """Symbols [B, L] to a Reading. `chunk_phones` [chunks, 2]: which of text.PHONES a chunk holds, -1 for none."""

    chunk_phones: Tensor

    def __init__(self, size: Dimensions) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(SYMBOLS), size.width)
        self.blocks = nn.ModuleList(ConvNormBlock(size.width) for _ in range(size.encoder_blocks))
        self.norm = nn.LayerNorm(size.width)
        self.to_chunks = nn.Linear(size.width, size.chunks)
        self.to_hints = nn.Linear(size.width, size.hints)
        self.register_buffer("chunk_phones", torch.full((size.chunks, 2), -1))

    def forward(self, symbols: Tensor, mask: Tensor) -> Reading:
        x = self.embedding(symbols)
        for block in self.blocks:
            x = block(x, mask)
        x = self.norm(x)
        return Reading(self.to_chunks(x), self.to_hints(x))


class Predictor(nn.Module):
    """A Reading to letter states [B, L, width] and log(1 + frames) per letter [B, L]."""

    def __init__(self, size: Dimensions) -> None:
        super().__init__()
        self.from_chunks = nn.Linear(size.chunks, size.width, bias=False)
        self.from_hints = nn.Linear(size.hints, size.width)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(size.width, size.hidden, kernel=7) for _ in range(size.predictor_blocks)
        )
        self.norm = nn.LayerNorm(size.width)
        self.to_duration = nn.Linear(size.width, 1)

    def forward(self, reading: Reading, mask: Tensor) -> tuple[Tensor, Tensor]:
        x = self.from_chunks(reading.logits.softmax(-1)) + self.from_hints(reading.hints)
        for block in self.blocks:
            x = block(x, mask)
        x = self.norm(x)
        return x, self.to_duration(x).squeeze(-1)


class Decoder(nn.Module):
    """Letter states spread over frames [B, T, width + POSITION_FEATURES] to vocoder frames [B, T, FRAME].

    The network works in standard deviations of the teacher's frames, `frame_mean` and `frame_std` [FRAME].
    """

    frame_mean: Tensor
    frame_std: Tensor

    def __init__(self, size: Dimensions) -> None:
        super().__init__()
        self.start = nn.Linear(size.width + POSITION_FEATURES, size.width)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(size.width, size.hidden, kernel=9) for _ in range(size.decoder_blocks)
        )
        self.norm = nn.LayerNorm(size.width)
        self.to_frames = nn.Linear(size.width, vocoder.FRAME)
        self.register_buffer("frame_mean", torch.zeros(vocoder.FRAME))
        self.register_buffer("frame_std", torch.ones(vocoder.FRAME))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.normalised(x, mask) * self.frame_std + self.frame_mean

    def normalised(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.start(x)
        for block in self.blocks:
            x = block(x, mask)
        frames: Tensor = self.to_frames(self.norm(x))
        return frames


class Frames(NamedTuple):
    """What a batch of sentences sounds like.

    frames [B, T, FRAME] and how many of them count [B]; durations [B, L] in frames, chunks read [B, L] and how many
    letters count [B]; finite [B]: whether the durations were numbers.
    """

    frames: Tensor
    lengths: Tensor
    durations: Tensor
    chunks: Tensor
    letters: Tensor
    finite: Tensor


class TinyModel(nn.Module):
    def __init__(self, size: Dimensions) -> None:
        super().__init__()
        self.encoder, self.predictor, self.decoder = Encoder(size), Predictor(size), Decoder(size)

    def forward(self, symbols: Tensor, lengths: Tensor, speed: Tensor, draws: Draws | None = None) -> Frames:
        """symbols [B, L] padded with anything, lengths [B] in letters, speed [B] (2 is twice as fast).

        draws: what chance adds to the network's decisions; None for none.
        """
        mask = padding_mask(lengths, symbols.shape[1])
        reading = self.encoder(symbols, mask)
        if draws is not None:
            reading = Reading(reading.logits + draws.logits, reading.hints)
        states, log_duration = self.predictor(reading, mask)
        if draws is not None:
            states, log_duration = states + draws.states, log_duration + draws.log_duration
        durations = whole_durations(log_duration, mask, speed)
        frame_counts = durations.sum(1)
        spread = spread_over_frames(states, durations)
        frames = self.decoder(spread, padding_mask(frame_counts, spread.shape[1]))
        finite = (log_duration * mask.squeeze(-1)).isfinite().all(1)
        return Frames(frames, frame_counts, durations, reading.logits.argmax(-1), lengths, finite)


def padding_mask(lengths: Tensor, longest: int) -> Tensor:
    """[B, longest, 1]: one inside, zero in the padding."""
    inside = torch.arange(longest, device=lengths.device) < lengths[:, None]
    return inside[..., None].float()


def whole_durations(log_duration: Tensor, mask: Tensor, speed: Tensor) -> Tensor:
    """Frames per letter [B, L]. The running sum is rounded, so that the rounding errors of letters cancel."""
    wanted = log_duration.double().expm1().clamp(0, _LONGEST_LETTER).nan_to_num() * mask.squeeze(-1) / speed[:, None]
    ends = wanted.cumsum(1).round().long()
    return torch.diff(ends, dim=1, prepend=torch.zeros_like(ends[:, :1]))


def spread_over_frames(states: Tensor, durations: Tensor) -> Tensor:
    """States [B, L, width] repeated for their durations [B, L], with where in its letter each frame lies.

    Returns [B, T, width + POSITION_FEATURES], T that of the longest sentence, 1 at least.
    """
    ends = durations.cumsum(1)
    time = torch.arange(max(1, int(ends[:, -1].max())), device=states.device).expand(len(states), -1).contiguous()
    letter = torch.searchsorted(ends, time, right=True).clamp(max=states.shape[1] - 1)
    duration = durations.gather(1, letter).clamp(min=1)
    since = time - (ends - durations).gather(1, letter) + 0.5
    share = since / duration
    position = torch.stack([share, 1 - share, since / 10, (duration - since) / 10], -1).clamp(-4, 4)
    spread = states.gather(1, letter[..., None].expand(-1, -1, states.shape[2]))
    return torch.cat([spread, position.to(spread.dtype)], -1)
