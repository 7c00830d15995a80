import io

import numpy as np
import pytest
from PIL import Image

from reports.spectrogram import TOP_HZ, spectrogram_png


def picture(samples: np.ndarray, rate: int) -> Image.Image:
    return Image.open(io.BytesIO(spectrogram_png(samples.astype(np.float32), rate)))


@pytest.mark.parametrize(("rate", "hertz"), [(16_000, 1000), (16_000, 6000), (24_000, 3000), (8_000, 2500)])
def test_a_tone_is_a_bright_line_at_its_height(rate: int, hertz: int) -> None:
    levels = np.asarray(picture(0.3 * np.sin(2 * np.pi * hertz * np.arange(rate) / rate), rate))
    row = levels[:, levels.shape[1] // 2].argmax()
    found = (levels.shape[0] - 0.5 - row) / levels.shape[0] * TOP_HZ
    assert abs(found - hertz) < TOP_HZ / levels.shape[0]


def test_time_runs_from_left_to_right() -> None:
    samples = np.zeros(16_000)
    samples[12_000:] = np.random.default_rng(0).normal(0, 0.1, 4000)
    levels = np.asarray(picture(samples, 16_000)).mean(axis=0)
    assert levels[: int(0.7 * len(levels))].max() == 0
    assert levels[int(0.8 * len(levels)) :].min() > 10


def test_brightness_rises_along_the_palette() -> None:
    palette = np.asarray(picture(np.ones(1600), 16_000).getpalette()).reshape(-1, 3)[:64]
    luminance = palette @ [0.299, 0.587, 0.114]
    assert (np.diff(luminance) >= 0).all()


@pytest.mark.parametrize("samples", [np.zeros(16_000), np.zeros(1), np.ones(3)])
def test_silence_and_a_single_sample_can_be_drawn(samples: np.ndarray) -> None:
    assert picture(samples, 16_000).size[1] == 128


def test_a_long_clip_costs_no_more_pixels() -> None:
    long = np.random.default_rng(0).normal(0, 0.1, 60 * 24_000)
    assert picture(long, 24_000).size == (480, 128)
