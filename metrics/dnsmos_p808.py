"""What the P.808 network hears: mels of a window relative to the window's loudest bin."""

from __future__ import annotations

import torch
from torch import Tensor

from metrics.dnsmos_shared import FRAMES, HOP, Stretch
from metrics.dnsmos_windows import SAMPLE_RATE
from metrics.mel import mel_power


def p808_features(stretch: Stretch) -> Tensor:
    """Input of the P.808 network for each window of a stretch, float32 [windows, 900, 120] in -1..1.

    120 mels of the window without its last 160 samples, in dB below the window's loudest bin, cut off at -80 dB. Mels
    of neighbouring windows are the same but for the first and the last frame, which reach over the window's ends.
    """
    begin, end = stretch.begin * HOP, (stretch.begin + stretch.length) * HOP
    shared = _mel_db(stretch.samples(begin, end)[None])[0]
    starts = torch.tensor(stretch.starts, device=shared.device) - stretch.begin
    db = shared[starts[:, None] + torch.arange(FRAMES, device=shared.device)]
    heads = [stretch.samples(start * HOP, (start + 2) * HOP) for start in stretch.starts]
    tails = [stretch.samples((start + FRAMES - 2) * HOP, (start + FRAMES) * HOP) for start in stretch.starts]
    db[:, 0] = _mel_db(torch.stack(heads))[:, 0]
    db[:, -1] = _mel_db(torch.stack(tails))[:, 1]
    # In place: for the windows of a long clip this is the largest tensor of all.
    return db.sub_(db.amax(dim=(1, 2), keepdim=True)).clamp_min_(-80).add_(40).div_(40)


def _mel_db(audio: Tensor) -> Tensor:
    """[clips, samples] -> [clips, frames, 120]."""
    mel = mel_power(audio, sample_rate=SAMPLE_RATE, n_fft=321, hop=HOP, n_mels=120)
    return 10 * mel.clamp_min(1e-10).log10().transpose(1, 2)
