"""Scoring a batch: every metric on the same clips, each value or its reason in the row."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from evalkit.pipeline.judges import Choice
from evalkit.pipeline.resampling import DESCRIPTION, Resampler, resample_all
from evalkit.pipeline.score_cache import ScoreCache, audio_key, clip_key, from_json, metric_key, to_json
from metrics import ClipBatch, ClipInfo, Metric, Scores

NO_REASON = "the metric gave no value and no reason"

Scored = Scores | Exception  # of one clip


@dataclass
class ClipScores:
    """Everything the metrics say of one clip."""

    values: dict[str, float | None]
    missing: dict[str, str]
    details: dict[str, Any]
    crashed: bool = False  # a metric raised on this clip: a fault of the tool, not of the speech


class Scorer:
    """Scores clips with several metrics at once, one thread per metric.

    Each clip is resampled once per rate and copied to the device once; every metric gets the same batch. Clips whose
    scores the cache holds are not scored again.
    """

    def __init__(
        self,
        choices: Sequence[Choice],
        device: str = "cpu",
        resampler: Resampler = "soxr",
        cache: ScoreCache | None = None,
    ) -> None:
        self.metrics = {choice.name: choice.metric for choice in choices if choice.metric is not None}
        self.cache = cache
        self._device = device
        self._resampler: Resampler = resampler
        keyed = self.metrics if cache is not None else {}
        self._keys = {name: metric_key(m, device, DESCRIPTION[resampler]) for name, m in keyed.items()}
        self._largest: dict[str, int] = {}  # metric -> padded samples that fit after it ran out of memory
        self._threads = ThreadPoolExecutor(max(1, len(self.metrics)), thread_name_prefix="metric")
        self._resamplers = ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="resample")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Wait for the metrics and close them; after Ctrl-C do neither, because everything stored is safe already."""
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        for pool in (self._threads, self._resamplers):
            pool.shutdown(wait=not interrupted, cancel_futures=True)
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
        keys = self._clip_keys(clips, sample_rate, info)
        known = {name: self._known(name, own) for name, own in keys.items()}
        todo = {name: [i for i, scored in enumerate(known[name]) if scored is None] for name in self.metrics}
        batches = self._batches(clips, sample_rate, info, todo)
        futures = {
            name: self._threads.submit(self._score, name, batches[name], [info[i] for i in todo[name]], todo[name])
            for name in self.metrics
            if todo[name]
        }
        for name, future in futures.items():
            for index, scored in zip(todo[name], future.result(), strict=True):
                known[name][index] = scored
        self._remember(keys, known, todo)
        for name, metric in self.metrics.items():
            _merge(results, name, metric, [scored for scored in known[name] if scored is not None])
        return results

    def _clip_keys(self, clips: Sequence[Tensor], rate: int, info: Sequence[ClipInfo]) -> dict[str, list[str]]:
        if self.cache is None:
            return {name: [""] * len(clips) for name in self.metrics}
        audio = list(self._resamplers.map(lambda clip: audio_key(clip.cpu(), rate), clips))
        return {
            name: [clip_key(self._keys[name], own, metric, one) for own, one in zip(audio, info, strict=True)]
            for name, metric in self.metrics.items()
        }

    def _known(self, name: str, keys: Sequence[str]) -> list[Scored | None]:
        if self.cache is None:
            return [None] * len(keys)
        metric = self.metrics[name]
        return [None if stored is None else from_json(metric, stored) for stored in self.cache.get(keys)]

    def _remember(
        self,
        keys: Mapping[str, Sequence[str]],
        scored: Mapping[str, Sequence[Scored | None]],
        new: Mapping[str, Sequence[int]],
    ) -> None:
        """All of a batch at once: a run that is killed and started again finds a whole batch or nothing of it."""
        if self.cache is None:
            return
        fresh = {keys[name][i]: one for name, indices in new.items() for i in indices if (one := scored[name][i])}
        worth = {key: to_json(one) for key, one in fresh.items() if isinstance(one, Scores)}
        self.cache.put({key: value for key, value in worth.items() if value is not None})

    def _batches(
        self, clips: Sequence[Tensor], rate: int, info: Sequence[ClipInfo], todo: Mapping[str, Sequence[int]]
    ) -> dict[str, ClipBatch]:
        """Metric -> the batch of all clips at its rate, where it works; metrics of one rate and place share it."""
        here = self._device if self._resampler == "device" else "cpu"  # where clips are resampled
        source = [clip.to(here) for clip in clips]
        made: dict[tuple[int, str], ClipBatch] = {}
        chosen: dict[str, ClipBatch] = {}
        for name, metric in self.metrics.items():
            if not todo[name]:
                continue
            target = metric.spec.sample_rate or rate
            if (target, here) not in made:
                resampled = resample_all(source, rate, target, self._resampler, self._resamplers)
                made[target, here] = ClipBatch.of(resampled, target, info)
            place = "cpu" if metric.spec.cpu_only else self._device
            if (target, place) not in made:
                made[target, place] = made[target, here].to(place)
            chosen[name] = made[target, place]
        return chosen

    def _score(self, name: str, batch: ClipBatch, info: Sequence[ClipInfo], indices: Sequence[int]) -> list[Scored]:
        """One result per clip of `indices`, in batches that this metric was seen to have room for."""
        if len(indices) < len(batch):
            clips = [batch.clip(index) for index in indices]
            batch = ClipBatch.of(clips, batch.sample_rate, info)
        results: list[Scored] = []
        while len(results) < len(batch):
            room = self._largest.get(name)
            longest = max(1, batch.audio.shape[1])
            clips_at_once = len(batch) if room is None else max(1, room // longest)
            results += self._survive(name, batch.part(len(results), min(len(results) + clips_at_once, len(batch))))
        return results

    def _survive(self, name: str, batch: ClipBatch) -> list[Scored]:
        """One result per clip: of the whole batch where that works, else of halves down to the bad clip.

        Out of memory, and a clip that makes a metric raise, cost a smaller batch and never the other clips' scores.
        """
        metric = self.metrics[name]
        try:
            scores = metric.score(batch)
        except Exception as error:
            if isinstance(error, torch.OutOfMemoryError | MemoryError):
                torch.cuda.empty_cache()
                self._largest[name] = max(1, batch.audio.numel() // 2)
            if len(batch) == 1:
                return [error]
            middle = len(batch) // 2
            return [
                *self._survive(name, batch.part(0, middle)),
                *self._survive(name, batch.part(middle, len(batch))),
            ]
        return [_single(metric, scores, index) for index in range(len(batch))]


def _single(metric: Metric, scores: Mapping[str, Sequence[float]], index: int) -> Scores:
    single = Scores(metric.spec, 1)
    for column in single:
        single[column][0] = float(scores[column][index])
    if isinstance(scores, Scores):
        single.reasons[0] = scores.reasons[index]
        single.details[0] = scores.details[index]
    return single


def _merge(results: Sequence[ClipScores], name: str, metric: Metric, scored: Sequence[Scored]) -> None:
    for result, single in zip(results, scored, strict=True):
        if isinstance(single, Exception):
            result.crashed = True
            for column in metric.spec.columns:
                result.values[column.name] = None
                result.missing[column.name] = f"the metric {name} failed: {type(single).__name__}: {single}"
            continue
        for key, values in single.items():
            finite = math.isfinite(values[0])
            result.values[key] = values[0] if finite else None
            if not finite:
                result.missing[key] = single.reasons[0].get(key, NO_REASON)
        result.details.update(single.details[0])
