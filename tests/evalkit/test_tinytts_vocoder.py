"""The vocoder of tinytts against closed forms and against its own definition of a frame."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from evalkit.engines.tinytts.vocoder import (
    APERIODICITY,
    ENVELOPE_BANDS,
    FRAME,
    HOP,
    LOG_F0,
    SAMPLE_RATE,
    VOICING,
    Vocoder,
    envelope_centres,
    interpolation_matrix,
    pulse_train,
)


def frames(count: int, f0: float = 120.0, voiced: bool = True, aperiodicity: float = 0.0) -> Tensor:
    result = torch.zeros(count, FRAME)
    result[:, :ENVELOPE_BANDS] = -3
    result[:, LOG_F0] = math.log(f0)
    result[:, VOICING] = 5 if voiced else -5
    result[:, APERIODICITY:] = aperiodicity
    return result


def spectrum(audio: Tensor) -> Tensor:
    """Amplitudes at 1 Hz, of one second in the middle."""
    middle = audio[HOP * 10 : HOP * 10 + SAMPLE_RATE]
    return torch.fft.rfft(middle * torch.hann_window(len(middle))).abs()


@pytest.mark.parametrize("f0", [80.0, 120.0, 171.3, 250.0])
def test_constant_pitch_is_spoken_at_that_pitch(f0: float) -> None:
    amplitudes = spectrum(Vocoder()(frames(150, f0)))
    harmonic = amplitudes[round(10 * f0) - 20 : round(10 * f0) + 20].argmax() + round(10 * f0) - 20
    assert float(harmonic) / 10 == pytest.approx(f0, abs=0.1)
    between = amplitudes[round(9.5 * f0) - 3 : round(9.5 * f0) + 3].max()
    assert between < 0.01 * amplitudes[harmonic]


def test_a_rising_pitch_is_followed() -> None:
    rising = frames(200)
    rising[:, LOG_F0] = torch.linspace(math.log(100), math.log(200), 200)
    pulses = pulse_train(rising[:, LOG_F0].exp(), 200 * HOP)
    peaks = torch.nonzero((pulses[1:-1] > pulses[:-2]) & (pulses[1:-1] > pulses[2:]) & (pulses[1:-1] > 4)).flatten()
    pitch = SAMPLE_RATE / torch.diff(peaks).float()
    assert pitch[:5].mean() == pytest.approx(100, rel=0.03)
    assert pitch[-5:].mean() == pytest.approx(200, rel=0.03)


@pytest.mark.parametrize("f0", [70.0, 133.3, 400.0])
def test_pulses_are_the_sum_of_all_cosines_below_nyquist(f0: float) -> None:
    samples = 3200
    phase = 2 * math.pi * f0 / SAMPLE_RATE * torch.arange(1, samples + 1, dtype=torch.float64)
    harmonics = math.floor(SAMPLE_RATE / 2 / f0)
    expected = sum(torch.cos(k * phase) for k in range(1, harmonics + 1)) * math.sqrt(2 / harmonics)
    assert isinstance(expected, Tensor)
    torch.testing.assert_close(pulse_train(torch.full((20,), f0), samples).double(), expected, atol=2e-3, rtol=0)


def test_unvoiced_frames_are_noise_without_pitch() -> None:
    voiceless = Vocoder()(frames(150, voiced=False))
    amplitudes = spectrum(voiceless)
    at_harmonics = torch.stack([amplitudes[120 * k] for k in range(5, 40)]).mean()
    between = torch.stack([amplitudes[120 * k + 60] for k in range(5, 40)]).mean()
    assert 0.6 < float(at_harmonics / between) < 1.6
    assert torch.equal(voiceless, Vocoder()(frames(150, f0=300, voiced=False)))


@pytest.mark.parametrize("voiced", [True, False])
def test_level_follows_the_envelope(voiced: bool) -> None:
    """White excitation of unit power through a flat log amplitude a has root mean square exp(a)."""
    audio = Vocoder()(frames(150, voiced=voiced))
    assert float(audio[1600:-1600].std()) == pytest.approx(math.exp(-3), rel=0.1)


def test_a_formant_is_where_the_envelope_has_it() -> None:
    shaped = frames(150, f0=100)
    shaped[:, :ENVELOPE_BANDS] = -6 + 4 * torch.exp(-((envelope_centres() - 1500) ** 2) / (2 * 200**2))
    amplitudes = spectrum(Vocoder()(shaped))
    assert float(amplitudes.argmax()) == pytest.approx(1500, abs=101)


def test_energy_comes_after_the_pulse_not_before_it() -> None:
    """Minimum phase: most of a resonance's energy follows the pulse that excites it."""
    shaped = frames(60, f0=50)
    shaped[:, :ENVELOPE_BANDS] = -6 + 4 * torch.exp(-((envelope_centres() - 1500) ** 2) / (2 * 150**2))
    audio = Vocoder()(shaped)
    pulses = pulse_train(torch.full((60,), 50.0), 60 * HOP)
    pulse = 4800 + int(pulses[4800:5120].argmax())
    assert audio[pulse : pulse + 80].square().sum() > 4 * audio[pulse - 80 : pulse].square().sum()


def test_length_and_determinism() -> None:
    some = frames(37, aperiodicity=0.5)
    audio = Vocoder()(some)
    assert audio.shape == (37 * HOP,)
    assert torch.equal(audio, Vocoder()(some))


def test_a_long_sentence_has_noise_to_its_end() -> None:
    audio = Vocoder()(frames(3400, voiced=False))
    assert float(audio[-SAMPLE_RATE:].std()) == pytest.approx(math.exp(-3), rel=0.1)


def test_interpolation_is_exact_on_straight_lines_and_constant_outside() -> None:
    centres, targets = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.0, 1.5, 3.0, 9.0])
    torch.testing.assert_close(centres @ interpolation_matrix(centres, targets), torch.tensor([1.0, 1.5, 3.0, 4.0]))
