"""What WADA-SNR must agree with: the integral behind its table, and the usual computation of one clip in numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metrics import wada_table
from metrics.base import ClipBatch, ClipInfo
from metrics.wada import WadaSnr, invert

SHAPE = 0.4


def exact_g(snr_db: NDArray[np.float64]) -> NDArray[np.float64]:
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


def assert_table_is_the_integral() -> None:
    """The published table to within its own, known error: a made-up, shifted or mistyped one has another."""
    rows = np.arange(wada_table.DB_FIRST, wada_table.DB_LAST + 1.0)
    difference = np.array(wada_table.PUBLISHED_G) - exact_g(rows)
    assert np.abs(difference).max() < 6e-3
    assert rows[np.abs(difference).argmax()] == 97
    assert math.isclose(difference.max(), 0.00532, abs_tol=5e-5)
    assert math.isclose(math.sqrt((difference**2).mean()), 0.0033, abs_tol=1e-4)
    assert np.abs(np.diff(difference, 2)).max() < 1e-3  # smooth: no single row is off


def assert_a_larger_statistic_is_never_a_lower_snr() -> None:
    """Although the published row of -17 dB lies below that of -18 dB: the rows before it hold until they are passed."""
    statistic = np.linspace(0.4090, 1.64, 200_001)
    snr, _ = invert(torch.from_numpy(statistic))
    levelled = np.maximum.accumulate(wada_table.PUBLISHED_G)
    np.testing.assert_allclose(snr, np.interp(statistic, levelled, np.arange(-20, 101)), atol=1e-9)
    assert bool((snr.diff() >= 0).all())


def reference_snr(samples: NDArray[np.float32], dc: bool = False, zeros: bool = False) -> float:
    """One clip as the numpy version that most repositories hold: float64, last row below G, then interpolation."""
    signal = samples.astype(np.float64)
    if zeros:
        signal = signal[signal != 0]
    if dc:
        signal = signal - signal.mean()
    signal = signal / np.abs(signal).max()
    magnitude = np.maximum(np.abs(signal), 1e-10)
    statistic = np.log(np.mean(magnitude)) - np.mean(np.log(magnitude))
    table = np.array(wada_table.PUBLISHED_G)
    below = np.flatnonzero(table < statistic)
    if not len(below):
        return -20.0
    if below[-1] == len(table) - 1:
        return 100.0
    row = below[-1]
    snr = -20.0 + row + (statistic - table[row]) / (table[row + 1] - table[row])
    # The last step of the original splits the energy by that ratio and divides the parts again.
    energy, ratio = np.sum(signal**2), 10 ** (snr / 10)
    return float(10 * np.log10((energy * ratio / (1 + ratio)) / (energy / (1 + ratio))))


def assert_equals_the_reference(clips: Sequence[Tensor], *, dc: bool = False, zeros: bool = False) -> None:
    """All clips in one padded batch against each alone in the reference."""
    batch = ClipBatch.of(clips, 16000, [ClipInfo(str(index)) for index in range(len(clips))])
    scores = WadaSnr(dc=dc, zeros=zeros).score(batch)
    expected = [reference_snr(clip.numpy(), dc, zeros) for clip in clips]
    np.testing.assert_allclose(scores["wada_snr_db"], expected, atol=1e-3)
    assert scores["wada_saturated"] == [float(value in (-20, 100)) for value in expected]
    silence = [float((clip == 0).double().mean()) for clip in clips]
    np.testing.assert_allclose(scores["digital_silence_ratio"], silence, atol=1e-9)


def mixture(snr_db: float, samples: int = 400_000, seed: int = 0) -> Tensor:
    """Gamma distributed speech in Gaussian noise, peak 1."""
    random = np.random.default_rng(seed)
    speech = random.gamma(SHAPE, 1 / math.sqrt(SHAPE * (SHAPE + 1)), samples) * random.choice([-1, 1], samples)
    mixed = speech + 10 ** (-snr_db / 20) * random.standard_normal(samples)
    return torch.from_numpy((mixed / np.abs(mixed).max()).astype(np.float32))


def awkward_mixtures() -> list[Tensor]:
    """Clips of several lengths and levels, with an offset, with digital silence, on the 16-bit grid."""
    clean = mixture(35, 40_000, seed=1)
    return [
        mixture(10, 50_000),
        0.25 * clean,
        clean + 0.01,
        torch.cat([clean, torch.zeros(1600)]),
        torch.cat([0.1 * mixture(15, 30_000) - 0.002, torch.zeros(400)]),
        (0.2 * clean * 32768).round() / 32768,
        mixture(90, 20_000),
    ]
