"""SQUIM and WV-MOS with random weights of the real classes: parity, the metric contract, missing weights."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from parity_mos import (
    batch_of,
    check_squim,
    check_squim_mos,
    check_wvmos,
    shrink,
    write_squim,
    write_wvmos,
)
from torch import Tensor

from metrics.base import ClipBatch, Metric
from metrics.mos_nisqa import Nisqa
from metrics.mos_squim import NO_REFERENCE, SquimObjective, SquimSubjective
from metrics.mos_utmosv2 import Utmosv2
from metrics.mos_wvmos import WvMos

PREDICTORS = (SquimObjective, SquimSubjective, WvMos)


@pytest.fixture(autouse=True)
def no_weights_of_this_machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(empty))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("EVALKIT_JUDGES", str(empty / "judges"))


@pytest.fixture(params=PREDICTORS, ids=lambda cls: cls.__name__)
def predictor(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    shrink(monkeypatch)
    path = tmp_path / "weights"
    if request.param is WvMos:
        write_wvmos(path)
    else:
        write_squim(path, "objective" if request.param is SquimObjective else "subjective")
    return request.param(weights=str(path))


@pytest.fixture
def reference(voice: Callable[..., Tensor], tmp_path: Path) -> tuple[Path, ...]:
    soundfile.write(tmp_path / "reference.wav", voice(0.7, seed=9).numpy(), 16000)
    return (tmp_path / "reference.wav",)


@pytest.mark.parametrize("check", [check_wvmos, check_squim, check_squim_mos])
def test_parity_with_the_class_itself(
    check: Callable[..., None], voice: Callable[..., Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink(monkeypatch)
    check([0.1 + voice(0.6, seed=1), 0.3 * voice(1.1, pitch=190, seed=2)], tmp_path)


def test_parity_of_wvmos_with_the_package(
    voice: Callable[..., Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package's own module, with its encoder built here, because its constructor would download one."""
    from importlib.util import find_spec, module_from_spec, spec_from_file_location

    import transformers

    package = find_spec("wvmos")
    if package is None or not package.submodule_search_locations:
        pytest.skip("wvmos is not installed")
    shrink(monkeypatch)
    write_wvmos(tmp_path / "wv_mos.ckpt")
    spec = spec_from_file_location("wv_mos", Path(package.submodule_search_locations[0]) / "wv_mos.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)  # without the package's __init__, which downloads
    for name, make in {
        "Wav2Vec2Model": lambda _: transformers.Wav2Vec2Model(transformers.Wav2Vec2Config()),
        "Wav2Vec2Processor": lambda _: transformers.Wav2Vec2FeatureExtractor(),
    }.items():
        monkeypatch.setattr(getattr(module, name), "from_pretrained", make)
    theirs = module.Wav2Vec2MOS(tmp_path / "wv_mos.ckpt", cuda=False)
    clip = voice(1.3, seed=4)
    soundfile.write(tmp_path / "clip.wav", clip.numpy(), 16000, subtype="FLOAT")
    ours = WvMos(weights=str(tmp_path / "wv_mos.ckpt")).score(batch_of([clip]))["wvmos"][0]
    assert ours == pytest.approx(theirs.calculate_one(tmp_path / "clip.wav"), abs=1e-5)


def test_batch_equals_one_by_one_in_any_order_with_any_padding(
    predictor: Any, voice: Callable[..., Tensor], reference: tuple[Path, ...]
) -> None:
    clips = [voice(0.5, seed=1), voice(1.2, pitch=180, seed=2), voice(0.5, peak=0.9, seed=3)]
    together = predictor.score(batch_of(clips, reference))
    turned = batch_of(clips[::-1], reference)
    padded = ClipBatch(torch.nn.functional.pad(turned.audio, (0, 3000)), turned.lengths, 16000, turned.info)
    for column, values in predictor.score(padded).items():
        assert all(math.isfinite(value) for value in values)
        assert values == pytest.approx(together[column][::-1], abs=1e-4)
    for index, clip in enumerate(clips):
        for column, values in predictor.score(batch_of([clip], reference)).items():
            assert values[0] == pytest.approx(together[column][index], abs=1e-4)


def test_no_value_is_missing_without_a_reason(
    predictor: Any, voice: Callable[..., Tensor], reference: tuple[Path, ...]
) -> None:
    speech = voice(0.5)
    broken = speech.clone()
    broken[7] = torch.nan
    clips = [speech, torch.zeros(0), torch.zeros(16000), torch.full((1,), 0.5), voice(0.02), broken, voice(0.03)]
    scores = predictor.score(batch_of(clips, reference))
    for column in predictor.spec.columns:
        values = scores[column.name]
        assert [math.isnan(value) for value in values] == [False, True, True, True, True, True, False]
        for value, reasons in zip(values, scores.reasons, strict=True):
            assert math.isnan(value) == bool(reasons.get(column.name))
            assert math.isnan(value) or column.range[0] <= value <= column.range[1]
    assert "shorter than 0.025 s" in scores.reasons[4][predictor.spec.columns[0].name]
    assert all(values == [] for values in predictor.score(batch_of([])).values())


def test_passport_names_the_weights(predictor: Any, tmp_path: Path) -> None:
    assert isinstance(predictor, Metric)
    passport = predictor.passport()
    assert [len(digest) for digest in passport.weights_sha256.values()] == [64]
    assert passport.packages.keys() > {"torch"}
    json.dumps([dict(passport.weights_sha256), dict(passport.parameters), dict(passport.packages)])
    with pytest.raises(ValueError, match="16000 Hz and got 8000 Hz"):
        predictor.score(ClipBatch.of([torch.rand(8000)], 8000, batch_of([torch.rand(1)]).info))


@pytest.mark.parametrize("cls", [*PREDICTORS, Nisqa, Utmosv2])
def test_predictors_run_on_request_only_and_say_how_to_get_weights(cls: Any, tmp_path: Path) -> None:
    assert cls.spec.on_request and cls.spec.judge == "standard"
    sentence = cls.unavailable()
    assert sentence is not None and sentence.startswith("needs the ")
    if "weights" in sentence:
        assert f"--set {cls.spec.name}.weights=FILE" in sentence
        assert f"finds no weights at {tmp_path / 'none'}" in cls.unavailable(weights=str(tmp_path / "none"))
        with pytest.raises(ValueError, match=f"The metric {cls.spec.name} needs the weights"):
            cls().passport()


@pytest.mark.parametrize("cls", PREDICTORS)
def test_weights_that_the_package_keeps_are_found(cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = cls.weights_from
    kept = source.kept()
    assert kept.is_relative_to(Path.home())  # the home folder of this test
    kept.parent.mkdir(parents=True)
    torch.save({}, kept)
    assert cls.unavailable() is None
    assert source.require("").path == kept


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("executed",)


@pytest.mark.parametrize("cls", PREDICTORS)
def test_weights_of_another_network_and_pickles_are_refused(
    cls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shrink(monkeypatch)
    clip = batch_of([torch.rand(1600)])
    other = tmp_path / "other.pth"
    torch.save({"state_dict": {"model.dense.0.weight": torch.ones(1)}}, other)
    with pytest.raises(ValueError, match=r"other\.pth holds the weights of another network"):
        cls(weights=str(other)).score(clip)
    bomb = tmp_path / "bomb.pth"
    bomb.write_bytes(pickle.dumps({"state_dict": Bomb()}))
    with pytest.raises(ValueError, match=r"bomb\.pth cannot be read as weights"):
        cls(weights=str(bomb)).score(clip)
    assert "executed" not in capsys.readouterr().out


def test_squim_mos_needs_a_reference_that_can_be_used(
    voice: Callable[..., Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink(monkeypatch)
    write_squim(tmp_path / "weights", "subjective")
    metric = SquimSubjective(weights=str(tmp_path / "weights"))
    assert metric.score(batch_of([voice(0.5)])).reasons == [{"squim_mos": NO_REFERENCE}]
    soundfile.write(tmp_path / "silent.wav", torch.zeros(16000).numpy(), 16000)
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(ValueError, match=r"silent\.wav cannot be used, because the clip is silent"):
        metric.check_reference([tmp_path / "silent.wav"])
    with pytest.raises(ValueError, match=r"text\.wav cannot be read"):
        metric.check_reference([tmp_path / "text.wav"])


def test_a_value_that_is_not_a_number_is_said_to_be_one(
    voice: Callable[..., Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink(monkeypatch)
    write_wvmos(tmp_path / "weights")
    metric = WvMos(weights=str(tmp_path / "weights"))
    monkeypatch.setattr(metric, "predict", lambda *_: [math.inf])
    scores = metric.score(batch_of([voice(0.5)]))
    assert math.isnan(scores["wvmos"][0]) and "not a number" in scores.reasons[0]["wvmos"]


def test_importing_and_asking_loads_no_package() -> None:
    code = """
import sys
from metrics.mos_nisqa import Nisqa
from metrics.mos_squim import SquimObjective, SquimSubjective
from metrics.mos_utmosv2 import Utmosv2
from metrics.mos_wvmos import WvMos
for cls in (Nisqa, SquimObjective, SquimSubjective, Utmosv2, WvMos):
    cls.unavailable()
    cls()
heavy = ("torchaudio", "torchmetrics", "transformers", "librosa", "timm", "utmosv2", "wvmos", "soundfile")
print(sorted(set(heavy) & set(sys.modules)))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
