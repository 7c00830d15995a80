"""The loop of a run: make the clips of a batch, score them, store everything, go on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from evalkit.files import disk_errors
from evalkit.pipeline.audio import write_flac
from evalkit.pipeline.plan import Utterance
from evalkit.pipeline.scoring import ClipScores, Scorer
from evalkit.pipeline.sources import Clip, Source
from evalkit.runs.folder import RunFolder
from evalkit.runs.log import Row, UtteranceLog
from metrics import ClipInfo, Column, Entity, Metric

Progress = Callable[[int, float], None]  # utterances done, seconds of their audio

FLAC_THREADS = 2
LOST = ("timed_out", "crashed", "out_of_memory")  # statuses that another start may not meet again


def execute(
    batches: Sequence[Sequence[Utterance]],
    source: Source,
    scorer: Scorer,
    columns: Mapping[str, Column],
    folder: RunFolder,
    log: UtteranceLog,
    progress: Progress,
) -> None:
    """Process every batch that the log does not hold yet. A batch is in the log, its audio on disk, or it is not.

    What failed in an earlier start for what may have been the machine's fault is tried again, once.
    """
    told, log = log.rows, _without_lost(log)
    done = {row["utterance"] for row in log.rows}
    progress(len(done), sum(row.get("duration_s") or 0.0 for row in log.rows))
    with ThreadPoolExecutor(FLAC_THREADS, thread_name_prefix="flac") as writers:
        missing = [[utterance for utterance in batch if utterance.id not in done] for batch in batches]
        for todo, clips in made_ahead([todo for todo in missing if todo], source):
            stored = [writers.submit(_store, folder, u, clip) for u, clip in zip(todo, clips, strict=True)]
            scores = _score(todo, clips, scorer, columns)
            rows = [
                _row(u, clip, one, path.result())
                for u, clip, one, path in zip(todo, clips, scores, stored, strict=True)
            ]
            log.append(rows)
            progress(len(todo), sum(len(clip.audio) / clip.sample_rate for clip in clips if clip.status == "ok"))
    told[:] = log.rows  # the caller's log


def _without_lost(log: UtteranceLog) -> UtteranceLog:
    """The log without its LOST rows, on disk too: after a kill they are missing, like all that was not made yet."""
    kept = [row for row in log.rows if row["status"] not in LOST]
    if len(kept) == len(log.rows):
        return log
    anew = log.path.with_name(f".{log.path.name}.anew")
    with disk_errors(log.path):
        anew.unlink(missing_ok=True)
        UtteranceLog(anew).append(kept)
        os.replace(anew, log.path)
    return UtteranceLog(log.path)


def made_ahead(
    batches: Sequence[Sequence[Utterance]], source: Source
) -> Iterator[tuple[Sequence[Utterance], Sequence[Clip]]]:
    """Each batch with its clips; where the source allows it, the next is made while the caller works on this one."""
    if not source.ahead:
        yield from ((batch, source.clips(batch)) for batch in batches)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="source") as maker:
        following = [maker.submit(source.clips, batch) for batch in batches[:1]]
        for number, batch in enumerate(batches):
            clips = following.pop().result()
            following += [maker.submit(source.clips, batch) for batch in batches[number + 1 : number + 2]]
            yield batch, clips


def _store(folder: RunFolder, utterance: Utterance, clip: Clip) -> str | None:
    """Put the clip's audio where the report finds it; returns its path relative to the run folder."""
    if clip.stored is not None:
        # As the file system sees it: ".." of a folder that is a link leads out of what it links to.
        return os.path.relpath(clip.stored.parent.resolve() / clip.stored.name, folder.path.resolve())
    if clip.status != "ok":
        return None
    relative = Path("audio") / f"{utterance.id}.flac"
    write_flac(folder.path / relative, clip.audio, clip.sample_rate)
    return relative.as_posix()


def _score(
    batch: Sequence[Utterance], clips: Sequence[Clip], scorer: Scorer, columns: Mapping[str, Column]
) -> list[ClipScores]:
    good = [index for index, clip in enumerate(clips) if clip.status == "ok"]
    scored: dict[int, ClipScores] = {}
    if good:
        results = scorer.score(
            [clips[index].audio for index in good],
            clips[good[0]].sample_rate,
            [clip_info(batch[i], clips[i].phonemes) for i in good],
        )
        scored = dict(zip(good, results, strict=True))
        for index, scores in scored.items():
            _say_why_no_reference(batch[index], scores, scorer.metrics)
    return [
        scored.get(i) or _failure_scores(clip, clip_info(batch[i]), columns, scorer.metrics)
        for i, clip in enumerate(clips)
    ]


def _say_why_no_reference(utterance: Utterance, scores: ClipScores, metrics: Mapping[str, Metric]) -> None:
    """A metric only sees that there is no reference clip; the plan knows why."""
    if utterance.no_reference is None:
        return
    for metric in metrics.values():
        for column in metric.spec.columns:
            if "reference" in metric.spec.needs | column.needs and column.name in scores.missing:
                scores.missing[column.name] = utterance.no_reference


def clip_info(utterance: Utterance, phonemes: str | None = None) -> ClipInfo:
    item = utterance.item
    return ClipInfo(
        id=utterance.id,
        text=item.spoken or None,
        written=item.text or None,
        entities=tuple(Entity(e.spelling, e.accepted, e.wrong, e.spellings) for e in item.entities),
        reference=utterance.references,
        phonemes=phonemes,
    )


def _failure_scores(
    clip: Clip, info: ClipInfo, columns: Mapping[str, Column], metrics: Mapping[str, Metric]
) -> ClipScores:
    """What an utterance without usable speech scores: the column's definition says it, or the value is missing."""
    here = {need for need in ("text", "reference", "entities") if getattr(info, need)}
    values = {name: column.on_failure if column.needs <= here else None for name, column in columns.items()}
    scores = ClipScores(values, {}, {})
    for name, metric in metrics.items():
        reason = clip.reason or clip.status
        try:
            applying = _applying(metric, info)
        except Exception as error:  # whatever a plugin does wrong: it costs the metric's own columns
            scores.crashed, applying = True, set()
            reason = f"the metric {name} failed: {type(error).__name__}: {error}"
        for column in metric.spec.columns:
            if column.name not in applying:
                values[column.name] = None
            if values[column.name] is None:
                scores.missing[column.name] = reason
    return scores


def _applying(metric: Metric, info: ClipInfo) -> set[str]:
    """Columns that the metric could have given a value for; all of them if it cannot be asked."""
    applies = getattr(metric, "applies", None)
    return {column.name for column in metric.spec.columns} if applies is None else set(applies(info))


def _row(utterance: Utterance, clip: Clip, scores: ClipScores, audio: str | None) -> Row:
    item = utterance.item
    return {
        "utterance": utterance.id,
        "item": item.id,
        "repeat": utterance.repeat,
        "seed": utterance.seed,
        "status": clip.status,
        "reason": clip.reason,
        "text": item.text or None,
        "spoken": item.spoken or None,
        "entities": [entity.spelling for entity in item.entities],
        "read": clip.read,
        "phonemes": clip.phonemes,
        "tags": list(item.tags),
        "audio": audio,
        "sample_rate": clip.sample_rate,
        **scores.values,
        **clip.timings,
        "missing": {**scores.missing, **clip.missing},
        "details": {**scores.details, **clip.details, **({"metric_crashed": True} if scores.crashed else {})},
    }
