"""DNSMOS against speechmos: the same windows, the same features, the same scores, however they are computed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from parity_dnsmos import (
    batch,
    check_batch,
    check_devices,
    check_full_float32,
    check_p808_features,
    check_scores,
    check_shared_rows,
    check_torch,
    check_windows,
    noise,
)
from torch import Tensor

from metrics.dnsmos import DnsMos
from metrics.dnsmos_shared import MAX_WINDOWS, Stretch, stretches
from metrics.dnsmos_windows import WINDOW, distinct_windows, window_starts

pytest.importorskip("speechmos")
pytest.importorskip("onnxruntime")

# Around the doubling (9.01 s), short clips, the dropped windows 7..23 and 119..122.
LENGTHS = [1, 159, 8000, 16000, 32000, 48000, 70400, 73600, 144159, 144160, 144161, 159999, 160000, 175999, 176000]
LONGER = [seconds * 16000 + 7 for seconds in (16, 17, 18, 30, 33, 34, 60, 127, 128, 129, 131, 132)]


@pytest.mark.parametrize("samples", LENGTHS + LONGER)
def test_windows_are_those_of_speechmos(samples: int) -> None:
    check_windows(samples)


@pytest.mark.parametrize("samples", [*LENGTHS, *LONGER, 168159, 168160])
def test_all_windows_are_every_one_that_the_repeated_clip_holds(samples: int) -> None:
    starts = window_starts(samples, "all")
    repeated = samples
    while repeated < WINDOW:
        repeated *= 2
    assert starts == [start for start in range(0, repeated, 16000) if start + WINDOW <= repeated]
    assert set(window_starts(samples, "compat")) <= set(starts)


@pytest.mark.parametrize("seconds", [15.5, 16.9, 17, 24, 30, 33.9, 34, 60, 125])
def test_what_the_windows_of_speechmos_leave_out_is_what_the_option_says(seconds: float) -> None:
    starts = [start // 16000 for start in window_starts(int(seconds * 16000), "compat")]
    heard = {second for start in starts for second in range(start, start + 9)}
    lasts = range(int(seconds) - 1)  # the last, incomplete second is left out in any case
    left_out = set(lasts) - heard
    assert left_out == (set() if seconds < 17 else set(lasts[15:]) if seconds < 34 else set(range(15, 24)))
    told = DnsMos.spec.options["windows"].description
    assert "a clip of 17 to under 34 s by its first 15 s" in told and "without its seconds 15 to 24" in told


@pytest.mark.parametrize(("seconds", "distinct", "scored"), [(0.5, 1, 7), (1, 1, 7), (2, 2, 7), (3, 3, 3)])
def test_equal_windows_of_a_repeated_clip_are_found(seconds: float, distinct: int, scored: int) -> None:
    clip = torch.rand(int(seconds * 16000))
    times = distinct_windows(len(clip), "compat")
    assert (len(times), sum(times.values())) == (distinct, scored)
    assert list(times) == sorted(times)
    stretch = Stretch(clip, (0,))
    kept = {tuple(stretch.samples(start, start + 100).tolist()) for start in times}
    assert len(kept) == distinct
    for start in window_starts(len(clip), "compat"):
        assert tuple(stretch.samples(start, start + 100).tolist()) in kept


def test_windows_that_share_nothing_or_are_too_many_are_parted() -> None:
    clip = torch.zeros(1)
    gap = [part.starts for part in stretches(clip, [0, 100, 600, 1500, 1600])]
    assert gap == [(0, 100, 600), (1500, 1600)]
    many = stretches(clip, range(0, 20000, 100))
    assert [len(part.starts) for part in many] == [MAX_WINDOWS] * 3 + [200 - 3 * MAX_WINDOWS]


@pytest.mark.parametrize(
    ("samples", "starts", "period"),
    [
        (11 * 16000 + 33, [0, 100], None),  # as it is
        (70240, [0], 439),  # repeats itself every 439 frames: an odd number, so a window sees it at two phases
        (70320, [0], 879),  # every other repetition is half a frame late
        (70321, [0], None),  # repeated, but never in step with the frames
        (160, [0], 1),
        (31 * 16000, [100, 2000], None),  # windows that share nothing
    ],
)
def test_shared_rows_are_those_of_each_window_alone(samples: int, starts: list[int], period: int | None) -> None:
    clip = noise(samples)
    assert stretches(clip, starts)[0].period == period
    check_shared_rows(clip, starts, max_chunk=317)


@pytest.mark.parametrize("samples", [46407, 1600, 12 * 16000])
def test_p808_features_equal_those_of_speechmos(samples: int) -> None:
    check_p808_features(noise(samples), [0, 100, 200])


# Seconds and windows: 4.49 (7), 2.47 (1), 2.835 (2), 18.06 (7 of 10: the others are dropped).
REAL_CLIPS = [
    "librispeech/2609/2609-156975-0000.flac",
    "librispeech/3005/3005-163389-0004.flac",
    "librispeech/1688/1688-142285-0002.flac",
    "librispeech/2414/2414-128291-0002.flac",
]


def test_equals_speechmos_on_real_clips(real_clip: Callable[[str], Tensor]) -> None:
    check_scores([real_clip(name) for name in REAL_CLIPS])


def test_personalised_equals_speechmos_on_real_clips(real_clip: Callable[[str], Tensor]) -> None:
    check_scores([real_clip(name) for name in REAL_CLIPS[1:3]], personalised=True)


def test_all_windows_equal_a_loop_over_windows_on_a_real_clip(real_clip: Callable[[str], Tensor]) -> None:
    check_scores([real_clip(REAL_CLIPS[-1])], every=True)


def test_torch_equals_onnxruntime_on_real_clips(real_clip: Callable[[str], Tensor]) -> None:
    check_torch([real_clip(REAL_CLIPS[2])], personalised=True)


def test_equals_speechmos_on_noise_and_on_a_synthetic_voice(voice: Callable[..., Tensor]) -> None:
    check_scores([noise(WINDOW), noise(46407), voice(2.9)])


def test_personalised_and_all_windows_on_noise() -> None:
    check_scores([noise(168160)], personalised=True, every=True)


def test_torch_equals_onnxruntime() -> None:
    check_torch([noise(46400), noise(46407)])


def test_everything_is_computed_where_the_clips_are() -> None:
    check_devices([noise(46400), noise(46407)])


def test_products_are_in_float32_on_a_gpu_too() -> None:
    check_full_float32()


def test_a_clip_scores_the_same_to_the_last_bit_in_any_batch() -> None:
    check_batch([noise(WINDOW + 5), noise(46400), noise(16000, seed=1)])


def test_silence_is_refused_instead_of_scored() -> None:
    nearly = 0.99e-4 * torch.ones(WINDOW)
    scores = DnsMos().score(batch([nearly]))
    assert all("silent" in scores.reasons[0][column] for column in scores)


def test_samples_beyond_full_scale_are_clamped_and_counted(voice: Callable[..., Tensor]) -> None:
    loud = voice(1.0, peak=1.5)
    scores = DnsMos().score(batch([loud, loud.clamp(-1, 1)]))
    for column, (raw, clamped) in scores.items():
        assert raw == clamped, column
    assert scores.details[0] == {"dnsmos_clamped_samples": int((loud.abs() > 1).sum())}
    assert scores.details[1] == {}


def test_passports_tell_the_modes_apart() -> None:
    options = [{}, {"windows": "all"}, {"personalised": True}, {"windows": "all", "personalised": True}]
    passports = [DnsMos(**chosen).passport() for chosen in options]
    assert len({str(passport) for passport in passports}) == len(options)
    digests = [passport.weights_sha256 for passport in passports]
    assert digests[0] == digests[1] != digests[2] == digests[3]
    assert DnsMos(device="cuda").passport() != passports[0]


def test_an_unknown_choice_of_windows_is_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"windows of dnsmos is 'most': it takes one of compat, all\.$"):
        DnsMos(windows="most")
