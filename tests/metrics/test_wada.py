"""WADA-SNR: the table against the integral it stands for, the estimate against the usual per-clip computation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from parity_wada import (
    SHAPE,
    assert_a_larger_statistic_is_never_a_lower_snr,
    assert_equals_the_reference,
    assert_table_is_the_integral,
    awkward_mixtures,
    exact_g,
    mixture,
)
from torch import Tensor

from metrics.base import ClipBatch
from metrics.wada import WadaSnr, invert
from metrics.wada_table import PUBLISHED_G

NOISE_ONLY = (np.euler_gamma + math.log(2)) / 2 - math.log(math.pi / 2) / 2


def test_the_table_is_the_integral_to_within_its_published_error() -> None:
    assert_table_is_the_integral()


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
    assert_a_larger_statistic_is_never_a_lower_snr()


def test_estimates_the_snr_it_was_made_for(batch_of: Callable[..., ClipBatch]) -> None:
    levels = [0.0, 10.0, 20.0, 30.0]
    scores = WadaSnr().score(batch_of([mixture(level) for level in levels]))
    assert scores["wada_snr_db"] == pytest.approx(levels, abs=0.4)
    assert scores["wada_saturated"] == [0, 0, 0, 0]


@pytest.mark.parametrize("dc", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
def test_equals_the_per_clip_computation(dc: bool, zeros: bool) -> None:
    assert_equals_the_reference(awkward_mixtures(), dc=dc, zeros=zeros)


@pytest.mark.parametrize("dc", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
def test_equals_the_per_clip_computation_on_recordings(
    dc: bool, zeros: bool, real_clip: Callable[[str], Tensor]
) -> None:
    clips = [real_clip(f"librispeech/2609/2609-156975-000{number}.flac") for number in range(4)]
    clips += [real_clip("librivox/sense-01-0880.flac"), 0.25 * clips[0], clips[1] + 0.001]
    clips += [torch.cat([clips[2], torch.zeros(8000)])]
    assert_equals_the_reference(clips, dc=dc, zeros=zeros)


def test_digital_silence_saturates_and_is_told(batch_of: Callable[..., ClipBatch]) -> None:
    clip = mixture(20, 32000)
    scores = WadaSnr().score(batch_of([clip, torch.cat([clip, torch.zeros(32000)]), torch.zeros(100)]))
    assert scores["wada_snr_db"][:2] == pytest.approx([20, 100], abs=1)
    assert scores["wada_saturated"][:2] == [0, 1]
    assert scores["digital_silence_ratio"] == pytest.approx([0, 0.5, 1])
    assert scores.reasons[2].keys() == {"wada_snr_db", "wada_saturated"}


def test_the_options_take_back_silence_and_offset(batch_of: Callable[..., ClipBatch]) -> None:
    clip = mixture(20, 32000)
    spoiled = torch.cat([clip, torch.zeros(32000)]), clip + 0.05, torch.cat([clip + 0.05, torch.zeros(32000)])
    plain = WadaSnr().score(batch_of([clip]))["wada_snr_db"][0]
    found = {
        (dc, zeros): WadaSnr(dc=dc, zeros=zeros).score(batch_of(list(spoiled)))["wada_snr_db"]
        for dc in (False, True)
        for zeros in (False, True)
    }
    assert found[False, True][0] == pytest.approx(plain, abs=1e-3)
    assert found[True, False][1] == pytest.approx(plain, abs=0.1)
    assert found[True, True][2] == pytest.approx(plain, abs=0.1)
    assert abs(found[False, False][1] - plain) > 3
    assert WadaSnr(dc=True).passport() != WadaSnr().passport() != WadaSnr(zeros=True).passport()


def test_a_clip_that_is_its_mean_alone_has_a_reason(batch_of: Callable[..., ClipBatch]) -> None:
    scores = WadaSnr(dc=True).score(batch_of([torch.full((1000,), 0.1), mixture(20, 2000)]))
    assert math.isnan(scores["wada_snr_db"][0]) and "mean" in scores.reasons[0]["wada_snr_db"]
    assert math.isnan(scores["wada_saturated"][0]) and scores["digital_silence_ratio"][0] == 0
    assert not scores.reasons[1]
