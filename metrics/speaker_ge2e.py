"""The speaker encoder of `resemblyzer` 0.1.4: GE2E, three LSTM layers over 40 mels (Wan et al., ICASSP 2018)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from metrics.mel import mel_power
from metrics.packages import package_file
from metrics.precision import full_float32
from metrics.speaker_speech import SAMPLE_RATE

WEIGHTS_FILE = "pretrained.pt"
_HOP = 160  # samples
_PARTIAL = 160  # frames: 1.6 s
_PARTIALS_PER_S = 1.3
_MIN_COVERAGE = 0.75  # of the last partial, by real samples
_PARTIALS_PER_PASS = 256


def weights() -> Path:
    return package_file("resemblyzer", WEIGHTS_FILE)


class Ge2eEncoder(nn.Module):
    """Mels of partial utterances in, one embedding of length 1 per partial out."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(40, 256, num_layers=3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mels: Tensor) -> Tensor:
        """Embeddings, float32 [partials, 256], of mels, float32 [partials, 160, 40]."""
        _, (hidden, _) = self.lstm(mels)
        return normalize(torch.relu(self.linear(hidden[-1])), dim=1)

    @classmethod
    def pretrained(cls) -> Ge2eEncoder:
        """The encoder with the weights of the resemblyzer wheel."""
        # The file also holds the scale and bias of the training loss, which no embedding depends on.
        state = torch.load(weights(), map_location="cpu", weights_only=True)["model_state"]
        encoder = cls()
        encoder.load_state_dict({key: state[key] for key in encoder.state_dict()})
        return encoder.eval().requires_grad_(False)


@torch.no_grad()  # not only for memory: torch runs the LSTM a fifth faster on a CPU with it
def embed(encoder: Ge2eEncoder, speech: Sequence[Tensor]) -> Tensor:
    """Embeddings of length 1, float32 [clips, 256], of prepared speech, each float32 [samples at 16 kHz], not empty.

    A clip's embedding is the mean of its partials' embeddings, as `VoiceEncoder.embed_utterance` has it; the partials
    of all clips share the passes through the encoder.
    """
    if not speech:
        return torch.zeros(0, encoder.linear.out_features)
    device = encoder.linear.weight.device
    mels = [_partial_mels(clip.to(device)) for clip in speech]
    with full_float32(device):
        partials = torch.cat([encoder(chunk) for chunk in torch.split(torch.cat(mels), _PARTIALS_PER_PASS)]).cpu()
    means = torch.stack([own.mean(dim=0) for own in torch.split(partials, [len(own) for own in mels])])
    return normalize(means, dim=1)


def partial_starts(samples: int) -> list[int]:
    """First frame of each partial of an utterance: 1.3 partials per second, each of 160 frames.

    Zeros complete the last one; it is left out if less than 75 % of it is speech, unless it is the only one.
    """
    step = round(SAMPLE_RATE / _PARTIALS_PER_S / _HOP)
    frames = math.ceil((samples + 1) / _HOP)
    starts = list(range(0, max(1, frames - _PARTIAL + step + 1), step))
    coverage = (samples - starts[-1] * _HOP) / (_PARTIAL * _HOP)
    return starts[:-1] if coverage < _MIN_COVERAGE and len(starts) > 1 else starts


def _partial_mels(speech: Tensor) -> Tensor:
    """float32 [partials, 160, 40]."""
    starts = partial_starts(len(speech))
    needed = (starts[-1] + _PARTIAL) * _HOP
    padded = pad(speech, (0, max(0, needed - len(speech))))
    mel = mel_power(padded[None], sample_rate=SAMPLE_RATE, n_fft=400, hop=_HOP, n_mels=40)[0].T
    return torch.stack([mel[start : start + _PARTIAL] for start in starts])
