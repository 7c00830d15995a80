"""WADA-SNR: the table against the integral it stands for, the estimate against the usual per-clip computation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from metrics.base import ClipBatch
from metrics.wada import WadaSnr, invert
from metrics.wada_table import DB_FIRST, DB_LAST, PUBLISHED_G

SHAPE = 0.4
NOISE_ONLY = (np.euler_gamma + math.log(2)) / 2 - math.log(math.pi / 2) / 2


def exact_g(snr_db: np.ndarray) -> np.ndarray:
    """G = ln E|x| - E ln|x| of x = speech + N(0, 1), |speech| ~ Gamma(0.4, scale), by numerical integration.

    Given a speech amplitude m, E|x| is the mean of a folded normal distribution, and the derivative of E ln|x| by m is
    sqrt(2) D(m / sqrt 2) with Dawson's function D. The gamma density is integrated over u = amplitude^0.4, where it has
    no singularity.
    """
    from scipy.integrate import cumulative_simpson, simpson
    from scipy.special import dawsn, erf, gamma

    scale = np.sqrt(10 ** (snr_db / 10) / (SHAPE * (SHAPE + 1)))
    u = np.linspace(0, 50**SHAPE, 40001)
    density = np.exp(-(u ** (1 / SHAPE))) / (SHAPE * gamma(SHAPE))
    log_m = np.linspace(math.log(1e-9), math.log(1e13), 40001)
    growth = math.sqrt(2) * dawsn(np.exp(log_m) / math.sqrt(2)) * np.exp(log_m)
    log_mean = -(np.euler_gamma + math.log(2)) / 2 + cumulative_simpson(growth, x=log_m, initial=0)
    values = []
    for one in scale:
        m = one * u ** (1 / SHAPE)
        folded = math.sqrt(2 / math.pi) * np.exp(-(m**2) / 2) + m * erf(m / math.sqrt(2))
        logs = np.interp(np.log(np.maximum(m, 1e-9)), log_m, log_mean)
        values.append(math.log(simpson(folded * density, x=u)) - simpson(logs * density, x=u))
    return np.array(values)


def test_the_table_is_the_integral_to_within_its_published_error() -> None:
    difference = np.array(PUBLISHED_G) - exact_g(np.arange(DB_FIRST, DB_LAST + 1.0))
    assert np.abs(difference).max() < 6e-3
    # The error of the published values is itself known: largest at 97 dB. A made-up or mistyped table has another.
    assert np.abs(difference).argmax() == 97 - DB_FIRST
    assert difference.max() == pytest.approx(0.00532, abs=5e-5)
    assert math.sqrt((difference**2).mean()) == pytest.approx(0.0033, abs=1e-4)
    assert np.abs(np.diff(difference, 2)).max() < 1e-3  # smooth: no single row is off


def test_the_integral_has_the_right_limits() -> None:
    from scipy.special import digamma

    noise_only, speech_only = exact_g(np.array([-60.0, 200.0]))
    assert noise_only == pytest.approx(NOISE_ONLY, abs=1e-5)
    assert speech_only == pytest.approx(math.log(SHAPE) - digamma(SHAPE), abs=1e-3)
    assert PUBLISHED_G[0] == pytest.approx(NOISE_ONLY, abs=5e-4)


def test_the_table_is_inverted_at_and_between_its_rows() -> None:
    rows = torch.tensor(PUBLISHED_G, dtype=torch.float64)[10:]
    snr, saturated = invert(rows)
    assert torch.allclose(snr, torch.arange(-10.0, 101, dtype=torch.float64), atol=1e-9)
    assert saturated.tolist() == [False] * 110 + [True]
    between, _ = invert((rows[:-1] + rows[1:]) / 2)
    assert torch.allclose(between, torch.arange(-9.5, 100, dtype=torch.float64), atol=1e-9)
    ends, outside = invert(torch.tensor([0.1, 2.0], dtype=torch.float64))
    assert ends.tolist() == [-20, 100] and outside.tolist() == [True, True]


def test_the_row_out_of_order_is_levelled() -> None:
    assert PUBLISHED_G[3] < PUBLISHED_G[2]
    statistic = torch.linspace(0.4090, 0.4130, 4001, dtype=torch.float64)
    snr, _ = invert(statistic)
    assert bool((snr.diff() >= 0).all())
    below_the_dip = (statistic > PUBLISHED_G[0]) & (statistic < PUBLISHED_G[2])
    expected = np.interp(statistic[below_the_dip], PUBLISHED_G[:3], [-20, -19, -18])
    np.testing.assert_allclose(snr[below_the_dip], expected, atol=1e-6)


def per_clip(samples: np.ndarray) -> float:
    """One clip in float64: last row below G, then linear interpolation."""
    magnitude = np.maximum(np.abs(samples.astype(np.float64)) / np.abs(samples).max(), 1e-10)
    statistic = np.log(magnitude.mean()) - np.log(magnitude).mean()
    below = np.flatnonzero(np.array(PUBLISHED_G) < statistic)
    if not len(below) or below[-1] == len(PUBLISHED_G) - 1:
        return float(DB_LAST if len(below) else DB_FIRST)
    row = below[-1]
    step = (statistic - PUBLISHED_G[row]) / (PUBLISHED_G[row + 1] - PUBLISHED_G[row])
    return float(DB_FIRST + row + step)


def mixture(snr_db: float, samples: int = 400_000) -> Tensor:
    """Gamma distributed speech in Gaussian noise."""
    random = np.random.default_rng(0)
    speech = random.gamma(SHAPE, 1 / math.sqrt(SHAPE * (SHAPE + 1)), samples) * random.choice([-1, 1], samples)
    mixed = speech + 10 ** (-snr_db / 20) * random.standard_normal(samples)
    return torch.from_numpy((mixed / np.abs(mixed).max()).astype(np.float32))


def test_estimates_the_snr_it_was_made_for(batch_of: Callable[..., ClipBatch]) -> None:
    levels = [0.0, 10.0, 20.0, 30.0]
    scores = WadaSnr().score(batch_of([mixture(level) for level in levels]))
    assert scores["wada_snr_db"] == pytest.approx(levels, abs=0.4)
    assert scores["wada_saturated"] == [0, 0, 0, 0]


def test_equals_the_per_clip_computation(
    real_clip: Callable[[str], Tensor], batch_of: Callable[..., ClipBatch]
) -> None:
    clips = [real_clip(f"librispeech/2609/2609-156975-000{number}.flac") for number in range(6)]
    clips += [0.25 * clip for clip in clips[:2]]
    scores = WadaSnr().score(batch_of(clips))
    assert scores["wada_snr_db"] == pytest.approx([per_clip(clip.numpy()) for clip in clips], abs=1e-4)
    assert scores["digital_silence_ratio"] == pytest.approx([float((clip == 0).float().mean()) for clip in clips])


def test_digital_silence_saturates_and_is_told(batch_of: Callable[..., ClipBatch]) -> None:
    clip = mixture(20, 32000)
    scores = WadaSnr().score(batch_of([clip, torch.cat([clip, torch.zeros(32000)]), torch.zeros(100)]))
    assert scores["wada_snr_db"][:2] == pytest.approx([20, 100], abs=1)
    assert scores["wada_saturated"][:2] == [0, 1]
    assert scores["digital_silence_ratio"] == pytest.approx([0, 0.5, 1])
    assert scores.reasons[2].keys() == {"wada_snr_db", "wada_saturated"}
