"""Log-mel spectrograms as `whisper.transcribe` makes them, for many clips at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

SAMPLE_RATE = 16000
WINDOW_FRAMES = 3000  # 30 s: what the encoder takes
_FFT = 400
HOP = 160


def content_frames(samples: int) -> int:
    """Mel frames that a clip fills; `whisper.transcribe` ignores what is left of a hop at the end."""
    return samples // HOP


def log_mels(clips: Sequence[Tensor], n_mels: int, device: torch.device | str = "cpu") -> Tensor:
    """Log-mels of clips of at most 30 s, float32 [clips, n_mels, 3000] on `device`, zero behind the clip's own frames.

    clips: float32 [samples] each, 16 kHz, full scale +-1. Equal to the spectrogram that `whisper.transcribe` gives to
    the model: a Hann window of 25 ms every 10 ms, whisper's own filters, log10 clamped to 8 below the clip's maximum.
    The package's `log_mel_spectrogram` clamps a batch by the maximum of all its clips, so that they change each other.
    """
    from whisper.audio import mel_filters

    # A window of silence behind the longest clip: every frame that touches a clip is there, as in `transcribe`.
    audio = pad(pad_sequence(list(clips), batch_first=True).to(device), (0, _FFT))
    window = torch.hann_window(_FFT, device=audio.device)
    spectrum = torch.stft(audio, _FFT, HOP, window=window, return_complex=True)
    power = mel_filters(audio.device, n_mels) @ spectrum[..., :-1].abs().square()
    levels = power.clamp(min=1e-10).log10()
    levels = (torch.maximum(levels, levels.amax(dim=(1, 2), keepdim=True) - 8) + 4) / 4
    mels = torch.zeros(len(clips), n_mels, WINDOW_FRAMES, device=audio.device)
    for index, clip in enumerate(clips):
        frames = content_frames(len(clip))
        mels[index, :, :frames] = levels[index, :, :frames]
    return mels
