"""NISQA v2.0 through torchmetrics: quality of speech and four of its dimensions."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metrics.base import ClipInfo, Column, MetricSpec
from metrics.mos_base import WEIGHTS_OPTION, MosPredictor
from metrics.mos_weights import WeightsSource, load_strictly, read_weights

# In the order of the network's outputs. It is not the order of the papers.
_DIMENSIONS = {
    "nisqa_mos": "overall quality",
    "nisqa_noisiness": "5: no noise",
    "nisqa_discontinuity": "5: no interruptions",
    "nisqa_coloration": "5: natural timbre",
    "nisqa_loudness": "5: optimal loudness",
}


class Nisqa(MosPredictor):
    """Quality, noisiness, discontinuity, coloration and loudness by NISQA v2.0, at the clip's own sample rate.

    The model and its features are those of torchmetrics, whose public function always loads one file in the home folder
    and downloads it if it is missing; hence its parts are used here, which are private and bound to the version. They
    work on the CPU only. This is the model for transmitted speech; NISQA-TTS has no implementation in torchmetrics.
    A clip may be as long as the checkpoint says (52 s).
    """

    spec = MetricSpec(
        name="nisqa",
        version="1",
        columns=tuple(
            Column(name, "MOS", "higher", (-float("inf"), float("inf")), f"predicted by NISQA v2.0: {text}")
            for name, text in _DIMENSIONS.items()
        ),
        sample_rate=None,
        needs=frozenset(),
        judge="standard",
        source="Mittag et al.: NISQA, Interspeech 2021; torchmetrics 1.9 functional.audio.nisqa",
        options=WEIGHTS_OPTION,
        on_request=True,
        cpu_only=True,
    )
    weights_from = WeightsSource(
        "nisqa",
        "nisqa",
        "v2.0",
        lambda: Path.home() / ".torchmetrics" / "NISQA" / "nisqa.tar",
        'python -c "from torchmetrics.functional.audio.nisqa import _load_nisqa_model as get; get()"',
    )
    # torchmetrics sees librosa only where requests is installed as well.
    imports = ("torchmetrics", "librosa", "requests")
    packages = ("librosa", "torchmetrics")
    shortest_s = 0.2  # 15 frames of 10 ms

    def load(self, path: Path) -> nn.Module:
        self._parts: Any = importlib.import_module("torchmetrics.functional.audio.nisqa")
        checkpoint = read_weights(path)
        try:
            self._args = checkpoint["args"]
            network: nn.Module = self._parts._NISQADIM(self._args)
            state = checkpoint["model_state_dict"]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is not a checkpoint of NISQA v2.0 ({error} is missing): give nisqa.tar."
            ) from error
        return load_strictly(network, state, path)

    def predict(self, network: Any, clip: Tensor, sample_rate: int, info: ClipInfo) -> Sequence[float] | str:
        spectrogram = torch.from_numpy(self._parts._get_librosa_melspec(clip[None].numpy(), sample_rate, self._args))
        try:
            windows, count = self._parts._segment_specs(spectrogram, self._args)
        except RuntimeError as error:  # its word for too short and too long
            return f"NISQA cannot take the clip: {error}"
        answers: list[float] = network(windows, count.expand(1))[0].tolist()
        return answers
