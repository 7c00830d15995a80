"""F0 and speaking rate: known pitch, the libraries by hand, another tracker, and what cannot be measured."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from parity_prosody import (
    COLUMNS,
    assert_pitch_is_right,
    assert_prosody_is_right,
    fixture_speech,
    reference_prosody,
    score,
    white,
)
from torch import Tensor

from metrics.base import ClipBatch, ClipInfo, Metric
from metrics.prosody import Prosody, _plausible, spoken_words

pytestmark = pytest.mark.skipif(Prosody.unavailable() is not None, reason=f"prosody {Prosody.unavailable()}")


def test_pitch_of_known_sounds() -> None:
    assert_pitch_is_right()


def test_equals_the_libraries_by_hand() -> None:
    assert_prosody_is_right()


def test_equals_the_libraries_by_hand_on_recordings(real_audio: Path, real_clip: Callable[[str], Tensor]) -> None:
    clip = real_clip("librivox/sense-01-0880.flac")
    text = (real_audio / "librivox" / "sense-01-0880.txt").read_text(encoding="utf-8")
    found = [score([clip], text)[column][0] for column in COLUMNS]
    assert found == pytest.approx(reference_prosody(clip, len(text.split())), rel=1e-5)
    assert 1.5 < found[3] < 6


def test_a_faster_recording_is_higher_and_faster_by_as_much(real_clip: Callable[[str], Tensor]) -> None:
    import soxr

    clip = real_clip("librivox/sense-01-0890.flac")
    faster = torch.from_numpy(soxr.resample(clip.numpy(), 20000, 16000))
    scores = score([clip, faster])
    assert 12 * math.log2(scores["f0_median_hz"][1] / scores["f0_median_hz"][0]) == pytest.approx(3.86, abs=0.5)
    assert scores["f0_range_st"][1] == pytest.approx(scores["f0_range_st"][0], abs=1)
    assert scores["speaking_rate"][1] == pytest.approx(1.25 * scores["speaking_rate"][0], rel=0.1)


@pytest.mark.parametrize(
    "name",
    ["librispeech/1998/1998-15444-0003", "librispeech/2414/2414-128291-0003", "librispeech/2609/2609-156975-0003"],
)
def test_agrees_with_another_tracker_on_hard_voices(name: str, real_clip: Callable[[str], Tensor]) -> None:
    """WORLD's harvest: a child-like voice, one so noisy that pYIN as it comes gives 302 Hz, one over a mains hum."""
    pyworld = pytest.importorskip("pyworld")
    clip = real_clip(f"{name}.flac")
    scores = score([clip])
    harvest, _ = pyworld.harvest(clip.double().numpy(), 16000, f0_floor=75, f0_ceil=600, frame_period=10)
    median = float(np.median(harvest[harvest > 0]))
    assert abs(12 * math.log2(scores["f0_median_hz"][0] / median)) < 2
    assert scores["f0_range_st"][0] < 15


def test_alone_in_any_order_and_with_any_padding() -> None:
    sumit = fixture_speech("sumit/sumit-1")[8000:32000]
    clips = [fixture_speech("sarah/sarah-2")[:30000], torch.zeros(0), sumit, torch.full((500,), torch.nan)]
    together = score(clips)
    for order in ([0], [2], [3, 2, 1, 0]):
        again = score([*[clips[index] for index in order], white(0.01, 3)])
        for column in COLUMNS:
            expected = [together[column][index] for index in order]
            assert again[column][:-1] == pytest.approx(expected, abs=1e-4, nan_ok=True)
        assert again.reasons[:-1] == [together.reasons[index] for index in order]
    padded = ClipBatch(torch.full((1, 60000), 0.3), torch.tensor([24000]), 16000, [ClipInfo("a", text="Two words")])
    padded.audio[0, :24000] = sumit
    assert Prosody().score(padded)["f0_median_hz"][0] == pytest.approx(together["f0_median_hz"][2], abs=1e-4)


