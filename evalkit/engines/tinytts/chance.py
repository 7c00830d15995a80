"""What a temperature above 0 leaves to chance: another seed, another reading of the same sentence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evalkit.engines.tinytts.model import Draws, TinyModel
from metrics.options import Option

TEMPERATURE = Option(
    default=0.0,
    description="How much is left to chance: 0 nothing, so that a seed changes nothing; 1 lively; more stumbles.",
    low=0.0,
    high=3.0,
)
# Standard deviations at temperature 1, at which the bundled judges hear another take and hardly a worse one.
_LOGITS, _STATES, _LOG_DURATION = 1.5, 0.1, 0.1


def draw(
    model: TinyModel,
    chances: Sequence[tuple[int, float]],
    letters: Sequence[int],
    device: torch.device,
) -> Draws | None:
    """Normal draws for every letter of every sentence, from the sentence's own seed: the same alone and in a batch.

    chances: seed and temperature per sentence. None where every temperature is 0.
    """
    if not any(temperature for _, temperature in chances):
        return None
    chunks, width = model.encoder.to_chunks.out_features, model.predictor.to_duration.in_features
    rows = [_row(*chance, count, chunks + width + 1) for chance, count in zip(chances, letters, strict=True)]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
    return Draws(
        _LOGITS * padded[..., :chunks],
        _STATES * padded[..., chunks : chunks + width],
        _LOG_DURATION * padded[..., -1],
    )


def _row(seed: int, temperature: float, letters: int, numbers: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return temperature * torch.randn(letters, numbers, generator=generator, dtype=torch.float64)
