"""UTMOSv2: the MOS predictor of the T05 system of the VoiceMOS challenge 2024."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import Tensor, nn

from metrics.base import ClipInfo, Column, MetricSpec
from metrics.mos_base import WEIGHTS_OPTION, MosPredictor
from metrics.mos_weights import WeightsSource, load_strictly, read_weights
from metrics.options import Option, Value

_CONFIG = "fusion_stage3"
UNSEEDED = -1


class Utmosv2(MosPredictor):
    """UTMOSv2's MOS of a clip, by the package utmosv2 (1.3).

    The package looks at pieces of the clip that it picks and mixes at random, so it does not give a clip the same MOS
    twice. Here its random numbers start anew from `seed` for every clip, which makes the answer repeatable but no less
    arbitrary; `seed=-1` leaves the package as it is, and more `repetitions` average the choice out.
    """

    spec = MetricSpec(
        name="utmosv2",
        version="1",
        columns=(Column("utmosv2", "MOS", "higher", (-math.inf, math.inf), "MOS predicted by UTMOSv2"),),
        sample_rate=16000,
        needs=frozenset(),
        judge="standard",
        source="Baba et al.: The T05 system for the VoiceMOS challenge 2024, SLT 2024; utmosv2 1.3",
        options={
            **WEIGHTS_OPTION,
            "repetitions": Option(1, "random choices of pieces that are averaged", low=1, high=100),
            "seed": Option(0, "of the random pieces of every clip; -1: not seeded, as the package is", low=UNSEEDED),
        },
        on_request=True,
    )
    weights_from = WeightsSource(
        "utmosv2",
        "utmosv2",
        _CONFIG,
        lambda: Path.home() / ".cache" / "utmosv2" / "models" / _CONFIG / "fold0_s42_best_model.pth",
        'python -c "import utmosv2; utmosv2.create_model()"',
    )
    imports = ("utmosv2", "timm", "torchvision", "transformers", "librosa")
    packages = ("utmosv2", "timm", "transformers", "librosa")

    def __init__(self, device: str = "cpu", weights: str = "", repetitions: int = 1, seed: int = 0) -> None:
        super().__init__(device, weights)
        if repetitions < 1 or seed < UNSEEDED:
            raise ValueError(f"UTMOSv2 takes repetitions from 1 and seeds from -1, not {repetitions} and {seed}.")
        self._repetitions, self._seed = repetitions, seed

    def load(self, path: Path) -> nn.Module:
        package: Any = importlib.import_module("utmosv2")
        with _without_downloads():
            network: nn.Module = package.create_model(pretrained=False, config=_CONFIG)
        return load_strictly(network, read_weights(path), path)

    def predict(self, network: Any, clip: Tensor, sample_rate: int, info: ClipInfo) -> Sequence[float]:
        with _numpy_seed(self._seed):
            answer = network.predict(
                data=clip[None].cpu().numpy(),
                sr=sample_rate,
                device=self._device,
                num_repetitions=self._repetitions,
                verbose=False,
            )
        return [float(answer[0])]

    def parameters(self) -> dict[str, Any]:
        return {"config": _CONFIG, "fold": 0, "repetitions": self._repetitions, "seed": self._seed}

    @classmethod
    def unavailable(cls, weights: str = "", **options: Value) -> str | None:
        if find_spec("utmosv2") is None:
            return (
                "needs the package utmosv2, which no registry has: install it from its repository "
                "github.com/sarulab-speech/UTMOSv2, with the torchvision that belongs to your torch"
            )
        return super().unavailable(weights, **options)


@contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """The package draws from numpy's global generator: start it at `seed`, and leave it as it was."""
    before = np.random.get_state()
    if seed != UNSEEDED:
        np.random.seed(seed)
    try:
        yield
    finally:
        if seed != UNSEEDED:
            np.random.set_state(before)


@contextmanager
def _without_downloads() -> Iterator[None]:
    """Let the package build its parts untrained: it would download weights that the checkpoint then replaces."""
    timm: Any = importlib.import_module("timm")
    transformers: Any = importlib.import_module("transformers")

    def backbone(name: str, pretrained: bool = False, **options: Any) -> nn.Module:
        network: nn.Module = timm.create_model(name, pretrained=False, **options)
        return network

    # The defaults of these classes are facebook/wav2vec2-base.
    stand_ins: dict[str, dict[str, Any]] = {
        "utmosv2.model.multi_spec": {"timm": SimpleNamespace(create_model=backbone, layers=timm.layers)},
        "utmosv2.model.ssl": {
            "AutoFeatureExtractor": SimpleNamespace(from_pretrained=lambda _: transformers.Wav2Vec2FeatureExtractor()),
            "AutoModel": SimpleNamespace(
                from_pretrained=lambda _: transformers.Wav2Vec2Model(transformers.Wav2Vec2Config())
            ),
        },
    }
    originals = [
        (module, name, getattr(module, name), stand_in)
        for module, names in ((importlib.import_module(path), names) for path, names in stand_ins.items())
        for name, stand_in in names.items()
    ]
    try:
        for module, name, _, stand_in in originals:
            setattr(module, name, stand_in)
        yield
    finally:
        for module, name, original, _ in originals:
            setattr(module, name, original)
