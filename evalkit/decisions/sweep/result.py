"""What a sweep leaves: sweep.json, points.csv and report.html in its folder."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from evalkit import __version__
from evalkit.decisions.answers import MARGINS, answer, holm
from evalkit.decisions.scores import Scores
from evalkit.decisions.sweep.advice import advise, as_content, sampling
from evalkit.decisions.sweep.axes import Axis
from evalkit.decisions.sweep.choosing import pareto
from evalkit.decisions.sweep.evaluating import Measured, difference, figure
from evalkit.decisions.sweep.sweeping import Done
from evalkit.files import write_atomically, write_json


def write_result(done: Done) -> dict[str, Any]:
    """Write the files; what stands in sweep.json."""
    from reports.sweep_page import render_sweep

    folder = done.prepared.folder
    content = make_content(done)
    write_atomically(folder / "points.csv", _table(content))
    write_atomically(folder / "report.html", render_sweep(content))
    write_json(folder / "sweep.json", content)  # last: where it is, the sweep is done
    return content


def make_content(done: Done) -> dict[str, Any]:
    """The sweep as plain data, whose names the page and the terminal share."""
    prepared = done.prepared
    wanted, parts = prepared.wanted, prepared.parts
    points = _points(done)
    unbiased = wanted.split is not None
    return {
        "evalkit": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": prepared.folder.name,
        "folder": str(prepared.folder),
        "subject": str(prepared.subject.path),
        "kind": "recipe" if prepared.subject.content is not None else "checkpoint",
        "engine": prepared.spec.name,
        "suite": {"name": prepared.suite.name, "version": prepared.suite.version, "sha256": prepared.suite.sha256},
        "search": wanted.search,
        "seed": wanted.speaking.seed,
        "repeats": wanted.speaking.repeats,
        "axes": [_axis(axis) for axis in prepared.axes],
        "objectives": [
            {"column": c.name, "unit": c.unit, "better": c.better, "description": c.description}
            for c in prepared.columns.values()
        ],
        "split": {"share": wanted.split, "dev": list(parts.dev), "test": list(parts.test)} if unbiased else None,
        "items": len(parts.dev),
        "rules": str(wanted.rules) if wanted.rules else None,
        "points": points,
        "baseline": prepared.default.name,
        "choice": _choice(done),
        "figures": _figures(done) if done.choice is not None else None,
        "advice": _advice(done),
        "winner": _winner(done),
    }


def _axis(axis: Axis) -> dict[str, Any]:
    values = list(axis.values) if axis.values is not None else None
    ends = None if values is not None else [axis.number(axis.low), axis.number(axis.high)]
    return {"name": axis.name, "kind": axis.kind, "values": values, "ends": ends, "default": axis.default,
            "own": axis.own}  # fmt: skip


def _points(done: Done) -> list[dict[str, Any]]:
    """Every point, in the order in which they were measured; the baseline first where it is no point of the sweep."""
    columns = done.prepared.columns
    everyone = ([done.extra] if done.extra is not None else []) + list(done.measured)
    rows = [_point(done, one) for one in everyone]
    means = [
        {c: (row["dev"].get(c) or {}).get("mean") for c in columns} if row["status"] == "ok" else {} for row in rows
    ]
    front = pareto(means, {name: column.better for name, column in columns.items()})
    for row, on_front in zip(rows, front, strict=True):
        row["front"] = on_front and len(columns) > 1
    return rows


def _point(done: Done, one: Measured) -> dict[str, Any]:
    status, why = one.status, one.why
    if one.point in done.short:
        status, why = "short", f"{done.short[one.point]:.0%} of its utterances could be scored"
    elif one.point in done.blocked:
        status, why = "blocked", done.blocked[one.point]
    scores = one.scores
    alike = {candidate.point for candidate in done.choice.alike} if done.choice else set()
    found = {column: figure(scores, column) for column in done.prepared.columns} if scores else {}
    return {
        "name": one.point.name,
        "values": one.point.content(),
        "status": status,
        "why": why,
        "run": os.path.relpath(one.run, done.prepared.folder) if one.run else None,
        "coverage": scores.coverage["share"] if scores else None,
        "dev": {column: value for column, value in found.items() if value is not None},
        "baseline": one.point == done.prepared.default,
        "swept": one is not done.extra,
        "alike": one.point in alike,
        "best": done.choice is not None and one.point == done.choice.best.point,
        "chosen": done.choice is not None and one.point == done.choice.chosen.point,
    }


def _choice(done: Done) -> dict[str, Any] | None:
    if done.choice is None:
        return None
    choice, column = done.choice, done.prepared.primary
    return {
        "column": column,
        "point": choice.chosen.point.name,
        "values": choice.chosen.point.content(),
        "best": choice.best.point.name,
        "alike": len(choice.alike),
        "of": len(done.measured),
    }


def _figures(done: Done) -> dict[str, Any]:
    """Of the chosen point and the baseline on the items that are quoted, and their differences."""
    assert done.chosen is not None and done.chosen.scores is not None and done.baseline.scores is not None
    prepared = done.prepared
    ours, theirs = done.chosen.scores, done.baseline.scores
    same = done.chosen.point == done.baseline.point
    return {
        "unbiased": prepared.wanted.split is not None,
        "items": len(prepared.parts.test),
        "chosen": _of(ours, prepared.columns),
        "baseline": _of(theirs, prepared.columns),
        "differences": {} if same else _differences(ours, theirs, done),
        "references": [{"name": one.name, "columns": _of(one.scores, prepared.columns)} for one in done.references],
        "run": os.path.relpath(done.chosen.run, prepared.folder) if done.chosen.run else None,
        "baseline_run": os.path.relpath(done.baseline.run, prepared.folder) if done.baseline.run else None,
    }


def _of(scores: Scores, columns: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    found = {column: figure(scores, column) for column in columns}
    return {column: value for column, value in found.items() if value is not None}


def _differences(ours: Scores, theirs: Scores, done: Done) -> dict[str, Any]:
    """Per column the paired difference, chosen minus baseline, and what it says."""
    columns = done.prepared.columns
    paired = {name: found for name in columns if (found := difference(ours, theirs, name)) is not None}
    corrected = dict(zip(paired, holm([one.p_both for one in paired.values()]), strict=True))
    tests = max(1, sum(p is not None for p in corrected.values()))
    said = {
        name: answer(one, columns[name].better, MARGINS.get(name), corrected[name], tests)
        for name, one in paired.items()
    }
    return {
        name: {
            "difference": one.difference,
            "ci95": one.ci95,
            "pairs": one.pairs,
            "p_holm": corrected[name],
            "answer": said[name].verdict,
            "why": said[name].why,
            "more_items": said[name].more_items,
            "better": columns[name].better,
        }
        for name, one in paired.items()
    }


def _advice(done: Done) -> dict[str, Any] | None:
    pair, column = done.sampling, done.prepared.primary
    if pair is None or pair.conservative.scores is None or pair.bold.scores is None:
        return None
    one, other = pair.conservative.scores, pair.bold.scores
    figures = figure(one, column), figure(other, column)
    if figures[0] is None or figures[1] is None:
        return None
    axes = done.prepared.axes
    advice = advise(
        sampling(axes, pair.conservative.point),
        sampling(axes, pair.bold.point),
        (figures[0]["mean"], figures[1]["mean"]),
        column,
        done.prepared.columns[column].better,
        "this voice",
        difference(one, other, column),
    )
    return {**as_content(advice), "unbiased": done.prepared.wanted.split is not None}


def _winner(done: Done) -> dict[str, Any] | None:
    winner = done.winner
    if winner is None:
        return None
    return {
        "file": winner.file.name if winner.file else None,
        "recipe": winner.recipe.name if winner.recipe else None,
        "options": list(winner.options),
        "command": winner.command,
    }


def _table(content: Mapping[str, Any]) -> str:
    """A line per point, for a spreadsheet."""
    axes = [axis["name"] for axis in content["axes"]]
    columns = [one["column"] for one in content["objectives"]]
    spread = [f"{column}{end}" for column in columns for end in ("", "_low", "_high")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*axes, "status", "why", "chosen", "front", "alike", "baseline", "coverage", *spread, "run"])
    for point in content["points"]:
        numbers: list[Any] = []
        for column in columns:
            one = point["dev"].get(column) or {"mean": "", "ci95": None}
            numbers += [one["mean"], *(one["ci95"] or ("", ""))]
        flags = [int(point[name]) for name in ("chosen", "front", "alike", "baseline")]
        values = [point["values"][name] for name in axes]
        writer.writerow([*values, point["status"], point["why"], *flags, point["coverage"], *numbers, point["run"]])
    return out.getvalue()
