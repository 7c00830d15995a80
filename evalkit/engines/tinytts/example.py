"""A tinytts with random weights, small enough to speak at once."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from evalkit.checkpoints import section_of, write_checkpoint
from evalkit.engines.base import Example
from evalkit.engines.tinytts.model import Dimensions, TinyModel
from evalkit.engines.tinytts.text import PHONES
from evalkit.engines.tinytts.vocoder import ENVELOPE_BANDS, LOG_F0, VOICING

SMALL = Dimensions(chunks=12, width=24, hidden=32, hints=4, encoder_blocks=2, predictor_blocks=2, decoder_blocks=2)
LETTER = 7  # frames that a letter takes, about
TEXTS = (
    "Hello.",
    "A small voice, made of noise.",
    "Still waters run deep.",
    "Do not count your chickens before they are hatched.",
)


def write_example(folder: Path, seed: int) -> Example:
    """`tinytts.pth` in an existing folder. Raises EvalkitError if it cannot be written."""
    weights = random_weights(SMALL, seed)
    path = folder / "tinytts.pth"
    write_checkpoint(path, weights, sections=tuple(dict.fromkeys(section_of(key) for key in weights)))
    return Example(path, TEXTS)


def random_weights(size: Dimensions, seed: int) -> dict[str, Tensor]:
    """Canonical weights that babble at about 120 Hz and the level of speech, from the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    model = TinyModel(size)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 0.1 if parameter.ndim < 2 else 1 / math.sqrt(parameter[0].numel())
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
            if name.endswith("norm.weight"):
                parameter.add_(1)
        model.predictor.to_duration.bias.fill_(math.log(LETTER))
        phones = torch.randint(-1, len(PHONES), (size.chunks, 2), generator=generator)
        model.encoder.chunk_phones.copy_(phones)
        model.decoder.frame_mean[:ENVELOPE_BANDS] = -4
        model.decoder.frame_mean[LOG_F0] = math.log(120)
        model.decoder.frame_mean[VOICING] = 1
        model.decoder.frame_std[LOG_F0:] = 0.2
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}
