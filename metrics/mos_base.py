"""What the predictors of mean opinion scores share: they are for comparison, run on request, and score clip by clip."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from metrics.base import ClipBatch, ClipInfo, MetricSpec, Passport, Scores
from metrics.clips import SILENCE_DBFS, require_rate, unusable
from metrics.mos_weights import WeightsSource
from metrics.options import Option, Value
from metrics.packages import missing_packages, versions

WEIGHTS_OPTION = {"weights": Option("", "file with the predictor's weights; empty: where its own package keeps them")}
NOT_A_NUMBER = "the predictor gave a value that is not a number"


class MosPredictor(ABC):
    """A network of another package behind the metric protocol; a subclass says how to load it and how to ask it.

    Clips go through the network one by one: none of them takes padding without changing its answer (wav2vec2 normalises
    over time, SQUIM pools over all frames), so a batch would save little and could not be exact.
    """

    spec: ClassVar[MetricSpec]
    weights_from: ClassVar[WeightsSource]
    imports: ClassVar[tuple[str, ...]]  # import names of the packages that it needs
    packages: ClassVar[tuple[str, ...]]  # their distributions, for the passport
    shortest_s: ClassVar[float] = 0.025  # wav2vec2 hears 25 ms at a time

    def __init__(self, device: str = "cpu", weights: str = "") -> None:
        """weights: file to load; empty for the judge that was fetched, or else what the predictor's package stored.

        Nothing is loaded before the first `score`.
        """
        self._device = torch.device("cpu") if self.spec.cpu_only else torch.device(device)
        self._weights = weights
        self._network: Any = None

    @abstractmethod
    def load(self, path: Path) -> nn.Module:
        """The network with the weights of a file. Raises ValueError if they are not this network's."""

    @abstractmethod
    def predict(self, network: Any, clip: Tensor, sample_rate: int, info: ClipInfo) -> Sequence[float] | str:
        """One value per column, in the order of the columns, or why there is none. clip: float32 [samples]."""

    def parameters(self) -> Mapping[str, Any]:
        """What else the values depend on, for the passport."""
        return {}

    def refused(self, batch: ClipBatch) -> dict[int, str]:
        """Index -> reason, for every clip that cannot be given to the network."""
        reasons = unusable(batch)
        for index, samples in enumerate(batch.lengths.tolist()):
            if index not in reasons and samples < self.shortest_s * batch.sample_rate:
                reasons[index] = f"the clip is shorter than {self.shortest_s:g} s"
        return reasons

    def score(self, batch: ClipBatch) -> Scores:
        require_rate(batch, self.spec)
        scores = Scores(self.spec, len(batch))
        refused = self.refused(batch)
        for index in range(len(batch)):
            answer = refused.get(index) or self._ask(batch, index)
            if isinstance(answer, str):
                scores.refuse(index, answer)
                continue
            for name, value in zip(scores, answer, strict=True):
                scores[name][index] = value if math.isfinite(value) else math.nan
                if not math.isfinite(value):
                    scores.reasons[index][name] = NOT_A_NUMBER
        return scores

    def _ask(self, batch: ClipBatch, index: int) -> Sequence[float] | str:
        if self._network is None:
            path = self.weights_from.require(self._weights).path
            self._network = self.load(path).eval().to(self._device)
        with torch.inference_mode():
            clip = batch.clip(index).to(self._device)
            return self.predict(self._network, clip, batch.sample_rate, batch.info[index])

    def passport(self) -> Passport:
        """Raises ValueError if the weights are not on this machine."""
        weights = self.weights_from.require(self._weights)
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge=self.weights_from.id,
            weights_sha256=dict(weights.sha256),
            parameters={
                "silence_dbfs": SILENCE_DBFS,
                "shortest_s": self.shortest_s,
                "resampler": "soxr_hq by the caller" if self.spec.sample_rate else "none",
                **self.parameters(),
            },
            packages=versions("torch", *self.packages),
        )

    @classmethod
    def unavailable(cls, weights: str = "", **options: Value) -> str | None:
        return missing_packages(cls.imports, "mos") or cls.weights_from.missing(weights)
