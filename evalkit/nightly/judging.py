"""What a night says of a finished run: the gate's verdict, and what changed since the baseline and since last night."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.decisions.answers import MARGINS
from evalkit.decisions.paired import incomparable
from evalkit.decisions.scores import Scores, open_scores
from evalkit.errors import EvalkitError
from evalkit.files import write_atomically, write_json
from evalkit.nightly.entries import DONE, Entry
from evalkit.nightly.jobs import Job
from evalkit.nightly.nights import Nights
from evalkit.runs.baselines import VERDICT, accepted, baseline_folder

BLOCKED, NOT_JUDGED = "blocked", "not judged"
MOST_ITEMS = 40  # changed items that a comparison names


@dataclass(frozen=True)
class Last:
    """The same job on the last night that carried it out."""

    night: str
    entry: Entry


def last_done(job: Job, nights: Nights, runs: Sequence[Mapping[str, Any]]) -> Last | None:
    """The job on the last night that carried it out. runs: as `History.runs` gives them, oldest first."""
    labels = [one["night"] for one in runs if one["key"] == job.key and one["state"] == DONE]
    for label in reversed(labels):
        try:
            entries = [entry for entry in nights.read(label)["jobs"] if entry["key"] == job.key]
        except EvalkitError:
            continue  # its file is damaged, which the report says
        if entries:
            return Last(label, entries[0])
    return None


def judged(entry: Entry, job: Job, scores: Scores, runs: Path, last: Last | None) -> Entry:
    """The entry with the verdict and the comparisons.

    A comparison that fails becomes a notice: the figures are there. A gate that cannot judge is the job's problem.
    """
    notices: list[str] = []
    baseline, problem = _baseline(job, runs)
    gate = None
    if problem is None:
        gate, problem = _gate(job, scores, baseline, notices)
    accept = f"evalkit baseline accept runs/{entry['run']} --label {shlex.quote(job.label)} --why '…'"
    if baseline is None and problem is None:
        notices.append(f"To make this run the baseline, beside the nightly's site: `{accept}`.")
    return {
        **entry,
        "verdict": NOT_JUDGED if problem else gate and gate["verdict"],
        "problem": problem,
        "gate": gate,
        "new_rules": _new_rules(gate, last),
        "new_trouble": problem is not None and not (last and last.entry["problem"]),
        "baseline": _compared(scores, baseline, notices, page=True),
        "last": _since(scores, runs, last, notices),
        "unchanged_since": unchanged_since(entry, last),
        "notices": notices,
    }


def unchanged_since(entry: Entry, last: Last | None) -> str | None:
    """The first of the nights in a row that had the very same run."""
    if last is None or last.entry["run"] != entry["run"]:
        return None
    return last.entry.get("unchanged_since") or last.night


def blocked_rules(gate: Mapping[str, Any] | None) -> list[str]:
    return [rule["name"] for rule in (gate or {}).get("rules", ()) if rule["blocks"]]


def _new_rules(gate: Mapping[str, Any] | None, last: Last | None) -> list[str]:
    """Rules that block tonight and did not block before."""
    before = blocked_rules(last.entry.get("gate")) if last else []
    return [name for name in blocked_rules(gate) if name not in before]


def _baseline(job: Job, runs: Path) -> tuple[Scores | None, str | None]:
    """The baseline, None only where none was accepted; and why one that there is cannot be read.

    A gate without it would skip every rule that compares, and let a loss through.
    """
    try:
        if job.model.baseline is not None:
            return open_scores(job.model.baseline), None
        entry = accepted(runs, job.label, job.suite)
        return (open_scores(baseline_folder(runs, entry)) if entry else None), None
    except EvalkitError as error:
        return None, f"The baseline cannot be read: {error}"


def _gate(
    job: Job, scores: Scores, baseline: Scores | None, notices: list[str]
) -> tuple[dict[str, Any] | None, str | None]:
    """What the gate says, and why it could not say anything."""
    from evalkit.decisions.gate.judging import judge

    if job.rules is None:
        notices.append(f"The suite {job.suite} has no rules: name a gate.toml with rules = '…' under its [[suite]].")
        return None, None
    try:
        verdict = judge(scores, job.rules, baseline)
    except EvalkitError as error:
        return None, str(error)
    except Exception as error:  # the run is there and has figures, whatever is wrong here
        return None, f"Internal error, {type(error).__name__}: {error}."
    if scores.folder is not None:
        write_json(scores.folder / VERDICT, verdict)  # `evalkit baseline accept` asks it
    return verdict, None


def _since(scores: Scores, runs: Path, last: Last | None, notices: list[str]) -> dict[str, Any] | None:
    if last is None:
        return None
    said = {"night": last.night, "run": last.entry["run"], "model": last.entry["model"]}
    if last.entry["run"] == scores.run:
        return {**said, "same": True, "incomparable": None, "columns": {}, "items": []}
    try:
        before = open_scores(runs / last.entry["run"])
    except EvalkitError as error:
        notices.append(f"The run of the night {last.night} cannot be read: {error}")
        return None
    return {**said, **(_compared(scores, before, notices) or {})}


def _compared(ours: Scores, theirs: Scores | None, notices: list[str], page: bool = False) -> dict[str, Any] | None:
    """Per column what the difference says; none of it where the passports differ, and then why.

    page: write the page of the comparison, where both are heard, beside the run's report.
    """
    if theirs is None:
        return None
    said: dict[str, Any] = {"run": theirs.run, "model": theirs.name, "same": theirs.run == ours.run}
    empty = {**said, "incomparable": None, "columns": {}, "items": [], "page": None}
    if said["same"]:
        return empty
    problem = incomparable(ours.manifest or {}, theirs.manifest or {})
    if problem:
        return {**empty, "incomparable": problem}
    try:
        from evalkit.decisions.comparison import compare

        found = compare(theirs, [ours], MARGINS)
    except Exception as error:
        notices.append(f"The comparison with {theirs.run} failed: {error}")
        return empty
    columns = {name: _side(one["sides"][0]) for name, one in found["columns"].items() if one["sides"][0]}
    items = [
        {key: changed.get(key) for key in ("column", "item", "difference", "text")}
        for changed in found["changed"][:MOST_ITEMS]
    ]
    return {**empty, "columns": columns, "items": items, "page": _page(found, ours, theirs, notices) if page else None}


def _page(found: Mapping[str, Any], ours: Scores, theirs: Scores, notices: list[str]) -> str | None:
    """The name of the page in the run's folder; one that is there already says the same."""
    from reports.comparison_page import render_comparison

    if ours.folder is None:
        return None
    name = f"comparison-with-{theirs.run}.html"
    try:
        if not (ours.folder / name).is_file():
            text = render_comparison(found, [theirs.folder, ours.folder], ours.folder)
            write_atomically(ours.folder / name, text)
    except Exception as error:  # a page less; the figures are there
        notices.append(f"The page of the comparison could not be written: {error}")
        return None
    return name


def _side(side: Mapping[str, Any]) -> dict[str, Any]:
    return {key: side.get(key) for key in ("difference", "ci95", "baseline_mean", "percent", "pairs", "answer", "why")}
