"""`evalkit run` and `evalkit score` as functions: prepare, execute, finish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from evalkit import __version__
from evalkit.checkpoints import stem
from evalkit.decisions.paired import check_baseline
from evalkit.engines.remote import UTTERANCE_S
from evalkit.errors import EvalkitError
from evalkit.files import digest
from evalkit.pipeline.engine_setup import closing_engine, load_engine, pick_device
from evalkit.pipeline.execute import Progress, execute
from evalkit.pipeline.finish import finish
from evalkit.pipeline.job import Job, Options
from evalkit.pipeline.judges import choose, passports
from evalkit.pipeline.latency import AT_ONCE, LatencySource, timing_record
from evalkit.pipeline.machine import load_average
from evalkit.pipeline.phonemes import chosen_phonemes, read_phonemes
from evalkit.pipeline.plan import Utterance, batches, select_items, utterances
from evalkit.pipeline.provenance import environment
from evalkit.pipeline.references import check_references, describe, find_references
from evalkit.pipeline.resampling import DESCRIPTION
from evalkit.pipeline.score_cache import ScoreCache, cache_path
from evalkit.pipeline.scoring import Scorer
from evalkit.pipeline.sources import EngineSource, FileSource
from evalkit.pipeline.timings import timing_columns
from evalkit.pipeline.voices import NO_CHOICE, VoiceChoice, prepare_voice
from evalkit.runs.folder import RunFolder, find_or_name, open_run, write_manifest
from evalkit.runs.log import UtteranceLog
from evalkit.suites import load_suite

FILES_PER_BATCH = {"cpu": 32, "cuda": 256}
BATCH_SECONDS = {"cpu": 60.0, "cuda": 600.0}  # of audio; a metric that runs out of memory halves its own


@dataclass(frozen=True)
class Finished:
    """A run that came to its end."""

    folder: RunFolder
    summary: Mapping[str, Any]
    from_cache: int = 0  # scores that had been computed before
    cache_problem: str | None = None


Announce = Callable[[RunFolder, int, int], Progress]  # folder, utterances planned, utterances done -> progress


def run_checkpoint(
    checkpoint: Path | None,
    suite_name: str,
    options: Options,
    announce: Announce,
    engine_name: str | None = None,
    settings: Sequence[str] = (),
    repeats: int = 1,
    seed: int = 0,
    item_patterns: Sequence[str] = (),
    base: Path | None = None,
    voice: VoiceChoice = NO_CHOICE,
    phonemes_from: Path | None = None,
    utterance_s: float = UTTERANCE_S,
    latency: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
) -> Finished:
    """Synthesise a suite with a checkpoint and score it; continue where an interrupted start of the same run stopped.

    checkpoint: also the folder of a LoRA adapter (base: its base, if not the one it names), or a merge recipe; None
    for an engine that needs none. engine_name: also "NAME: ARGUMENT", or an address. voice: else as `prepare_voice`
    finds it. phonemes_from: a run whose phonemes are spoken instead of what the front end makes of the text.
    utterance_s: how long one utterance may take where the engine has a process of its own.
    latency: speak one utterance at a time and time it as a listener would. say: is told what the engine has to say of
    the checkpoint, and what disturbs timings.
    Raises EvalkitError on bad input, before anything is written wherever that is possible.
    """
    if repeats < 1:
        raise EvalkitError(f"--repeats {repeats}: at least 1.")
    device = pick_device(options.device)
    suite = load_suite(suite_name)
    items = select_items(suite.items, item_patterns, options.limit)
    if not items:
        raise EvalkitError(f"Nothing to do: --limit {options.limit} leaves no item of the suite '{suite.name}'.")
    references = find_references(options.reference, checkpoint)
    choices = choose(options.metrics, options.judges, device, options.settings, options.forced)
    check_references(references, choices)
    phonemes = read_phonemes(phonemes_from) if phonemes_from else {}
    loaded = load_engine(checkpoint, engine_name, device, settings, base, utterance_s)
    with closing_engine(loaded.engine):
        speaker = prepare_voice(loaded.engine, voice, checkpoint, references)
        spec = loaded.engine.spec
        for note in getattr(loaded.engine, "notes", ()):
            say(f"{spec.name}: {note}")
        planned = [replace(u, references=references) for u in utterances(items, repeats, seed)]
        timing = timing_record(spec, device, latency)
        source = EngineSource(
            loaded.engine, speaker, loaded.setup.options, spec.max_batch, chosen_phonemes(spec, phonemes, planned)
        )
        if latency:
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
        suite_record = {"name": suite.name, "version": suite.version, "sha256": suite.sha256, "items": len(items)}
        job = Job(
            name=stem(checkpoint) if checkpoint else spec.name,
            suite=suite.name,
            content={
                "fingerprint": loaded.checkpoint["fingerprint"] if loaded.checkpoint else None,
                "engine": identity,
                "voice": speaker.digest if speaker else None,
                "suite": suite.sha256,
                "items": [item.id for item in items],
                "repeats": repeats,
                "seed": seed,
                **fixed,
                **({"timing": timing} if latency else {}),  # on another machine, or with other threads, another run
            },
            record={
                "checkpoint": loaded.checkpoint,
                "engine": {**identity, **loaded.record()},
                "voice": {"name": speaker.name, "digest": speaker.digest} if speaker else None,
                "suite": suite_record,
                "repeats": repeats,
                "seed": seed,
                "device": device,
                **fixed,
                "timing": {**timing, "load_at_start": load_average()},
            },
            planned=planned,
            max_batch=AT_ONCE if latency else spec.max_batch,
            source=source,
            choices=choices,
            references=references,
            options=options,
            timings=timing_columns(timing["mode"]),
        )
        return _carry_out(job, announce)


def score_files(
    name: str, planned: Sequence[Utterance], content_sha256: str, options: Options, announce: Announce
) -> Finished:
    """Score audio that exists through the same path as a run. `planned` comes from `evalkit.pipeline.existing`."""
    device = pick_device(options.device)
    references = find_references(options.reference, None)
    choices = choose(options.metrics, options.judges, device, options.settings, options.forced)
    planned = [replace(u, references=u.references or references) for u in planned[: options.limit]]
    check_references(sorted({path for u in planned for path in u.references}), choices)
    return _carry_out(
        Job(
            name=name,
            suite="audio",
            content={"audio": content_sha256, "items": [u.id for u in planned]},
            record={
                "checkpoint": None,
                "engine": None,
                "voice": None,
                "repeats": 1,
                "seed": 0,
                "device": device,
                "suite": {"name": "audio", "version": "-", "sha256": content_sha256, "items": len(planned)},
            },
            planned=planned,
            max_batch=FILES_PER_BATCH[torch.device(device).type],
            source=FileSource(),
            choices=choices,
            references=references,
            options=options,
            timings={},
        ),
        announce,
    )


def _carry_out(job: Job, announce: Announce) -> Finished:
    manifest, folder = _identify(job)
    baseline = open_run(job.options.baseline) if job.options.baseline is not None else None
    if baseline is not None:
        check_baseline(manifest, baseline)
    columns = job.metric_columns()
    cache = ScoreCache(cache_path()) if job.options.cache else None
    device = manifest["device"]
    planned = batches(job.planned, job.max_batch, BATCH_SECONDS[torch.device(device).type])
    with Scorer(job.choices, device, job.options.resampler, cache) as scorer, folder.locked():
        write_manifest(folder, manifest)
        log = UtteranceLog(folder.log_path)
        progress = announce(folder, len(job.planned), len(log.rows))
        execute(planned, job.source, scorer, columns, folder, log, progress)
        summary = finish(job, folder, log.rows, scorer, baseline)
    return Finished(folder, summary, cache.hits if cache else 0, cache.problem if cache else None)


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
