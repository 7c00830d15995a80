"""What is done to a clip in an audit: other lengths, levels and amounts of noise, the content staying the same."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from metrics import ClipInfo

Colour = Literal["white", "pink"]

REPETITIONS = (1, 2, 3, 4)
GAINS_DB = (-30.0, -24.0, -18.0, -12.0, -6.0, 0.0, 6.0)
SNRS_DB = (math.inf, 40.0, 30.0, 20.0, 10.0, 5.0, 0.0, -5.0)  # infinite: nothing added
COLOURS: tuple[Colour, ...] = ("white", "pink")
_CROSSFADE_S = 0.02


@dataclass(frozen=True)
class Variant:
    """One version of a clip. x: seconds, dB of gain, or dB of signal-to-noise ratio. audio: float32 [samples]."""

    x: float
    audio: Tensor
    info: ClipInfo


def lengths(audio: Tensor, rate: int, info: ClipInfo) -> Iterator[Variant]:
    """Both halves of the clip, and the clip up to four times; a text is repeated with it, and what has a text not cut.

    The seams are crossfaded over 20 ms: a click at each would be one more defect per repetition.
    """
    if not info.text:
        for half in audio.tensor_split(2):
            yield Variant(len(audio) / 2 / rate, half, info)
    for times in REPETITIONS:
        longer = _repeat(audio, times, int(_CROSSFADE_S * rate))
        text = " ".join([info.text] * times) if info.text else None
        yield Variant(len(longer) / rate, longer, replace(info, text=text))


def levels(audio: Tensor, info: ClipInfo) -> Iterator[Variant]:
    for gain in GAINS_DB:
        yield Variant(gain, audio * 10 ** (gain / 20), info)


def noises(audio: Tensor, info: ClipInfo, colour: Colour, seed: int) -> Iterator[Variant]:
    """One and the same noise, louder and louder. The ratio is that of the whole clips' mean powers."""
    noise = make_noise(len(audio), colour, seed)
    power = audio.double().square().mean()
    for snr in SNRS_DB:
        scale = float((power / 10 ** (snr / 10)).sqrt()) if math.isfinite(snr) else 0.0
        yield Variant(snr, audio + scale * noise, info)


def make_noise(samples: int, colour: Colour, seed: int) -> Tensor:
    """Gaussian noise of mean power 1, float32 [samples]; pink: 3 dB less per octave, nothing at 0 Hz."""
    white = np.random.default_rng(seed).standard_normal(samples)
    if colour == "pink":
        spectrum = np.fft.rfft(white)
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
        spectrum[0] = 0
        white = np.fft.irfft(spectrum, samples)
    return torch.from_numpy((white / np.sqrt(np.mean(white**2))).astype(np.float32))


def _repeat(audio: Tensor, times: int, fade: int) -> Tensor:
    fade = min(fade, len(audio) // 2)
    down = torch.cos(torch.linspace(0, math.pi / 2, fade)) ** 2
    joined = audio
    for _ in range(times - 1):
        seam = joined[len(joined) - fade :] * down + audio[:fade] * (1 - down)
        joined = torch.cat([joined[: len(joined) - fade], seam, audio[fade:]])
    return joined
