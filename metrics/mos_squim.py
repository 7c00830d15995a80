"""TorchAudio-SQUIM: STOI, PESQ and SI-SDR without the clean signal, and MOS against a clean clip of anybody."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metrics.base import ClipBatch, ClipInfo, Column, MetricSpec
from metrics.mos_base import WEIGHTS_OPTION, MosPredictor
from metrics.mos_weights import WeightsSource, load_strictly, read_weights
from metrics.recordings import read_reference

SAMPLE_RATE = 16000
_SOURCE = "Kumar et al.: TorchAudio-SQUIM, ICASSP 2023; torchaudio.models.squim"
NO_REFERENCE = "no clean reference clip was given to compare the speech with"


def _source(metric: str, model: str, file: str) -> WeightsSource:
    return WeightsSource(
        metric,
        "squim",
        model,
        lambda: Path(torch.hub.get_dir(), "torchaudio", "models", file),
        f'python -c "from torchaudio.pipelines import SQUIM_{model.upper()} as bundle; bundle.get_model()"',
    )


class SquimObjective(MosPredictor):
    """Predicted STOI, wide-band PESQ and SI-SDR (dB) of a clip, without its clean original.

    The network scales every clip to one RMS, so its answers do not depend on level. It was trained on noisy and
    enhanced speech of DNS 2020, not on synthetic speech.
    """

    spec = MetricSpec(
        name="squim",
        version="1",
        columns=(
            Column("squim_stoi", "", "higher", (0.0, 1.0), "predicted short-time objective intelligibility"),
            Column("squim_pesq", "", "higher", (1.0, 5.0), "predicted wide-band PESQ"),
            Column("squim_si_sdr_db", "dB", "higher", (-math.inf, math.inf), "predicted scale-invariant SDR"),
        ),
        sample_rate=SAMPLE_RATE,
        needs=frozenset(),
        judge="standard",
        source=_SOURCE,
        options=WEIGHTS_OPTION,
        on_request=True,
    )
    weights_from = _source("squim", "objective", "squim_objective_dns2020.pth")
    imports = packages = ("torchaudio",)

    def load(self, path: Path) -> nn.Module:
        from torchaudio.models import squim_objective_base

        return load_strictly(squim_objective_base(), read_weights(path), path)

    def predict(self, network: Any, clip: Tensor, sample_rate: int, info: ClipInfo) -> Sequence[float]:
        return [float(value) for value in network(clip[None])]


class SquimSubjective(MosPredictor):
    """Predicted MOS of a clip against a clean, non-matching reference: other words, anybody's voice.

    The reference is the first of `ClipInfo.reference`; the network cuts or repeats it to the length of the clip. A MOS
    is comparable only with one against the same reference.
    """

    spec = MetricSpec(
        name="squim_mos",
        version="1",
        columns=(Column("squim_mos", "MOS", "higher", (1.0, 5.0), "MOS predicted against a clean reference clip"),),
        sample_rate=SAMPLE_RATE,
        needs=frozenset({"reference"}),
        judge="standard",
        source=f"{_SOURCE}; NORESQA-MOS (Manocha, Kumar, Interspeech 2022)",
        options=WEIGHTS_OPTION,
        on_request=True,
    )
    weights_from = _source("squim_mos", "subjective", "squim_subjective_bvcc_daps.pth")
    imports = packages = ("torchaudio",)

    def load(self, path: Path) -> nn.Module:
        from torchaudio.models import squim_subjective_base

        return load_strictly(squim_subjective_base(), read_weights(path), path)

    def predict(self, network: Any, clip: Tensor, sample_rate: int, info: ClipInfo) -> Sequence[float] | str:
        if not info.reference:
            return NO_REFERENCE
        reference = self.read_reference(info.reference[0]).to(clip.device)
        return [float(network(clip[None], reference[None]))]

    def read_reference(self, path: Path) -> Tensor:
        """Mono mix at 16 kHz, float32 [samples]. Raises ValueError, naming the file, if it cannot serve."""
        mono = read_reference(path, SAMPLE_RATE)
        for reason in self.refused(ClipBatch.of([mono], SAMPLE_RATE, [ClipInfo(str(path))])).values():
            raise ValueError(f"The reference clip {path} cannot be used, because {reason}: give clean speech.")
        return mono

    def check_reference(self, paths: Sequence[Path]) -> None:
        """Raise ValueError, naming the file, on a reference that cannot serve."""
        for path in paths[:1]:
            self.read_reference(path)
