"""The torch mel spectrogram against librosa's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from metrics.mel import mel_power


@pytest.mark.parametrize(("n_fft", "n_mels"), [(321, 120), (400, 40)])
def test_equals_librosa(voice: Callable[..., Tensor], n_fft: int, n_mels: int) -> None:
    librosa = pytest.importorskip("librosa")
    clip = voice(1.23)
    ours = mel_power(torch.stack([clip, clip.flip(0)]), sample_rate=16000, n_fft=n_fft, hop=160, n_mels=n_mels)
    theirs = librosa.feature.melspectrogram(y=clip.numpy(), sr=16000, n_fft=n_fft, hop_length=160, n_mels=n_mels)
    np.testing.assert_allclose(ours[0], theirs, rtol=1e-4, atol=1e-6 * theirs.max())
