"""Running a metric over the probes of an audit. Only numbers are kept; one clip's versions are in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from evalkit.diagnostics import audit_probes as probes
from evalkit.diagnostics.audit_clips import AuditClip, read_clip
from evalkit.diagnostics.audit_probes import Variant
from metrics import ClipBatch, ClipInfo, Metric, Scores
from metrics.recordings import resample

MakeMetric = Callable[[], Metric]
RUN_KINDS = ("same call again", "fresh instance", "other order", "one by one")
_BATCH_S = 60.0


@dataclass
class Ladder:
    """Values of one column along one probe. x, y: a list per clip, rung by rung; clips that lack a value are left out.

    missing: how many were left out, and the first reason.
    """

    x: list[list[float]] = field(default_factory=list)
    y: list[list[float]] = field(default_factory=list)
    missing: int = 0
    reason: str = ""


@dataclass
class Repeats:
    """values[clip][run] of one column, a NaN staying a NaN; kinds[run]: what was different in that run."""

    kinds: list[str]
    values: list[list[float]] = field(default_factory=list)
    reason: str = ""


@contextmanager
def opened(make: MakeMetric) -> Iterator[Metric]:
    """A new instance that is closed at the end."""
    metric = make()
    try:
        yield metric
    finally:
        close = getattr(metric, "close", None)
        if close is not None:
            close()


def score(metric: Metric, clips: Sequence[Tensor], rate: int, info: Sequence[ClipInfo], device: str) -> Scores:
    """One batch. clips: float32 [samples] each at `rate`."""
    target = metric.spec.sample_rate or rate
    batch = ClipBatch.of([resample(clip, rate, target) for clip in clips], target, info)
    answer = metric.score(batch if metric.spec.cpu_only else batch.to(device))
    scores = Scores(metric.spec, len(clips))
    for column in scores:
        scores[column] = [float(value) for value in answer[column]]
    if isinstance(answer, Scores):
        scores.reasons = answer.reasons
    return scores


def walk(metric: Metric, clips: Iterable[AuditClip], seed: int, device: str) -> dict[str, dict[str, Ladder]]:
    """Column -> probe (length, level, white, pink) -> its ladder."""
    names = ("length", "level", *probes.COLOURS)
    ladders = {column.name: {name: Ladder() for name in names} for column in metric.spec.columns}
    for number, clip in enumerate(clips):
        audio, rate = read_clip(clip)
        info = clip.info
        makers: dict[str, Iterator[Variant]] = {
            "length": probes.lengths(audio, rate, info),
            "level": probes.levels(audio, info),
            **{c: probes.noises(audio, info, c, seed + 2 * number + i) for i, c in enumerate(probes.COLOURS)},
        }
        for name, variants in makers.items():
            rungs = list(variants)
            scores = score(metric, [rung.audio for rung in rungs], rate, [rung.info for rung in rungs], device)
            for column, per_probe in ladders.items():
                _add(per_probe[name], rungs, scores, column)
    return ladders


def _add(ladder: Ladder, rungs: Sequence[Variant], scores: Scores, column: str) -> None:
    values = scores[column]
    if all(math.isfinite(value) for value in values):
        ladder.x.append([rung.x for rung in rungs])
        ladder.y.append(values)
        return
    ladder.missing += 1
    reasons = (reasons.get(column, "it gave no value and no reason") for reasons in scores.reasons)
    first = next(reason for reason, value in zip(reasons, values, strict=True) if not math.isfinite(value))
    ladder.reason = ladder.reason or first


def repeat(make: MakeMetric, clips: Sequence[AuditClip], runs: int, seed: int, device: str) -> dict[str, Repeats]:
    """Score the same clips `runs` times: again, by a fresh instance, in another order, and one by one, in turn."""
    kinds = ["first", *(RUN_KINDS[run % len(RUN_KINDS)] for run in range(runs - 1))]
    with opened(make) as metric:
        repeats = {column.name: Repeats(kinds) for column in metric.spec.columns}
        for rate, audio, info in _batches(clips):
            start = {column: len(found.values) for column, found in repeats.items()}
            for run, kind in enumerate(kinds):
                scores = _run(metric, make, kind, rate, audio, info, seed + run, device)
                for column, found in repeats.items():
                    for place, value in enumerate(scores[column]):
                        if run == 0:
                            found.values.append([])
                            found.reason = found.reason or scores.reasons[place].get(column, "")
                        found.values[start[column] + place].append(value)
    return repeats


def _run(
    metric: Metric,
    make: MakeMetric,
    kind: str,
    rate: int,
    audio: Sequence[Tensor],
    info: Sequence[ClipInfo],
    seed: int,
    device: str,
) -> Scores:
    if kind == "fresh instance":
        with opened(make) as fresh:
            return score(fresh, audio, rate, info, device)
    if kind == "other order":
        order = np.random.default_rng(seed).permutation(len(audio)).tolist()
        return _gather(metric, [order], rate, audio, info, device)
    if kind == "one by one":
        return _gather(metric, [[place] for place in range(len(audio))], rate, audio, info, device)
    return score(metric, audio, rate, info, device)


def _gather(
    metric: Metric,
    batches: Sequence[Sequence[int]],
    rate: int,
    audio: Sequence[Tensor],
    info: Sequence[ClipInfo],
    device: str,
) -> Scores:
    """Score the clips in these batches of places; the answer is in the clips' own order."""
    gathered = Scores(metric.spec, len(audio))
    for places in batches:
        scores = score(metric, [audio[place] for place in places], rate, [info[place] for place in places], device)
        for column, values in scores.items():
            for place, value in zip(places, values, strict=True):
                gathered[column][place] = value
        for place, reasons in zip(places, scores.reasons, strict=True):
            gathered.reasons[place] = reasons
    return gathered


def _batches(clips: Sequence[AuditClip]) -> Iterator[tuple[int, list[Tensor], list[ClipInfo]]]:
    """Clips of one rate, up to a minute together."""
    audio: list[Tensor] = []
    info: list[ClipInfo] = []
    rate, seconds = 0, 0.0
    for clip in clips:
        samples, own = read_clip(clip)
        if audio and (own != rate or seconds + len(samples) / own > _BATCH_S):
            yield rate, audio, info
            audio, info, seconds = [], [], 0.0
        rate, seconds = own, seconds + len(samples) / own
        audio.append(samples)
        info.append(clip.info)
    if audio:
        yield rate, audio, info
