"""UTMOSv2: the adapter against a stand-in of the package's signature, and against the package where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metrics import mos_utmosv2
from metrics.base import ClipBatch, ClipInfo
from metrics.mos_utmosv2 import Utmosv2


class StandIn(torch.nn.Module):
    """Has the signature of utmosv2 1.3 and its habit: it looks at random pieces, by numpy's global generator."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def predict(
        self,
        *,
        data: Any,
        sr: int = 16000,
        device: Any = "cuda:0",
        num_repetitions: int = 1,
        remove_silent_section: bool = True,
        verbose: bool = True,
    ) -> Any:
        assert isinstance(data, np.ndarray) and data.ndim == 2 and sr == 16000 and not verbose
        starts = np.random.randint(0, data.shape[1] - 100, size=num_repetitions)
        return float(self.scale) * np.mean(
            [np.abs(data[:, start : start + 100]).mean(axis=1) for start in starts], axis=0
        )


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A module `utmosv2` that builds its parts as the package does: pretrained, which would download."""
    asked: dict[str, Any] = {}

    def backbone(name: str, pretrained: bool = False, **options: Any) -> torch.nn.Module:
        asked["backbone"] = (name, pretrained, options)
        return torch.nn.Identity()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} would be downloaded")

    timm = SimpleNamespace(create_model=backbone, layers=object())
    multi_spec, ssl = ModuleType("utmosv2.model.multi_spec"), ModuleType("utmosv2.model.ssl")
    multi_spec.timm = timm  # type: ignore[attr-defined]
    ssl.AutoModel = SimpleNamespace(from_pretrained=refuse)  # type: ignore[attr-defined]
    ssl.AutoFeatureExtractor = SimpleNamespace(from_pretrained=refuse)  # type: ignore[attr-defined]
    asked["modules"] = (multi_spec, ssl)

    def create_model(pretrained: bool = True, config: str = "fusion_stage3") -> torch.nn.Module:
        assert not pretrained and config == "fusion_stage3"
        multi_spec.timm.create_model("efficientnet", pretrained=True, num_classes=0)  # type: ignore[attr-defined]
        asked["encoder"] = ssl.AutoModel.from_pretrained("facebook/wav2vec2-base")  # type: ignore[attr-defined]
        asked["processor"] = ssl.AutoFeatureExtractor.from_pretrained("facebook/wav2vec2-base")  # type: ignore[attr-defined]
        return StandIn()

    utmosv2, model = ModuleType("utmosv2"), ModuleType("utmosv2.model")
    utmosv2.create_model = create_model  # type: ignore[attr-defined]
    modules = {"utmosv2": utmosv2, "utmosv2.model": model, "utmosv2.model.ssl": ssl, "timm": timm}
    for name, module in {**modules, "utmosv2.model.multi_spec": multi_spec}.items():
        monkeypatch.setitem(sys.modules, name, module)
    return asked


@pytest.fixture
def weights(tmp_path: Path) -> str:
    torch.save({"scale": torch.tensor([2.0])}, tmp_path / "utmosv2.pth")
    return str(tmp_path / "utmosv2.pth")


def batch_of(*clips: Tensor) -> ClipBatch:
    return ClipBatch.of(clips, 16000, [ClipInfo(str(index)) for index in range(len(clips))])


def test_the_seed_makes_it_repeatable_and_leaves_numpy_alone(
    package: dict[str, Any], weights: str, voice: Callable[..., Tensor]
) -> None:
    short, long = voice(0.5, seed=1), voice(1.0, seed=2)
    metric = Utmosv2(weights=weights)
    np.random.seed(5)
    before = np.random.get_state()[1].tolist()
    together = metric.score(batch_of(short, long))["utmosv2"]
    assert np.random.get_state()[1].tolist() == before
    assert metric.score(batch_of(long, short))["utmosv2"] == together[::-1]
    assert Utmosv2(weights=weights).score(batch_of(long))["utmosv2"] == [together[1]]

    np.random.seed(0)
    assert together[0] == pytest.approx(2 * StandIn().predict(data=short[None].numpy(), verbose=False)[0])
    assert Utmosv2(weights=weights, seed=1).score(batch_of(short))["utmosv2"] != together[:1]
    assert Utmosv2(weights=weights, repetitions=4).score(batch_of(short))["utmosv2"] != together[:1]


def test_unseeded_it_is_as_arbitrary_as_the_package(
    package: dict[str, Any], weights: str, voice: Callable[..., Tensor]
) -> None:
    metric = Utmosv2(weights=weights, seed=-1)
    assert len({metric.score(batch_of(voice(0.5)))["utmosv2"][0] for _ in range(5)}) > 1


def test_nothing_is_downloaded_and_the_package_is_left_as_it_was(
    package: dict[str, Any], weights: str, voice: Callable[..., Tensor]
) -> None:
    import transformers

    multi_spec, ssl = package["modules"]
    before = (multi_spec.timm, ssl.AutoModel, ssl.AutoFeatureExtractor)
    Utmosv2(weights=weights).score(batch_of(voice(0.5)))
    assert package["backbone"] == ("efficientnet", False, {"num_classes": 0})
    assert isinstance(package["encoder"], transformers.Wav2Vec2Model)
    assert package["encoder"].config.hidden_size == 768 and package["processor"].do_normalize
    assert (multi_spec.timm, ssl.AutoModel, ssl.AutoFeatureExtractor) == before


def test_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match="repetitions from 1"):
        Utmosv2(repetitions=0)
    with pytest.raises(ValueError, match="seeds from -1"):
        Utmosv2(seed=-2)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("utmosv2") is None, reason="utmosv2 is not installed")
def test_parity_with_the_package(tmp_path: Path, voice: Callable[..., Tensor]) -> None:
    """The real network with random weights, 800 MB of them."""
    import utmosv2

    torch.manual_seed(0)
    with mos_utmosv2._without_downloads():
        network = utmosv2.create_model(pretrained=False)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    clip = voice(1.0)
    metric = Utmosv2(weights=str(tmp_path / "weights.pth"))
    np.random.seed(0)
    theirs = network.predict(data=clip.numpy(), sr=16000, device="cpu", verbose=False)
    assert metric.score(batch_of(clip))["utmosv2"] == pytest.approx(theirs.tolist(), abs=1e-4)
    assert metric.passport().parameters["seed"] == 0
