"""WV-MOS: a MOS predicted by a fine-tuned wav2vec 2.0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from metrics.base import ClipInfo, Column, MetricSpec
from metrics.mos_base import WEIGHTS_OPTION, MosPredictor
from metrics.mos_weights import WeightsSource, load_strictly, read_weights

_PREFIX = "model."  # the tensors of the published file that are the network's
_VARIANCE_FLOOR = 1e-7  # of transformers' Wav2Vec2FeatureExtractor


class WvMos(MosPredictor):
    """Mean over frames of a linear head on wav2vec 2.0 base, as the package wvmos computes it.

    The values are not bounded: clean speech gets more than 5. The network is built of transformers' own class, without
    the package: `import wvmos` downloads a file at once, and its model asks the network for the pretrained encoder that
    the fine-tuned one then replaces. A test compares the two where wvmos is installed.
    """

    spec = MetricSpec(
        name="wvmos",
        version="1",
        columns=(Column("wvmos", "MOS", "higher", (-math.inf, math.inf), "MOS predicted by WV-MOS, not bounded by 5"),),
        sample_rate=16000,
        needs=frozenset(),
        judge="standard",
        source="Andreev et al.: HiFi++, ICASSP 2023 (arXiv 2203.13086); wvmos 1.0",
        options=WEIGHTS_OPTION,
        on_request=True,
    )
    weights_from = WeightsSource(
        "wvmos",
        "wvmos",
        "wav2vec2-base",
        lambda: Path.home() / ".cache" / "wv_mos" / "wv_mos.ckpt",
        "pip install wvmos && python -c 'import wvmos'",
    )
    imports = packages = ("transformers",)

    def load(self, path: Path) -> nn.Module:
        checkpoint = read_weights(path)
        try:
            found = checkpoint["state_dict"].items()
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} has no 'state_dict': give the published checkpoint of WV-MOS.") from error
        state = {name.removeprefix(_PREFIX): tensor for name, tensor in found if name.startswith(_PREFIX)}
        return load_strictly(build(), state, path)

    def predict(self, network: Any, clip: Tensor, sample_rate: int, info: ClipInfo) -> Sequence[float]:
        normalised = (clip - clip.mean()) / (clip.var(unbiased=False) + _VARIANCE_FLOOR).sqrt()
        frames = network["encoder"](normalised[None]).last_hidden_state
        return [float(network["dense"](frames).mean())]


def build() -> nn.ModuleDict:
    """The network of the package's `Wav2Vec2MOS`, under its state-dict names, with random weights."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    head = nn.Sequential(nn.Linear(768, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 1))
    return nn.ModuleDict({"encoder": Wav2Vec2Model(Wav2Vec2Config()), "dense": head})  # its defaults are the base model
