"""What every acoustic metric keeps: batch, padding and order change nothing; no value is missing without a word."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from torch import Tensor

from metrics.base import ClipBatch, Metric, Scores
from metrics.dnsmos import DnsMos
from metrics.energy import Energy
from metrics.pauses import Pauses
from metrics.signal import Signal
from metrics.speaker_resemblyzer import ResemblyzerSimilarity
from metrics.wada import WadaSnr

METRICS = (DnsMos, Energy, Pauses, ResemblyzerSimilarity, Signal, WadaSnr)


@pytest.fixture(params=METRICS, ids=lambda cls: cls.__name__)
def metric(request: pytest.FixtureRequest) -> Any:
    if sentence := request.param.unavailable():
        pytest.skip(f"{request.param.__name__} {sentence}")
    return request.param()


@pytest.fixture(scope="session")
def reference(voice: Callable[..., Tensor], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    folder = tmp_path_factory.mktemp("speaker")
    for seed in range(3):
        soundfile.write(folder / f"{seed}.wav", voice(2.5, seed=seed).numpy(), 16000)
    return tuple(sorted(folder.iterdir()))


def assert_same(one: Scores, other: Scores, *, order: list[int] | None = None) -> None:
    indices = range(len(one.reasons)) if order is None else order
    for column in one:
        for ours, theirs in zip(one[column], (other[column][index] for index in indices), strict=True):
            assert ours == pytest.approx(theirs, abs=1e-4, nan_ok=True), column
    assert one.reasons == [other.reasons[index] for index in indices]


def awkward_clips(voice: Callable[..., Tensor]) -> list[Tensor]:
    speech = voice(1.0)
    broken = speech.clone()
    broken[100] = torch.nan
    return [
        speech,
        torch.zeros(0),
        torch.zeros(16000),
        torch.full((1,), 0.5),
        voice(0.02),
        voice(0.2),
        broken,
        1e-5 * speech,
        3 * speech,
        50 * speech,  # a float file may go beyond full scale: 5 dBFS
        torch.cat([torch.zeros(499), torch.tensor([0.3])]),  # a click: DNSMOS says less than 1
    ]


def test_batch_equals_one_by_one_in_any_order_with_any_padding(
    metric: Any, voice: Callable[..., Tensor], batch_of: Callable[..., ClipBatch], reference: tuple[Path, ...]
) -> None:
    clips = [voice(1.0, seed=1), voice(9.05, pitch=180, seed=2), voice(1.0, peak=1.0, seed=3)]
    batch = batch_of(clips, reference=reference)
    together = metric.score(batch)
    assert all(math.isfinite(value) for column in together.values() for value in column)

    for index, clip in enumerate(clips):
        assert_same(metric.score(batch_of([clip], reference=reference)), together, order=[index])
    order = [2, 0, 1]
    turned = batch_of([clips[index] for index in order], reference=reference)
    padded = ClipBatch(torch.nn.functional.pad(turned.audio, (0, 5000)), turned.lengths, 16000, turned.info)
    assert_same(metric.score(padded), together, order=order)


def test_no_value_is_missing_without_a_reason(
    metric: Any, voice: Callable[..., Tensor], batch_of: Callable[..., ClipBatch], reference: tuple[Path, ...]
) -> None:
    clips = awkward_clips(voice)
    scores = metric.score(batch_of(clips, reference=reference))
    columns = {column.name: column for column in metric.spec.columns}
    assert set(scores) == set(columns)
    for name, values in scores.items():
        assert len(values) == len(clips)
        for value, reasons in zip(values, scores.reasons, strict=True):
            assert math.isnan(value) == (name in reasons), (name, value, reasons)
            if not math.isnan(value):
                low, high = columns[name].range
                assert low <= value <= high, name
    assert not scores.reasons[0]
    json.dumps([scores.reasons, scores.details])


def test_a_clip_that_cannot_be_measured_leaves_the_others_alone(
    metric: Any, voice: Callable[..., Tensor], batch_of: Callable[..., ClipBatch], reference: tuple[Path, ...]
) -> None:
    clips = awkward_clips(voice)
    alone = metric.score(batch_of(clips[:1], reference=reference))
    assert_same(alone, metric.score(batch_of(clips, reference=reference)), order=[0])


def test_an_empty_batch_is_no_error(metric: Any, batch_of: Callable[..., ClipBatch]) -> None:
    scores = metric.score(batch_of([]))
    assert all(values == [] for values in scores.values())
    only_empty = metric.score(batch_of([torch.zeros(0)]))
    assert all(math.isnan(only_empty[column][0]) == (column in only_empty.reasons[0]) for column in only_empty)


def test_passport_and_protocol(metric: Any) -> None:
    assert isinstance(metric, Metric)
    passport = metric.passport()
    assert passport == type(metric)().passport()
    assert (passport.metric, passport.version) == (metric.spec.name, metric.spec.version)
    assert passport.packages["torch"] == torch.__version__.split("+")[0]
    assert bool(passport.weights_sha256) == (metric.spec.judge == "bundled")
    assert all(len(digest) == 64 for digest in passport.weights_sha256.values())
    json.dumps([dict(passport.weights_sha256), dict(passport.parameters), dict(passport.packages)])


def test_a_wrong_sample_rate_is_refused(metric: Any, batch_of: Callable[..., ClipBatch]) -> None:
    batch = batch_of([torch.rand(24000)], sample_rate=24000)
    if metric.spec.sample_rate is None:
        metric.score(batch)
    else:
        with pytest.raises(ValueError, match="16000 Hz and got 24000 Hz"):
            metric.score(batch)


def test_importing_and_asking_loads_no_judge() -> None:
    modules = [cls.__module__ for cls in METRICS]
    heavy = ["onnxruntime", "librosa", "resemblyzer", "webrtcvad", "pkg_resources", "speechmos", "scipy", "soundfile"]
    code = f"""
import importlib, sys
for name in {modules}:
    module = importlib.import_module(name)
    for cls in vars(module).values():
        if hasattr(cls, "unavailable") and isinstance(cls, type) and cls.__module__ == name:
            cls.unavailable()
            cls()
print(sorted(set({heavy}) & set(sys.modules)))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
