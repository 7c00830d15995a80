"""Speaker embeddings of clips, by the encoder of the judge of speaker similarity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from evalkit.errors import EvalkitError
from evalkit.pipeline.judges import Judges, choose
from evalkit.pipeline.resampling import DESCRIPTION
from metrics import ClipBatch, ClipInfo
from metrics.clips import unusable
from metrics.speaker_speech import SAMPLE_RATE, prepare, too_little
from metrics.speaker_wespeaker import DEFAULT_MODEL

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Encoder:
    """speech: what the encoder hears of a clip; embed: embeddings of length 1, float32 [clips, dimension]."""

    dimension: int
    speech: Callable[[Tensor], Tensor]
    embed: Callable[[Sequence[Tensor]], Tensor]


class Embedder:
    """Embeds clips with wespeaker's encoder where its weights are on disk, else with the one inside resemblyzer.

    judge: "standard" (wespeaker) or "bundled" (resemblyzer); notice: that a bundled encoder stands in, or None.
    """

    def __init__(self, device: str = "cpu", judges: Judges = "auto", settings: Sequence[str] = ()) -> None:
        """settings: of the metric, "speaker_similarity.model=resnet221-lm". The model is loaded at the first need.

        Raises EvalkitError when no encoder, or not the one asked for, can run here.
        """
        choice = choose(["speaker_similarity"], judges, device, settings)[0]
        if choice.metric is None:
            raise EvalkitError(f"Voices cannot be compared: {choice.absent}.")
        self.judge = choice.metric.spec.judge
        self.notice = choice.notice
        self._passport = choice.metric.passport()
        self._model = next((given.partition("=")[2] for given in settings if ".model=" in given), DEFAULT_MODEL)
        self._device = torch.device(device)
        self._loaded: _Encoder | None = None

    @property
    def dimension(self) -> int:
        """Numbers in an embedding."""
        return self._encoder.dimension

    def passport(self) -> Mapping[str, Any]:
        """What the embeddings depend on."""
        own = replace(
            self._passport,
            metric="speaker_embedding",
            parameters={name: value for name, value in self._passport.parameters.items() if name != "reference"},
        )
        passport = asdict(own)
        return {**passport, "parameters": {**passport["parameters"], "resampler": DESCRIPTION["soxr"]}}

    def embed(self, clips: Sequence[Tensor], reasons: dict[int, str] | None = None) -> list[Vector | None]:
        """One embedding of length 1 per clip, float32 [dimension]; None for one that says too little of a voice.

        clips: float32 [samples at 16 kHz]. reasons: is filled with why, by index: silent, or less than 0.5 s of speech.
        """
        batch = ClipBatch.of([clip.cpu() for clip in clips], SAMPLE_RATE, [ClipInfo(str(i)) for i in range(len(clips))])
        refused = unusable(batch)
        speech: dict[int, Tensor] = {}
        for index in range(len(clips)):
            if index not in refused:
                heard = self._encoder.speech(batch.clip(index))
                if shortage := too_little(heard):
                    refused[index] = f"the clip {shortage}"
                else:
                    speech[index] = heard
        embeddings: list[Vector | None] = [None] * len(clips)
        if speech:
            found = self._encoder.embed(list(speech.values())).cpu().numpy().astype(np.float32)
            for index, vector in zip(speech, found, strict=True):
                if np.isfinite(vector).all():
                    embeddings[index] = vector
                else:
                    refused[index] = "the encoder's embedding of the clip is not finite"
        if reasons is not None:
            reasons.update(refused)
        return embeddings

    @property
    def _encoder(self) -> _Encoder:
        if self._loaded is None:
            standard = self.judge == "standard"
            self._loaded = _wespeaker(self._model, self._device) if standard else _resemblyzer(self._device)
        return self._loaded


def _wespeaker(model: str, device: torch.device) -> _Encoder:
    from metrics.speaker_wespeaker_files import find_model
    from metrics.weights import require

    encoder = find_model(require("wespeaker", model).path).encoder(device)
    probe = encoder.embed([torch.full((SAMPLE_RATE,), 0.1)])
    return _Encoder(probe.shape[1], lambda clip: clip, encoder.embed)


def _resemblyzer(device: torch.device) -> _Encoder:
    from metrics.speaker_ge2e import Ge2eEncoder, embed

    encoder = Ge2eEncoder.pretrained().to(device)
    return _Encoder(int(encoder.linear.out_features), prepare, lambda speech: embed(encoder, speech))
