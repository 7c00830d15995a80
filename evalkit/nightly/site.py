"""The site: the folder of the nights as pages that can be published as they are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.files import disk_errors, write_atomically
from evalkit.nightly.entries import DONE, Entry
from evalkit.nightly.history import History
from evalkit.nightly.judging import BLOCKED, NOT_JUDGED
from evalkit.nightly.nights import RUNS, Night, Nights
from evalkit.runs.baselines import Entry as Acceptance
from evalkit.runs.baselines import entries

SHOWN_NIGHTS = 400  # in the list of the index
RANK = (BLOCKED, "failed", NOT_JUDGED, "short", "undecided", "no rules", "pass")


def build(out: Path, nights: Nights, history: History, title: str) -> list[str]:
    """Write the index, the trends of its models, and the pages of nights that have none or whose night is the newest.

    Every file is written whole, so that a reader never meets half a page. Returns what the pages had to leave out.
    """
    from reports.nightly_page import render_index, render_night
    from reports.nightly_trends import render_trends

    found = history.index()
    labels = [one["night"] for one in found["nights"]]
    night = _newest(nights, labels)
    if night is None:
        return []
    for label in labels:
        if label == night["night"] or not (nights.folder / f"{label}.html").is_file():
            _write_night(nights, night if label == night["night"] else _readable(nights, label), render_night)
    points = _points(found["series"])
    cards = [{**card(entry), "points": points.get(entry["key"], {})} for entry in night["jobs"]]
    context = {
        "title": title,
        "night": night,
        "cards": sorted(cards, key=rank),
        "nights": [_listed(one) for one in found["nights"][:SHOWN_NIGHTS]],
        "older": max(0, len(found["nights"]) - SHOWN_NIGHTS),
    }
    accepted, problems = _accepted(out)
    for entry in night["jobs"]:
        baselines = {one.run for one in accepted if (one.label, one.suite) == (entry["label"], entry["suite"])}
        page = render_trends(title, card(entry), history.series(entry["key"]), baselines)
        write_atomically(out / "trends" / f"{entry['key']}.html", page)
    write_atomically(out / "index.html", render_index(context))
    return problems


def _accepted(out: Path) -> tuple[list[Acceptance], list[str]]:
    """Every acceptance; where they cannot be read none, and a sentence: what was measured must be published."""
    try:
        return entries(out / RUNS), []
    except EvalkitError as error:
        return [], [f"The trends mark no baseline: {error}"]


def card(entry: Entry) -> dict[str, Any]:
    """An entry with the one word that stands for it: what comes first where several are true."""
    return {**entry, "status": status(entry), "new": is_new(entry)}


def status(entry: Mapping[str, Any]) -> str:
    if entry["state"] != DONE:
        return "failed"
    if entry["verdict"] in (BLOCKED, NOT_JUDGED):
        return str(entry["verdict"])
    if entry.get("short"):
        return "short"
    if entry["gate"] is None:
        return "no rules"
    return "undecided" if entry["gate"]["undecided"] else "pass"


def is_new(entry: Mapping[str, Any]) -> bool:
    """Whether something stops the job that did not stop it on the night before."""
    return bool(entry.get("new_trouble") or entry.get("new_rules"))


def rank(one: Mapping[str, Any]) -> tuple[bool, int, str, str]:
    """New failures first, and among them what the gate blocked."""
    return not one["new"], RANK.index(one["status"]), one["label"], one["suite"]


def gate_results(night: Night) -> list[dict[str, Any]]:
    """What the gate said of every job. What failed, was not judged or fell short counts as blocked, with its reason."""
    return [_result(entry) for entry in night["jobs"]]


def write_summary_of_ci(nights: Nights, night: Night) -> None:
    """Append the night's summary to the page of the CI job, where there is one."""
    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if not place:
        return
    text = (nights.folder / f"{night['night']}.md").read_text(encoding="utf-8")
    with disk_errors(Path(place)), Path(place).open("a", encoding="utf-8") as file:
        file.write(text)


def _write_night(nights: Nights, night: Night | None, render: Any) -> None:
    if night is None:
        return
    from reports.gate_text import render_junit
    from reports.nightly_text import render_night_markdown

    shown = {**night, "cards": sorted(map(card, night["jobs"]), key=rank)}
    results = gate_results(night)
    place = nights.folder / night["night"]
    write_atomically(place.with_name(f"{place.name}.junit.xml"), render_junit(results))
    write_atomically(place.with_name(f"{place.name}.md"), render_night_markdown(shown, results))
    write_atomically(place.with_name(f"{place.name}.html"), render(shown))


def _result(entry: Entry) -> dict[str, Any]:
    reason = entry.get("reason") or entry.get("problem") or entry.get("short")
    gate = entry.get("gate") or {"rules": [], "notices": [], "baseline": None, "undecided": 0, "strict": False}
    said = {"sentence": "There are no rules.", "verdict": "pass", "run": entry.get("run") or "no run", **gate}
    said |= {"model": entry["label"], "suite": entry["suite"]}
    if not reason:
        return said
    stops = said["sentence"] if said["verdict"] == BLOCKED else str(reason)
    return {**said, "verdict": BLOCKED, "sentence": stops, "rules": [*said["rules"], _as_rule(reason)]}


def _as_rule(reason: str) -> dict[str, Any]:
    """What stops a job besides its rules, as one of them."""
    numbers = ("figure", "limit", "interval", "level", "bound", "mean", "baseline_mean", "pairs")
    blank = dict.fromkeys(("column", "tag", "more_items", "more_repeats", *numbers))
    rule = {"name": "the run", "kind": "coverage", "result": BLOCKED, "says": reason, "blocks": True}
    return {**blank, **rule, "unit": "", "lost": 0, "note": "", "items": [], "why": "", "optional": False}


def _newest(nights: Nights, labels: Iterable[str]) -> Night | None:
    return next((night for label in labels if (night := _readable(nights, label)) is not None), None)


def _readable(nights: Nights, label: str) -> Night | None:
    try:
        return nights.read(label)
    except EvalkitError:
        return None


def _points(series: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[Any]]]:
    found: dict[str, dict[str, list[Any]]] = {}
    for one in series:
        found.setdefault(one["key"], {})[one["column"]] = one["points"]
    return found


def _listed(one: Mapping[str, Any]) -> dict[str, Any]:
    return {**one, "began": one["began"].isoformat(timespec="minutes")}
