"""Scoring a batch: every metric on the same clips, each value or its reason in the row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from evalkit.pipeline.audio import resample
from evalkit.pipeline.judges import Choice
from metrics import ClipBatch, ClipInfo, Metric, Scores

NO_REASON = "the metric gave no value and no reason"


@dataclass
class ClipScores:
    """Everything the metrics say of one clip."""

    values: dict[str, float | None]
    missing: dict[str, str]
    details: dict[str, Any]
    crashed: bool = False  # a metric raised on this clip: a fault of the tool, not of the speech


class Scorer:
    """Scores clips with several metrics at once, one thread per metric."""

    def __init__(self, choices: Sequence[Choice]) -> None:
        self.metrics = {choice.name: choice.metric for choice in choices if choice.metric is not None}
        self._threads = ThreadPoolExecutor(max_workers=max(1, len(self.metrics)), thread_name_prefix="metric")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Wait for the metrics and close them; after Ctrl-C do neither, because everything stored is safe already."""
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        self._threads.shutdown(wait=not interrupted, cancel_futures=True)
        if interrupted:
            return
        for metric in self.metrics.values():
            close = getattr(metric, "close", None)  # metrics with worker processes have one
            if close is not None:
                close()

    def score(self, clips: Sequence[Tensor], sample_rate: int, info: Sequence[ClipInfo]) -> list[ClipScores]:
        """clips: float32 [samples] each, all at `sample_rate`. One result per clip, in order."""
        results = [ClipScores({}, {}, {}) for _ in clips]
        if not clips:
            return results
        rates = {metric.spec.sample_rate or sample_rate for metric in self.metrics.values()}
        batches = {
            rate: ClipBatch.of([resample(clip, sample_rate, rate) for clip in clips], rate, info) for rate in rates
        }
        futures = {
            name: self._threads.submit(_score_one_metric, metric, batches[metric.spec.sample_rate or sample_rate])
            for name, metric in self.metrics.items()
        }
        for name, future in futures.items():
            _merge(results, name, self.metrics[name], future.result())
        return results


def _score_one_metric(metric: Metric, batch: ClipBatch) -> list[Mapping[str, Sequence[float]] | Exception]:
    """One single-clip result per clip: of the whole batch where that works, else of halves down to the bad clip.

    Out of memory, and a clip that makes a metric raise, cost a smaller batch and never the other clips' scores.
    """
    try:
        scores = metric.score(batch)
    except Exception as error:
        if isinstance(error, torch.cuda.OutOfMemoryError):
            torch.cuda.empty_cache()
        if len(batch) == 1:
            return [error]
        middle = len(batch) // 2
        return [
            *_score_one_metric(metric, _part(batch, 0, middle)),
            *_score_one_metric(metric, _part(batch, middle, len(batch))),
        ]
    return [_single(metric, scores, index) for index in range(len(batch))]


def _part(batch: ClipBatch, start: int, stop: int) -> ClipBatch:
    longest = int(batch.lengths[start:stop].max())
    return ClipBatch(
        batch.audio[start:stop, :longest], batch.lengths[start:stop], batch.sample_rate, batch.info[start:stop]
    )


def _single(metric: Metric, scores: Mapping[str, Sequence[float]], index: int) -> Scores:
    single = Scores(metric.spec, 1)
    for column in single:
        single[column][0] = float(scores[column][index])
    if isinstance(scores, Scores):
        single.reasons[0] = scores.reasons[index]
        single.details[0] = scores.details[index]
    return single


def _merge(
    results: Sequence[ClipScores],
    name: str,
    metric: Metric,
    scored: Sequence[Mapping[str, Sequence[float]] | Exception],
) -> None:
    for result, single in zip(results, scored, strict=True):
        if isinstance(single, Exception):
            result.crashed = True
            for column in metric.spec.columns:
                result.values[column.name] = None
                result.missing[column.name] = f"the metric {name} failed: {type(single).__name__}: {single}"
            continue
        reasons = single.reasons[0] if isinstance(single, Scores) else {}
        for key, values in single.items():
            finite = math.isfinite(values[0])
            result.values[key] = values[0] if finite else None
            if not finite:
                result.missing[key] = reasons.get(key, NO_REASON)
        if isinstance(single, Scores):
            result.details.update(single.details[0])
