"""One night: every job after the other, whatever happens to one of them, and the site at the end."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import EvalkitError
from evalkit.nightly.entries import DONE, FAILED, WAITING, Entry, done, failed, waiting
from evalkit.nightly.history import History
from evalkit.nightly.jobs import Job, plan
from evalkit.nightly.judging import judged, last_done
from evalkit.nightly.nights import RUNS, VERSION, Night, Nights, checked_label
from evalkit.nightly.schema import File
from evalkit.nightly.wording import without_paths

if TYPE_CHECKING:
    from evalkit.pipeline.engine_setup import EngineKeeper
    from evalkit.pipeline.run import Announce

Say = Callable[[str], None]


@dataclass
class _Work:
    """What a night is carried out with."""

    file: File
    folder: Path  # of the nightly.toml
    nights: Nights
    history: History
    earlier: Sequence[Mapping[str, Any]]  # runs of the other nights
    announce: Announce
    say: Say

    @property
    def runs(self) -> Path:
        return self.file.out / RUNS


def carry_out(path: Path, file: File, label: str | None, announce: Announce, say: Say) -> Night:
    """The whole night, or the rest of one that was interrupted. path: of the nightly.toml.

    label: of the night; the open one, or the local date, if not given. Raises EvalkitError, before anything runs, for
    what is wrong with the file. A job that fails is an entry of the night with its reason.
    """
    nights, history = Nights(file.out), History(file.out)
    now = datetime.now().astimezone()
    jobs = plan(path, file, {one["key"] for one in _known(history) if one["state"] == DONE})
    with nights.locked():
        left = nights.unfinished()
        night = _begun(nights, file, jobs, label, now)
        heal(nights, history, night, say)
        if left is not None and left["night"] != night["night"]:
            _close(nights, history, left, now)
        work = _Work(file, path.parent, nights, history, history.runs(but=night["night"]), announce, say)
        _run_all(work, night, jobs)
        from evalkit.nightly.ending import end

        return end(work.file, work.folder, nights, history, night, jobs, say)


def heal(nights: Nights, history: History, night: Night, say: Say) -> None:
    """A history that is lost or damaged is made again from the nights, loudly: tonight must not be lost to it."""
    problem = history.check(nights)
    if problem is None:
        return
    history.set_aside()
    readable, unreadable = nights.readable()
    rows = history.rebuild([one for one in readable if one["ended"] is not None])
    said = f"{problem}: it was made again from {len(readable)} nights, {rows} rows."
    for sentence in (said, *unreadable):
        say(sentence)
        night["notices"].append(without_paths(sentence, nights.out))


def _known(history: History) -> list[dict[str, Any]]:
    try:
        return history.runs()
    except EvalkitError:
        return []  # said, and mended, when the night begins


def _begun(nights: Nights, file: File, jobs: Sequence[Job], label: str | None, now: datetime) -> Night:
    """A new night, or the one that was interrupted, with what it has done already."""
    open_label = nights.open_label(now)
    name = checked_label(label) if label else open_label or now.date().isoformat()
    night: Night = {
        "version": VERSION,
        "night": name,
        "title": file.title,
        "started": now.isoformat(timespec="seconds"),
        "ended": None,
        "jobs": [],
        "notices": [],
        "pruned": None,
    }
    before: dict[str, Entry] = {}
    if name == open_label or _is_unfinished(nights, name, now):
        interrupted = nights.read(name)
        night["started"], night["notices"] = interrupted["started"], interrupted["notices"]
        before = {entry["key"]: entry for entry in interrupted["jobs"] if entry["state"] == DONE}
    night["jobs"] = [before.get(job.key) or waiting(job) for job in jobs]
    nights.write(night)
    nights.set_open(name)
    return night


def _close(nights: Nights, history: History, night: Night, now: datetime) -> None:
    """What an interrupted night has done counts, although nobody carried it on; the rest failed."""
    said = {"state": FAILED, "reason": "the night was interrupted before this job", "new_trouble": False}
    night["jobs"] = [{**one, **said} if one["state"] == WAITING else one for one in night["jobs"]]
    night["ended"] = now.isoformat(timespec="seconds")
    history.replace_night(night)
    nights.write(night)


def _is_unfinished(nights: Nights, label: str, now: datetime) -> bool:
    """Named on the command line, a night goes on however long ago it was interrupted."""
    try:
        return nights.read(label)["ended"] is None
    except EvalkitError:
        return False


def _run_all(work: _Work, night: Night, jobs: Sequence[Job]) -> None:
    from evalkit.pipeline.engine_setup import EngineKeeper

    with EngineKeeper() as keeper:
        for place, job in enumerate(jobs):
            if night["jobs"][place]["state"] != WAITING:
                continue
            work.say(f"{place + 1} of {len(jobs)}: {job.label} on {job.suite}")
            entry = _attempt(work, job, keeper)
            if entry["state"] != DONE:
                keeper.close()  # an engine that failed is not the next job's
                work.say(f"{job.label} on {job.suite} failed: {entry['reason']}")
            night["jobs"][place] = without_paths(entry, work.folder)
            _remember(work, night)


def _attempt(work: _Work, job: Job, keeper: EngineKeeper) -> Entry:
    """The entry of a job, whatever comes: no job may cost the night the others."""
    try:
        return _carried_out(work, job, keeper)
    except EvalkitError as error:
        return failed(job, str(error), _was_well(work, job))
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return failed(job, f"internal error, {type(error).__name__}: {error}", _was_well(work, job))


def _was_well(work: _Work, job: Job) -> bool:
    """Whether the job did not fail on the last night that had it."""
    states = [one["state"] for one in work.earlier if one["key"] == job.key]
    return not states or states[-1] == DONE


def _carried_out(work: _Work, job: Job, keeper: EngineKeeper) -> Entry:
    from evalkit.decisions.scores import open_scores
    from evalkit.nightly.retention import mark_again
    from evalkit.pipeline.run import run_checkpoint

    if job.problem:
        raise EvalkitError(job.problem)
    began = time.monotonic()
    finished = run_checkpoint(
        job.model.path, job.speaking(work.file), job.options(work.file, work.runs), work.announce, work.say, keeper
    )
    if finished.cache_problem:
        work.say(finished.cache_problem)
    mark_again(finished.folder)
    scores = open_scores(finished.folder.path)
    entry = done(job, scores, finished.summary, time.monotonic() - began)
    entry["short"] = _short(entry["coverage"], work.file.run.min_coverage)
    return judged(entry, job, scores, work.runs, last_done(job, work.nights, work.earlier))


def _short(coverage: Mapping[str, Any], least: float) -> str | None:
    """Why the coverage of a run is not enough, or None."""
    if coverage["share"] < least:
        return f"only {coverage['ok']} of {coverage['planned']} utterances could be scored"
    if coverage["metric_crashed"]:
        return f"a metric failed on {coverage['metric_crashed']} utterance(s)"
    return None


def _remember(work: _Work, night: Night) -> None:
    """A full disk costs the state of the night its last entry, and not the next jobs their chance."""
    try:
        work.nights.write(night)
    except EvalkitError as error:
        work.say(str(error))
