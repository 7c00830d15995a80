"""`evalkit run` and `evalkit score` as functions: prepare, execute, finish."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from evalkit import __version__
from evalkit.checkpoints import stem
from evalkit.decisions.paired import check_baseline
from evalkit.errors import EvalkitError, some
from evalkit.files import digest
from evalkit.pipeline.engine_setup import EngineKeeper, closing_engine, load_engine, pick_device
from evalkit.pipeline.execute import Progress, execute
from evalkit.pipeline.finish import finish
from evalkit.pipeline.job import Job, Options
from evalkit.pipeline.judges import choose, passports
from evalkit.pipeline.latency import AT_ONCE, LatencySource, timing_record
from evalkit.pipeline.machine import load_average
from evalkit.pipeline.phonemes import chosen_phonemes, read_phonemes
from evalkit.pipeline.plan import Utterance, batches, select_items, utterances
from evalkit.pipeline.provenance import environment
from evalkit.pipeline.references import check_references, describe, find_references, with_references
from evalkit.pipeline.resampling import DESCRIPTION
from evalkit.pipeline.score_cache import ScoreCache, cache_path
from evalkit.pipeline.scoring import Scorer
from evalkit.pipeline.sources import EngineSource, FileSource
from evalkit.pipeline.speaking import Speaking
from evalkit.pipeline.suite_record import of_no_suite, suite_identity, suite_record
from evalkit.pipeline.timings import timing_columns
from evalkit.pipeline.voices import prepare_voice
from evalkit.pipeline.weights import Made
from evalkit.runs.folder import RunFolder, find_or_name, open_run, write_manifest
from evalkit.runs.log import Row, UtteranceLog
from evalkit.suites import Suite, load_suite
from metrics import Column

FILES_PER_BATCH = {"cpu": 32, "cuda": 256}
BATCH_SECONDS = {"cpu": 60.0, "cuda": 600.0}  # of audio; a metric that runs out of memory halves its own


@dataclass(frozen=True)
class Finished:
    """A run that came to its end."""

    folder: RunFolder
    summary: Mapping[str, Any]
    from_cache: int = 0  # scores that had been computed before
    cache_problem: str | None = None


@dataclass(frozen=True)
class Staged:
    """A run that was carried out up to the end of a stage. finished: None while stages are left."""

    folder: RunFolder
    rows: Sequence[Row]
    columns: Mapping[str, Column]
    finished: Finished | None


Announce = Callable[[RunFolder, int, int], Progress]  # folder, utterances planned, utterances done -> progress
Say = Callable[[str], None]


def quietly(folder: RunFolder, planned: int, done: int) -> Progress:
    """An Announce that shows nothing."""
    return lambda utterances, seconds: None


def say_nothing(sentence: str) -> None:
    """A Say that tells nobody."""


def run_checkpoint(
    subject: Path | Made | None,
    speaking: Speaking,
    options: Options,
    announce: Announce = quietly,
    say: Say = say_nothing,
    keeper: EngineKeeper | None = None,
) -> Finished:
    """Synthesise a suite with a checkpoint and score it; continue where an interrupted start of the same run stopped.

    subject: a checkpoint, the folder of a LoRA adapter, a merge recipe, or weights in memory; None for an engine that
    needs none. say: is told what the engine has to say of the checkpoint, and what disturbs timings. keeper: holds the
    engine's process for the next run. Raises EvalkitError on bad input, before anything is written wherever that is
    possible.
    """
    with _planned(subject, speaking, options, say, keeper) as job:
        staged = _carry_out(job, announce)
    assert staged.finished is not None, "all stages were asked for"
    return staged.finished


def run_stages(
    subject: Path | Made | None,
    speaking: Speaking,
    options: Options,
    stages: Sequence[Sequence[str]],
    until: int,
    announce: Announce = quietly,
    say: Say = say_nothing,
    keeper: EngineKeeper | None = None,
) -> Staged:
    """As `run_checkpoint`, up to and with stage number `until`, counted from 1; a later call goes on from there.

    stages: the items of each stage, by id; together they are the run's items, and part of its identity, as batches do
    not reach over the end of a stage. After the last stage the run is finished like any other.
    """
    with _planned(subject, speaking, options, say, keeper, stages) as job:
        return _carry_out(job, announce, until)


def score_files(
    name: str,
    planned: Sequence[Utterance],
    content_sha256: str,
    options: Options,
    announce: Announce = quietly,
    say: Say = say_nothing,
    suite: Suite | None = None,
) -> Finished:
    """Score audio that exists through the same path as a run. `planned` comes from `evalkit.pipeline.existing`.

    suite: whose items the audio is of; a run of the suite can then be compared with it. Without one, audio can be
    compared with other audio of the same ids, texts and entities. say: is told which clips are their own references.
    """
    device = pick_device(options.device)
    references = find_references(options.reference, None)
    choices = choose(options.metrics, options.judges, device, options.settings, options.forced)
    items = {u.item.id: u.item for u in planned}
    kept = list(items)[: options.limit]
    planned, own = with_references([u for u in planned if u.item.id in set(kept)], references)
    check_references(sorted({path for u in planned for path in u.references} | set(references)), choices)
    if own:
        say(f"{some([u.id for u in own])}: among the reference clips too, so not compared with what is the same clip.")
    record = suite_record(suite or of_no_suite([items[name] for name in kept]), len(kept))
    job = Job(
        name=name,
        suite=record["name"],
        content={"audio": content_sha256, "suite": suite_identity(record), "items": [u.id for u in planned]},
        record={
            "checkpoint": None,
            "engine": None,
            "voice": None,
            "repeats": 1,
            "seed": 0,
            "device": device,
            "suite": record,
        },
        stages=(planned,),
        max_batch=FILES_PER_BATCH[torch.device(device).type],
        source=FileSource(),
        choices=choices,
        references=references,
        options=options,
        timings={},
    )
    finished = _carry_out(job, announce).finished
    assert finished is not None, "there is one stage"
    return finished


@contextmanager
def _planned(
    subject: Path | Made | None,
    speaking: Speaking,
    options: Options,
    say: Say,
    keeper: EngineKeeper | None,
    stages: Sequence[Sequence[str]] | None = None,
) -> Iterator[Job]:
    """The job, with its engine running until the end of the block."""
    device = pick_device(options.device)
    suite = load_suite(speaking.suite)
    items = select_items(suite.items, speaking.items, options.limit)
    if not items:
        raise EvalkitError(f"Nothing to do: --limit {options.limit} leaves no item of the suite '{suite.name}'.")
    checkpoint = subject.near if isinstance(subject, Made) else subject
    references = find_references(options.reference, checkpoint)
    choices = choose(options.metrics, options.judges, device, options.settings, options.forced)
    check_references(references, choices)
    phonemes = read_phonemes(speaking.phonemes_from) if speaking.phonemes_from else {}
    loaded = load_engine(
        subject, speaking.engine, device, speaking.settings, speaking.base, speaking.utterance_s, keeper
    )
    with closing_engine(loaded.engine, keeper):
        speaker = prepare_voice(loaded.engine, speaking.voice, checkpoint, references)
        spec = loaded.engine.spec
        for note in getattr(loaded.engine, "notes", ()):
            say(f"{spec.name}: {note}")
        by_item: dict[str, list[Utterance]] = {}
        for utterance in utterances(items, speaking.repeats, speaking.seed):
            by_item.setdefault(utterance.item.id, []).append(replace(utterance, references=references))
        order = stages if stages is not None else [list(by_item)]
        staged = tuple(tuple(u for item in stage for u in by_item[item]) for stage in order)
        planned = [u for stage in staged for u in stage]
        timing = timing_record(spec, device, speaking.latency)
        source = EngineSource(
            loaded.engine, speaker, loaded.setup.options, spec.max_batch, chosen_phonemes(spec, phonemes, planned)
        )
        if speaking.latency:
            source = LatencySource(
                loaded.engine,
                speaker,
                loaded.setup.options,
                phonemes=source.phonemes,
                planned=planned,
                record=timing,
                device=device,
                say=say,
            )
        identity = loaded.identity()
        fixed = {"phonemes_from": digest(source.phonemes)} if phonemes else {}
        record = suite_record(suite, len(items))
        yield Job(
            name=subject.name if isinstance(subject, Made) else stem(subject) if subject else spec.name,
            suite=suite.name,
            content={
                "fingerprint": loaded.checkpoint["fingerprint"] if loaded.checkpoint else None,
                "engine": identity,
                "voice": speaker.digest if speaker else None,
                "suite": suite_identity(record),
                "items": [item.id for item in items],
                "repeats": speaking.repeats,
                "seed": speaking.seed,
                **fixed,
                **({"timing": timing} if speaking.latency else {}),  # on another machine, or other threads, another run
                **({"stages": [list(stage) for stage in order]} if len(order) > 1 else {}),
            },
            record={
                "checkpoint": loaded.checkpoint,
                "engine": {**identity, **loaded.record()},
                "voice": {"name": speaker.name, "digest": speaker.digest} if speaker else None,
                "suite": record,
                "repeats": speaking.repeats,
                "seed": speaking.seed,
                "device": device,
                **fixed,
                "timing": {**timing, "load_at_start": load_average()},
            },
            stages=staged,
            max_batch=AT_ONCE if speaking.latency else spec.max_batch,
            source=source,
            choices=choices,
            references=references,
            options=options,
            timings=timing_columns(timing["mode"]),
        )


def _carry_out(job: Job, announce: Announce, until: int | None = None) -> Staged:
    """Make and score the utterances of the stages up to `until`; all of them, and the end of the run, if None."""
    manifest, folder = _identify(job)
    baseline = open_run(job.options.baseline) if job.options.baseline is not None else None
    if baseline is not None:
        check_baseline(folder.path, manifest, {u.item.id for u in job.planned}, job.columns(), baseline)
    cache = ScoreCache(cache_path()) if job.options.cache else None
    device = manifest["device"]
    seconds = BATCH_SECONDS[torch.device(device).type]
    chosen = job.stages[:until]
    planned = [batch for stage in chosen for batch in batches(stage, job.max_batch, seconds)]
    with Scorer(job.choices, device, job.options.resampler, cache) as scorer, folder.locked():
        write_manifest(folder, manifest)
        log = UtteranceLog(folder.log_path)
        progress = announce(folder, sum(map(len, chosen)), len(log.rows))
        execute(planned, job.source, scorer, job.metric_columns(), folder, log, progress)
        if len(chosen) < len(job.stages):
            return Staged(folder, log.rows, job.columns(), None)
        summary = finish(job, folder, log.rows, scorer, baseline)
    finished = Finished(folder, summary, cache.hits if cache else 0, cache.problem if cache else None)
    return Staged(folder, log.rows, job.columns(), finished)


def _identify(job: Job) -> tuple[dict[str, Any], RunFolder]:
    """The manifest, and the folder that the content of the run names."""
    reference = describe(job.references)
    judged = passports(job.choices, DESCRIPTION[job.options.resampler])
    content_hash = digest(
        {**job.content, "reference": reference and sorted(f["sha256"] for f in reference["files"]), "passports": judged}
    )[:8]
    folder = find_or_name(job.options.out, job.name, job.suite, content_hash)
    manifest = {
        "evalkit": __version__,
        "id": folder.path.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **job.record,
        "reference": reference,
        "judges": job.options.judges,
        "passports": judged,
        "audio": {"format": "FLAC 16 bit", "scored": "the stored samples"},
        **environment(),
    }
    return manifest, folder
