"""`evalkit diagnose` as a function: measure, check, judge, and write what was found."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit import __version__
from evalkit.diagnostics.corpus.opening import Corpus, open_corpus
from evalkit.diagnostics.training.checking import check
from evalkit.diagnostics.training.embeddings import Embedder
from evalkit.diagnostics.training.fixing import write_fixed
from evalkit.diagnostics.training.hearing import hear, sample
from evalkit.diagnostics.training.measuring import MEASURES, METRICS, PITCH_CLIPS, Files, Listed, Measurer, Progress
from evalkit.diagnostics.training.mixing import plan_mix, read_mix
from evalkit.diagnostics.training.outcome import flag_summary, phones_of, play, write_checks
from evalkit.diagnostics.training.picking import pick_references
from evalkit.diagnostics.training.published import as_rows
from evalkit.diagnostics.training.rows import DROPPED, known_flags
from evalkit.diagnostics.training.speakers import judge_speakers
from evalkit.diagnostics.training.tables import problems, write_clips
from evalkit.diagnostics.training.targets import check_manifest, check_targets, dropped_beside
from evalkit.diagnostics.training.transcripts import Heard, usual_wers
from evalkit.diagnostics.training.transcripts import notices as transcript_notices
from evalkit.errors import EvalkitError
from evalkit.files import digest, write_atomically, write_json
from evalkit.pipeline.engine_setup import pick_device
from evalkit.pipeline.judges import Choice, Judges, choose, passports
from evalkit.pipeline.resampling import DESCRIPTION
from evalkit.runs.folder import RunFolder

PROBLEMS = 1000  # clips that could not be read, named in the diagnosis; clips.parquet has all of them
ENERGY = (
    "Energy sd is the standard deviation of frame levels (25 ms every 10 ms, dBFS), pooled over all clips of a "
    "speaker; a frame counts if it lies within 40 dB of its clip's loudest. Under 'speech' stands that of the counted "
    "frames that silero-vad finds speech in: noise in pauses widens the first, not the second."
)

Start = Callable[[int], Progress]  # clips in all -> progress
Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What `evalkit diagnose` was asked for. workers: None is one per core but one, 0 decodes in this process.

    dnsmos_clips: DNS-MOS of a sample of each speaker's clips; transcripts: clips per speaker that a judge hears. fix,
    mix_manifest, markdown: files to write; drop: flags that `fix` leaves out clips for.
    """

    out: Path = Path("diagnoses")
    fields: Mapping[str, str] = field(default_factory=dict)
    workers: int | None = None
    device: str = "auto"
    judges: Judges = "auto"
    dnsmos_clips: int | None = None
    transcripts: int = 0
    fix: Path | None = None
    drop: Sequence[str] | None = None
    pick_references: int | None = None
    mix: str | None = None
    mix_manifest: Path | None = None
    markdown: Path | None = None


@dataclass(frozen=True)
class Diagnosed:
    """diagnosis: what is in `diagnosis.json`; measured_s: seconds of audio that this start measured, in elapsed_s.

    failed: why something that was asked for beside the diagnosis could not be made. The diagnosis stands all the same:
    show it, then raise this.
    """

    files: Files
    diagnosis: Mapping[str, Any]
    measured_s: float
    elapsed_s: float
    failed: EvalkitError | None = None

    def lines(self) -> list[str]:
        """What to tell the user after the table."""
        said = [f"Report: {self.files.report}"]
        if self.measured_s:
            speed = self.measured_s / max(self.elapsed_s, 1e-9)
            said.append(
                f"Measured {self.measured_s / 3600:.2f} h of audio in {self.elapsed_s / 60:.1f} min "
                f"({speed / 60:.2f} h per minute)."
            )
        fixed, picked, mix = (self.diagnosis.get(name) for name in ("fix", "references", "mix"))
        if fixed:
            said.append(
                f"Kept {fixed['kept']} of {fixed['clips']} clips: {fixed['manifest']}; why the others went: "
                f"{fixed['dropped_manifest']}"
            )
        for speaker in picked["speakers"] if picked else ():
            said.append(f"References of {speaker['name']}: {speaker['says']}")
            said += [f"  {one['rank']}. {one['where']}" for one in speaker["picked"]]
        if mix:
            said.append(f"The mix: {mix['verdict']['says']}")
            said += [f"Manifest of the mix: {mix['manifest']}"] if mix["manifest"] else []
        return said


