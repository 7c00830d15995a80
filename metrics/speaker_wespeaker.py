"""Speaker similarity by the encoders of wespeaker."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metrics.base import MetricSpec, Passport
from metrics.clips import SILENCE_DBFS
from metrics.options import Option
from metrics.packages import versions
from metrics.speaker_encoders import Encoder
from metrics.speaker_similarity import COLUMNS, SpeakerSimilarity
from metrics.speaker_speech import MIN_SPEECH_S, SAMPLE_RATE
from metrics.speaker_wespeaker_files import find_model
from metrics.weights import find, require

DEFAULT_MODEL = "resnet34-lm"


class WespeakerSimilarity(SpeakerSimilarity):
    """Speaker similarity by a ResNet of wespeaker; `SpeakerSimilarity` says what the columns and details are.

    The embedding of a clip is that of wespeaker's command line with its defaults: no voice activity detection (pauses
    count), no length or score normalisation. What differs: clips of less than 0.5 s are refused, several channels are
    mixed instead of taking the first, and other rates are resampled by soxr.
    """

    spec = MetricSpec(
        name="speaker_similarity",
        version="1",
        columns=COLUMNS,
        sample_rate=SAMPLE_RATE,
        needs=frozenset({"reference"}),
        judge="standard",
        source="Wang et al.: Wespeaker, ICASSP 2023; wespeaker/cli/speaker.py at commit dfa7419",
        options={
            "model": Option(
                DEFAULT_MODEL,
                "resnet34-lm, resnet221-lm, a folder with avg_model.pt and config.yaml, or an .onnx file",
            )
        },
    )

    def __init__(self, device: str = "cpu", model: str = DEFAULT_MODEL) -> None:
        super().__init__(device)
        if not model:
            raise ValueError("The model of wespeaker has no name: give resnet34-lm, another name, or a path.")
        self._model = model
        self._encoder: Encoder | None = None

    @staticmethod
    def _prepare(clip: Tensor) -> Tensor:
        return clip

    def _embed(self, speech: Sequence[Tensor]) -> Tensor:
        if not speech:
            return torch.empty(0)
        if self._encoder is None:
            self._encoder = find_model(require("wespeaker", self._model).path).encoder(self._device)
        return self._encoder.embed(speech)

    def passport(self) -> Passport:
        weights = require("wespeaker", self._model)
        model = find_model(weights.path)
        runtime = "onnxruntime" if model.onnx else "torch"
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge=f"wespeaker {model.network}",
            weights_sha256=weights.sha256,
            parameters={
                "model": weights.name,
                "features": "Kaldi fbank: 80 mels from 20 Hz, 25/10 ms, Hamming, 16-bit scale, no dither, mean removed",
                "pauses": "kept, no voice activity detection",
                "min_speech_s": MIN_SPEECH_S,
                "silence_dbfs": SILENCE_DBFS,
                "reference": "centroid of the clips' embeddings",
                "resampler": "soxr_hq by the caller",
                "runtime": f"{runtime} float32",
            },
            packages=versions(*dict.fromkeys((runtime, "torch"))),
        )

    @classmethod
    def unavailable(cls, model: str = DEFAULT_MODEL) -> str | None:
        try:
            weights = find("wespeaker", model) or require("wespeaker", model)  # which says how to get them
            find_model(weights.path)
        except ValueError as error:
            return str(error).rstrip(".")
        return None