def test_every_missing_value_has_its_own_reason() -> None:
    clips = [fixture_speech("sarah/sarah-1"), torch.zeros(16000), white(0.1), torch.full((1,), 0.5), torch.zeros(0)]
    scores = score(clips, text=None)
    assert scores.reasons[0] == {"speaking_rate": "the clip has no text, or one without words"}
    assert all(set(reasons) == set(COLUMNS) for reasons in scores.reasons[1:])
    assert "no speech was found" in scores.reasons[2]["f0_median_hz"]
    for name, values in scores.items():
        for value, reasons in zip(values, scores.reasons, strict=True):
            assert math.isnan(value) == (name in reasons)
    json.dumps([scores.reasons, scores.details])
    assert score([clips[0]], "—").reasons[0].keys() == {"speaking_rate"}


def test_whispered_speech_has_no_pitch() -> None:
    """The spectral envelope of speech with noise for its source."""
    speech, noise = fixture_speech("sumit/sumit-2")[:40000], white(0.3, 2.5)
    window = torch.hann_window(256)
    voice, source = (torch.stft(one, 256, 64, window=window, return_complex=True) for one in (speech, noise))
    envelope = torch.nn.functional.avg_pool1d(voice.abs().T[:, None], 9, 1, 4)[:, 0].T
    whisper = torch.istft(envelope * source, 256, 64, window=window, length=40000)
    scores = score([0.3 * whisper / whisper.abs().max()])
    assert scores["voiced_ratio"][0] < 0.05
    assert "voiced speech" in scores.reasons[0]["f0_median_hz"] and "voiced_ratio" not in scores.reasons[0]


def test_octave_errors_are_strays() -> None:
    voice = np.geomspace(150, 230, 91)
    errors = np.array([75.0, 76, 80, 81, 82, 500, 510, 480, 590])
    assert sorted(_plausible(np.concatenate([errors, voice]))) == pytest.approx(sorted(voice))
    lively = np.geomspace(110, 330, 50)
    assert len(_plausible(lively)) == 50
    assert not len(_plausible(np.array([])))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Twenty-one rupees/kilo, don't you think?", 7),
        ("  ", 0),
        ("— … !", 0),
        ("A.R. Rahman's café", 3),
        ("नमस्ते, आप कैसे हैं?", 4),
        ("சுப்பிரமணியன்", 1),
        ("forty–five – six", 3),
    ],
)
def test_words(text: str, words: int) -> None:
    assert spoken_words(text) == words


def test_protocol_and_passport() -> None:
    metric = Prosody()
    assert isinstance(metric, Metric)
    passport = metric.passport()
    assert passport == Prosody().passport() and passport.parameters["f0"] == "librosa.pyin"
    assert set(passport.packages) == {"librosa", "silero-vad", "torch"} and passport.weights_sha256
    json.dumps(passport.parameters)
    with pytest.raises(ValueError, match="16000 Hz and got 8000 Hz"):
        metric.score(ClipBatch.of([torch.rand(8000)], 8000, [ClipInfo("a")]))
    assert all(values == [] for values in metric.score(ClipBatch.of([], 16000, [])).values())


def test_importing_and_asking_loads_nothing_heavy() -> None:
    heavy = ["librosa", "numba", "onnx", "scipy", "silero_vad", "soxr"]
    code = f"""
import sys
from metrics.energy import Energy
from metrics.pauses import Pauses
from metrics.prosody import Prosody
from metrics.signal import Signal
from metrics.wada import WadaSnr
for metric in (Energy, Pauses, Prosody, Signal, WadaSnr):
    metric.unavailable()
    metric()
print(sorted(set({heavy}) & set(sys.modules)))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metrics.packages.find_spec", lambda name: None)
    assert "librosa, onnx, silero_vad: pip install 'evalkit[bundled]'" in (Prosody.unavailable() or "")