def diagnose_set(data: Path, wanted: Wanted, start: Start, say: Say) -> Diagnosed:
    """Diagnose a training set; an interrupted diagnosis goes on where it stopped.

    Raises EvalkitError on bad input, before anything is measured wherever that is possible; what only the measured
    clips tell (a mix of speakers that are not there) is in `Diagnosed.failed`.
    """
    known_flags(wanted.drop or DROPPED)
    mixed = read_mix(wanted.mix) if wanted.mix is not None else None
    for manifest in (wanted.fix, wanted.mix_manifest):
        if manifest is not None:
            check_manifest(manifest, data)
    corpus = open_corpus(data, wanted.fields)
    device = pick_device(wanted.device)
    choices = choose(METRICS, wanted.judges, device)
    embedder, without = _embedder(device, wanted.judges)
    heard_by = choose(("wer",), wanted.judges, device)[0] if wanted.transcripts else None
    files = _files(corpus, wanted, choices, embedder)
    own = (*vars(files).values(), _heard_log(files))
    check_targets(_targets(wanted), data, [path.resolve() for path in own])
    with RunFolder(files.folder).locked():
        began = time.monotonic()
        listed = _measure(corpus, files, wanted, choices, embedder, device, start)
        elapsed = time.monotonic() - began
        notices = [*without, *_notices(choices)]
        heard = _hear(corpus, files, wanted, heard_by, device, notices, say)
        say("Comparing clips with each other.")
        dimension, encoder = (embedder.dimension, embedder.judge) if embedder else (1, "bundled")
        write_checks(files, check(files.clips, files.embeddings, dimension, encoder, heard))
        speakers, whole = judge_speakers(files.clips, files.checks)
        phones = phones_of(files.clips, files.checks)
        for one in (*speakers, whole):
            one["phones"] = phones.get(one["name"])
        count, named = problems(files, PROBLEMS)
        diagnosis: dict[str, Any] = {
            "data": {
                "path": str(data),
                "format": corpus.format,
                "clips": listed.clips,
                "measured": listed.clips - count,
                "hours": whole["hours"],
                "problems": named,
                "problem_count": count,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "evalkit": __version__,
                "passports": _passports(choices, embedder),
                "energy_definition": ENERGY,
            },
            "speakers": speakers,
            "all": whole,
            "flags": flag_summary(files),
            "notices": notices,
        }
        errors: list[EvalkitError] = []
        for name, make in _extras(files, wanted, mixed, data).items():
            with _collected(errors, notices):
                diagnosis[name] = make()
        _write(files, corpus, diagnosis)
        with _collected(errors, notices):
            _write_markdown(diagnosis, wanted.markdown)
    failed = EvalkitError(" ".join(map(str, errors))) if errors else None
    return Diagnosed(files, diagnosis, listed.seconds, elapsed, failed)


def _embedder(device: str, judges: Judges) -> tuple[Embedder | None, list[str]]:
    """The encoder of voices, or why clips of a wrong speaker are not looked for."""
    try:
        embedder = Embedder(device, judges)
    except EvalkitError as error:
        return None, [f"Clips of a wrong speaker were not looked for. {error}"]
    return embedder, [f"voices: {embedder.notice}"] if embedder.notice else []


def _files(corpus: Corpus, wanted: Wanted, choices: Sequence[Choice], embedder: Embedder | None) -> Files:
    """The folder that the set, and all that its numbers depend on, name."""
    content = {
        "path": str(corpus.path.resolve()),
        "fields": dict(wanted.fields),
        "passports": _passports(choices, embedder),
        "measures": MEASURES,
        "dnsmos_clips": wanted.dnsmos_clips,
    }
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in corpus.path.resolve().stem) or "set"
    return Files(wanted.out / f"{name}-{digest(content)[:8]}")


def _passports(choices: Sequence[Choice], embedder: Embedder | None) -> dict[str, Any]:
    judged: dict[str, Any] = dict(passports(choices, DESCRIPTION["soxr"]))
    return judged | ({"speaker_embedding": dict(embedder.passport())} if embedder else {})


