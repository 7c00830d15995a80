"""From frames to audio: the text's features, the decoder, the harmonic source and the iSTFTNet generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from evalkit.engines.kokoro.blocks import Mask, mask_of, masked, residual_block, run_lstm, snake_block
from evalkit.engines.kokoro.config import STYLE
from evalkit.engines.kokoro.prosody import Timed, padded_ids, spread
from evalkit.engines.kokoro.source import harmonics


def decode(model: Any, timed: Sequence[Timed], f0: Tensor, energy: Tensor) -> list[Tensor]:
    """Audio [samples] of each sentence; f0 and energy [B, 2 T] (model.py:115-117, istftnet.py:408-421)."""
    decoder = model.decoder
    parameter = decoder.generator.conv_post.bias
    f0, energy = f0.to(parameter), energy.to(parameter)
    frames = [t.length for t in timed]
    mask, doubled = mask_of(frames, parameter), mask_of([2 * n for n in frames], parameter)
    style = torch.stack([t.sentence.style[:STYLE] for t in timed]).to(parameter)
    text = spread(text_features(model, timed), timed).transpose(1, 2)
    pitch = masked(decoder.F0_conv(f0[:, None]), mask)
    loudness = masked(decoder.N_conv(energy[:, None]), mask)
    x = residual_block(decoder.encode, torch.cat([text, pitch, loudness], 1), style, mask, mask)
    beside = [masked(decoder.asr_res(text), mask), pitch, loudness]
    *same_rate, upsampling = decoder.decode
    for block in same_rate:
        x = residual_block(block, torch.cat([x, *beside], 1), style, mask, mask)
    x = residual_block(upsampling, torch.cat([x, *beside], 1), style, mask, doubled)
    # One by one: a sentence's source is then the same in every batch, and so is what lies at its end.
    sources = [
        harmonics(decoder.generator, f0[row : row + 1, : 2 * length], t.sentence.seed)
        for row, (t, length) in enumerate(zip(timed, frames, strict=True))
    ]
    source = pad_sequence([s[0].T for s in sources], batch_first=True).transpose(1, 2)
    spectrum = _generate(decoder.generator, x, style, source, frames)
    lengths = [s.shape[-1] for s in sources]
    return [_waveform(decoder.generator, s[None, :, :n]) for s, n in zip(spectrum, lengths, strict=True)]


def text_features(model: Any, timed: Sequence[Timed]) -> list[Tensor]:
    """[N, C] of each sentence (TextEncoder, modules.py:53-74)."""
    encoder = model.text_encoder
    lengths = [len(t.sentence.ids) for t in timed]
    x = encoder.embedding(padded_ids([t.sentence for t in timed], encoder.embedding.weight.device)).transpose(1, 2)
    mask = mask_of(lengths, x)
    x = masked(x, mask)
    for block in encoder.cnn:
        x = masked(block(x), mask)
    x = run_lstm(encoder.lstm, x.transpose(1, 2), lengths, always_pack=True)
    return [row[:length] for row, length in zip(x, lengths, strict=True)]


def _generate(generator: Any, x: Tensor, style: Tensor, source: Tensor, frames: Sequence[int]) -> Tensor:
    """Generator (istftnet.py:299-323) up to its last convolution: [B, n_fft + 2, steps]."""
    lengths = [2 * n for n in frames]
    for stage, upsample in enumerate(generator.ups):
        last = stage == generator.num_upsamples - 1
        lengths = [length * upsample.stride[0] + last for length in lengths]
        mask = mask_of(lengths, x)
        beside = snake_block(
            generator.noise_res[stage], masked(generator.noise_convs[stage](source), mask), style, mask
        )
        x = upsample(F.leaky_relu(x, 0.1))
        x = generator.reflection_pad(x) if last else x
        x = masked(x, mask).add_(beside)
        x = _several(generator, stage, x, style, mask)
    found: Tensor = generator.conv_post(F.leaky_relu(x))
    return found


def _several(generator: Any, stage: int, x: Tensor, style: Tensor, mask: Mask) -> Tensor:
    """The mean of a stage's blocks, which have kernels of different widths."""
    first, *others = generator.resblocks[stage * generator.num_kernels : (stage + 1) * generator.num_kernels]
    total = snake_block(first, x, style, mask)
    for block in others:
        total += snake_block(block, x, style, mask)
    return total.div_(generator.num_kernels)


def _waveform(generator: Any, spectrum: Tensor) -> Tensor:
    """[1, n_fft + 2, steps] to [samples] (istftnet.py:323-325)."""
    bins = generator.post_n_fft // 2 + 1
    audio: Tensor = generator.stft.inverse(spectrum[:, :bins].exp(), spectrum[:, bins:].sin())
    return audio.flatten()
