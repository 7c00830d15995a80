"""A spectrogram as a small PNG: 0 to 8 kHz, 60 dB, time from left to right."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOP_HZ = 8000
_ROWS = 128
_COLUMNS = 480
_LEVELS = 64
_RANGE_DB = 60.0
_WINDOW_S = 0.032  # bins of 31.25 Hz: 256 up to 8 kHz, two to a row


def spectrogram_png(samples: NDArray[np.float32], sample_rate: int) -> bytes:
    """PNG of mono samples [n] (n >= 1). Frames are spread evenly, so the cost does not grow with the length."""
    import numpy as np
    from PIL import Image

    power = _power(samples, sample_rate)
    decibel = 10 * np.log10(np.maximum(power / max(power.max(), 1e-10), 1e-10))
    levels = np.clip((decibel / _RANGE_DB + 1) * (_LEVELS - 1), 0, _LEVELS - 1).round().astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(levels.T[::-1]), mode="P")
    picture.putpalette(_palette())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _power(samples: NDArray[np.float32], sample_rate: int) -> NDArray[Any]:
    """Power [frames, 128]. A rate below 16 kHz leaves the upper rows empty."""
    import numpy as np

    window = round(_WINDOW_S * sample_rate)
    # Pre-emphasis, 6 dB per octave: without it rumble sets the scale and consonants stay dark.
    emphasised = samples - 0.97 * np.concatenate([samples[:1], samples[:-1]])
    padded = np.pad(emphasised, (window // 2, window - window // 2))
    frames = min(_COLUMNS, max(1, len(samples) * 400 // sample_rate))
    starts = np.linspace(0, len(padded) - window, frames).astype(np.int64)
    cut = padded[starts[:, None] + np.arange(window)] * np.hanning(window)
    spectrum = np.abs(np.fft.rfft(cut, axis=1)) ** 2
    kept = np.zeros((frames, 2 * _ROWS))
    usable = min(2 * _ROWS, spectrum.shape[1])
    kept[:, :usable] = spectrum[:, :usable]
    pooled: NDArray[Any] = kept.reshape(frames, _ROWS, 2).mean(axis=2)
    return pooled


def _palette() -> list[int]:
    """Green's cubehelix (2011), navy to orange to white: luminance rises evenly, so it also reads in grey."""
    import numpy as np

    shade = np.linspace(0.06, 1.0, _LEVELS)
    angle = 2 * np.pi * 0.55 * shade
    strength = 1.4 * shade * (1 - shade) / 2
    mix = np.array([[-0.14861, 1.78277], [-0.29227, -0.90649], [1.97294, 0.0]])
    rgb = shade[:, None] + strength[:, None] * (np.stack([np.cos(angle), np.sin(angle)], axis=1) @ mix.T)
    return [int(value) for value in (255 * np.clip(rgb, 0, 1)).round().ravel()]
