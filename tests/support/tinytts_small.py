"""A tinytts small enough for fast tests, with random weights that speak."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from evalkit.engines.base import Request
from evalkit.engines.tinytts.model import Dimensions, TinyModel
from evalkit.engines.tinytts.text import PHONES
from evalkit.engines.tinytts.vocoder import ENVELOPE_BANDS, LOG_F0, VOICING

SMALL = Dimensions(
    chunks=12, width=24, hidden=32, hints=4, encoder_blocks=2, predictor_blocks=2, decoder_blocks=2
)  # fmt: skip


def small_weights(seed: int = 0) -> dict[str, Tensor]:
    """Random weights of a small network that speaks about 60 ms a letter in a plausible range."""
    torch.manual_seed(seed)
    model = TinyModel(SMALL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        model.predictor.to_duration.bias.fill_(math.log(7))
        model.encoder.chunk_phones.copy_(torch.randint(-1, len(PHONES), (SMALL.chunks, 2)))
        model.decoder.frame_mean[:ENVELOPE_BANDS] = -4
        model.decoder.frame_mean[LOG_F0] = math.log(120)
        model.decoder.frame_mean[VOICING] = 1
        model.decoder.frame_std[LOG_F0:] = 0.2
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}


def requests(texts: list[str], **options: float) -> list[Request]:
    return [Request(str(index), text, seed=index, options=options) for index, text in enumerate(texts)]
