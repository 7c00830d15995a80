"""The end of a night: trackers, retention, the history, and the site."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from evalkit.errors import BlockedError, CoverageError, EvalkitError, some
from evalkit.nightly.entries import DONE
from evalkit.nightly.history import History, began_of
from evalkit.nightly.jobs import Job, plan
from evalkit.nightly.nights import RUNS, Night, Nights, checked_label
from evalkit.nightly.retention import Prunable, accepted_runs, prunable, prune
from evalkit.nightly.schema import File
from evalkit.nightly.site import RANK, build, status, write_summary_of_ci
from evalkit.nightly.wording import without_paths


def end(
    file: File,
    folder: Path,
    nights: Nights,
    history: History,
    night: Night,
    jobs: Sequence[Job],
    say: Callable[[str], None],
) -> Night:
    """Everything after the last job; given again after a kill, it ends in the same.

    What goes wrong beside the results themselves is a notice of the night.
    """
    notices = [*_logged(file, night, jobs), *_pruned(file, history, night, jobs)]
    for sentence in notices:
        say(sentence)
    night["notices"] = list(dict.fromkeys([*night["notices"], *(without_paths(one, folder) for one in notices)]))
    night["ended"] = datetime.now().astimezone().isoformat(timespec="seconds")
    history.replace_night(night)
    nights.write(night)
    for sentence in build(file.out, nights, history, file.title):
        say(sentence)
    write_summary_of_ci(nights, night)
    nights.set_closed()
    return night


def exit_error(night: Night, out: Path) -> EvalkitError | None:
    """What the command ends with, after everything ran: the gate's no comes before a job's failure."""
    page = out / "nights" / f"{night['night']}.html"
    names = {name: [f"{e['label']} on {e['suite']}" for e in night["jobs"] if status(e) == name] for name in RANK}
    if blocked := names["blocked"]:
        return BlockedError(f"The gate blocked {some(blocked)}: see {page}.")
    if wrong := [*names["failed"], *names["not judged"], *names["short"]]:
        return CoverageError(f"No sound result of {some(wrong)}: see {page}.")
    return None


def planned(path: Path, file: File, label: str | None) -> dict[str, Any]:
    """What a night would do: its name, its jobs, whose audio it would prune. Nothing is written."""
    nights, history = Nights(file.out), History(file.out)
    problem = history.check(nights)
    runs = [] if problem else history.runs()
    jobs = plan(path, file, {one["key"] for one in runs if one["state"] == DONE})
    now = datetime.now().astimezone()
    found = [] if problem else prunable(file.out / RUNS, runs, file.keep, baselines_of(file, jobs))
    rows = [
        {
            "model": job.label,
            "suite": job.suite,
            "engine": job.engine or "told from the weights",
            "rules": Path(job.rules.origin).name if job.rules else "none",
            "problem": job.problem,
        }
        for job in jobs
    ]
    return {
        "night": checked_label(label) if label else nights.open_label(now) or now.date().isoformat(),
        "jobs": without_paths(rows, path.parent),
        "pruned": [{"run": one.run, "files": len(one.files), "MB": round(one.size / 1e6, 1)} for one in found],
        "notices": [f"{problem}: the night will make it again from the nights before."] if problem else [],
    }


def rebuilt(file: File) -> dict[str, Any]:
    """Make the history and every page again from the files of the nights. Raises EvalkitError where there are none."""
    nights, history = Nights(file.out), History(file.out)
    with nights.locked():
        readable, unreadable = nights.readable()
        ended = [night for night in readable if night["ended"] is not None]
        if not ended:
            raise EvalkitError(f"There is no finished night in {nights.folder}: nothing to make the history from.")
        history.set_aside()
        rows = history.rebuild(ended)
        for night in ended:
            (nights.folder / f"{night['night']}.html").unlink(missing_ok=True)
        unmarked = build(file.out, nights, history, file.title)
    return {"nights": len(ended), "rows": rows, "notices": [*unreadable, *unmarked]}


def would_prune(file: File, history: History, night: Night | None, jobs: Sequence[Job]) -> list[Prunable]:
    """What `[keep]` lets go, with the night counted that is about to end, if any."""
    earlier = history.runs(but=night["night"] if night else "")
    return prunable(file.out / RUNS, [*earlier, *_rows(night)], file.keep, baselines_of(file, jobs))


def baselines_of(file: File, jobs: Collection[Job]) -> set[str]:
    """Names of the runs that something is compared with: accepted, or named in the nightly.toml."""
    runs = file.out / RUNS
    named = [job.model.baseline.resolve() for job in jobs if job.model.baseline is not None]  # perhaps by a link
    return accepted_runs(runs) | {path.name for path in named if path.parent == runs.resolve()}


def _rows(night: Night | None) -> list[dict[str, Any]]:
    if night is None:
        return []
    began = began_of(night)
    keys = ("key", "state", "run", "verdict")
    return [
        {"night": night["night"], "began": began, **{key: entry.get(key) for key in keys}} for entry in night["jobs"]
    ]


def _pruned(file: File, history: History, night: Night, jobs: Sequence[Job]) -> list[str]:
    try:
        found = would_prune(file, history, night, jobs)
        prune(file.out / RUNS, found, night["night"])
    except EvalkitError as error:
        return [f"The audio of old runs could not be pruned: {error}"]
    before: Mapping[str, Any] = night["pruned"] or {"runs": [], "bytes": 0}
    night["pruned"] = {
        "runs": [*before["runs"], *(one.run for one in found)],
        "bytes": before["bytes"] + sum(one.size for one in found),
    }
    return []


def _logged(file: File, night: Night, jobs: Sequence[Job]) -> list[str]:
    """Log what is new tonight. A tracker that fails is a notice: the night is worth more than its copy."""
    from evalkit.nightly.trackers import log_run, trackers

    warnings: list[str] = []
    new = [entry for entry in night["jobs"] if entry["state"] == DONE and not entry["unchanged_since"]]
    for tracker in trackers(file.log):
        for entry in new:
            problem = log_run(tracker, entry, night["night"], file.out / RUNS / entry["run"])
            if problem:
                warnings.append(f"{tracker.name} could not be written to: {problem}")
                break
    return warnings