def _measure(
    corpus: Corpus,
    files: Files,
    wanted: Wanted,
    choices: Sequence[Choice],
    embedder: Embedder | None,
    device: str,
    start: Start,
) -> Listed:
    sampled = {"prosody": PITCH_CLIPS} | ({"dnsmos": wanted.dnsmos_clips} if wanted.dnsmos_clips else {})
    workers = wanted.workers if wanted.workers is not None else max(1, (os.cpu_count() or 2) - 1)
    total = corpus.count()
    if not total:
        raise EvalkitError(f"{corpus.path} ({corpus.format}) holds no clip: give a folder or a manifest with audio.")
    listed = Measurer(files, choices, embedder, device, sampled).measure(corpus.clips(), workers, start(total))
    write_clips(files)
    return listed


def _notices(choices: Sequence[Choice]) -> list[str]:
    absent = [f"{choice.name} is missing: {choice.absent}" for choice in choices if choice.absent]
    return [*absent, *(f"{choice.name}: {choice.notice}" for choice in choices if choice.notice)]


def _hear(
    corpus: Corpus,
    files: Files,
    wanted: Wanted,
    judge: Choice | None,
    device: str,
    notices: list[str],
    say: Say,
) -> dict[str, Heard] | None:
    """What a judge heard of a sample, by clip; None where nobody asked for it, or no judge is there."""
    if judge is None:
        return None
    if judge.metric is None:
        notices.append(f"No text was held against what is said: {judge.absent}")
        return None
    say(f"Listening to {wanted.transcripts} clips of each speaker.")
    chosen = sample(corpus.clips(), wanted.transcripts)
    heard = hear(corpus.clips(), chosen, judge, _heard_log(files), device)
    notices += [
        *([f"texts: {judge.notice}"] if judge.notice else []),
        *transcript_notices(usual_wers(files.clips, heard)),
    ]
    return heard


def _heard_log(files: Files) -> Path:
    return files.folder / "heard.jsonl"


def _targets(wanted: Wanted) -> dict[str, Path]:
    """The files that the user named, by what they are for."""
    named = {
        "--fix": wanted.fix,
        "the list of what --fix drops": dropped_beside(wanted.fix) if wanted.fix is not None else None,
        "--mix-manifest": wanted.mix_manifest,
        "--markdown": wanted.markdown,
    }
    return {name: path for name, path in named.items() if path is not None}


def _extras(files: Files, wanted: Wanted, mixed: Any, data: Path) -> dict[str, Callable[[], Any]]:
    """What was asked for beside the diagnosis itself: name in the diagnosis -> how to make it."""
    made: dict[str, Callable[[], Any]] = {}
    clips, checks = files.clips, files.checks
    if (fix := wanted.fix) is not None:
        made["fix"] = lambda: write_fixed(clips, checks, fix, wanted.drop or DROPPED, data)
    if (count := wanted.pick_references) is not None:
        made["references"] = lambda: pick_references(clips, checks, count)
    if mixed is not None:
        made["mix"] = lambda: plan_mix(clips, checks, mixed, wanted.mix_manifest, source=data)
    return made


@contextmanager
def _collected(errors: list[EvalkitError], notices: list[str]) -> Iterator[None]:
    """What cannot be made costs nothing of what was measured: the diagnosis says so, and the error waits."""
    try:
        yield
    except EvalkitError as error:
        errors.append(error)
        notices.append(str(error))


def _write(files: Files, corpus: Corpus, diagnosis: Mapping[str, Any]) -> None:
    from reports.diagnosis_findings import to_hear
    from reports.diagnosis_page import render_diagnosis

    players, rows = play(files, corpus, to_hear(diagnosis))
    write_atomically(files.report, render_diagnosis(diagnosis, as_rows(), players, rows))
    write_json(files.diagnosis, diagnosis)


def _write_markdown(diagnosis: Mapping[str, Any], path: Path | None) -> None:
    from reports.diagnosis_text import render_diagnosis_markdown

    if path is not None:
        write_atomically(path, render_diagnosis_markdown(diagnosis))
