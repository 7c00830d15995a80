"""The page of a selection: what to take, both curves over the steps, the ranking, the Pareto front."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from markupsafe import Markup

from reports.pages import page, style
from reports.plots import Dot, Kind, Panel, Series, panel_chart, scatter
from reports.selection_lines import Line, lines
from reports.values import MISSING, date, interval, is_number, number, signed

_DRAWN = 240  # points of a loss curve; a longer one is averaged


def render_selection(result: Mapping[str, Any], links: Mapping[str, str]) -> str:
    """A self-contained page.

    result: what select.json holds; links: checkpoint -> address of its run's report, relative to the page, for those
    that have one.
    """
    table: Sequence[Line] = lines(result)
    divergence = result["divergence"]
    context = {
        "style": style("report.css"),
        "own_style": style("plots.css", "selection.css"),
        "result": result,
        "created": date(result["created"]),
        "advice": [_with_minus(sentence) for sentence in result["advice"]],
        "divergence": divergence,
        "later": _evidence(result) if divergence["later"] else [],
        "curves": _curves(result),
        "table": table,
        "links": links,
        "others": [one["column"] for one in result["columns"][1:]],
        "losses": [one["name"] for one in result["losses"]],
        "front": _front(result),
        "notices": result["notices"],
        "unit": "order" if result["unit"] == "place" else result["unit"],
        "provenance": {
            name: result[name]
            for name in ("evalkit", "suite", "items", "repeats", "seed", "keep", "stages", "rules", "baseline")
            if result[name] is not None
        },
    }
    return page("selection.html.j2", context)


def _curves(result: Mapping[str, Any]) -> Markup | None:
    """The losses above, the primary column below; only the latter where no losses were given."""
    known = [one for one in result["checkpoints"] if result["primary"]["column"] in one["means"]]
    if len(known) < 2:
        return None
    primary, divergence = result["primary"], result["divergence"]
    steps = [float(one["step"]) for one in known]
    unit = "order" if result["unit"] == "place" else result["unit"]
    title = primary["column"] + (f", {primary['unit']}" if primary["unit"] else "") + _direction(primary)
    losses = [
        Series(one["name"], _thinned(one["points"]), tone="main" if number == 0 else "second")
        for number, one in enumerate(result["losses"])
    ]
    panels = [Panel(losses, "loss")] if losses else []
    panels.append(Panel(_quality(known, primary["column"]), title))
    marks, spans = [], []
    if divergence and divergence["answer"] == "found":
        start, end = float(divergence["start"]["step"]), float(divergence["later"][-1]["step"])
        marks.append((start, "the loss misleads from here"))
        spans.append((start, end))
    places = [*steps, *(x for one in losses for x, _ in one.points)]
    return panel_chart(
        panels,
        x=unit,
        label=f"{primary['column']}{' and losses' if losses else ''} over the {unit} of training",
        marks=marks,
        spans=spans,
        ticks={step: f"{step:g}" for step in steps},
        log_x=min(places) > 0 and max(places) >= 8 * min(places),
    )


def _evidence(result: Mapping[str, Any]) -> list[tuple[str, str, str, str, str, str]]:
    """Name, note, difference, interval, finding and why: of the later checkpoints, then of the losses."""
    divergence = result["divergence"]
    found = [
        (
            one["name"],
            "",
            signed(one["difference"], 3),
            interval(one["ci95"], 3, sign=True),
            "worse" if one["course"] == "falls" else one["course"],
            one["why"],
        )
        for one in divergence["later"]
    ]
    said = {True: "falls", False: "does not fall", None: "cannot tell"}
    for one in divergence["losses"]:
        change = MISSING if one["percent"] is None else f"{one['percent']:+.3g} %"
        why = "" if one["p"] is None else f"p = {one['p']:.2g}, rank correlation with the {result['unit']}"
        span = f"{number(one['start'], 4)} to {number(one['end'], 4)}"
        found.append((one["name"], f"loss, {one['logged']} logged values", change, span, said[one["falls"]], why))
    return found


def _with_minus(sentence: str) -> str:
    """Real minus signs before numbers; hyphens of names stay."""
    return re.sub(r"(?<=[\s(\[])-(?=\d)", "−", sentence)


def _direction(primary: Mapping[str, Any]) -> str:
    return f" ({primary['better']} is better)"


def _quality(known: Sequence[Mapping[str, Any]], column: str) -> list[Series]:
    """Checkpoints that stopped early spoke fewer items, so their means stand beside the line and not on it."""
    whole = [one for one in known if one["state"] != "stopped"]
    stopped = [one for one in known if one["state"] == "stopped"]
    made = [_series("all items", whole, column)] if whole else []
    return [*made, _series("stopped early", stopped, column, quiet=True)] if stopped else made


def _series(name: str, checkpoints: Sequence[Mapping[str, Any]], column: str, quiet: bool = False) -> Series:
    means = [one["means"][column] for one in checkpoints]
    return Series(
        name,
        [(float(one["step"]), mean["mean"]) for one, mean in zip(checkpoints, means, strict=True)],
        [_pair(mean) for mean in means],
        tone="quiet" if quiet else "main",
        joined=not quiet,
    )


def _pair(mean: Mapping[str, Any]) -> tuple[float, float] | None:
    return (mean["ci95"][0], mean["ci95"][1]) if mean["ci95"] else None


def _thinned(points: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Means of neighbours, so that a log of every step stays a small picture."""
    size = -(-len(points) // _DRAWN)
    parts = [points[start : start + size] for start in range(0, len(points), size)] if points else []
    return [(fmean(x for x, _ in part), fmean(y for _, y in part)) for part in parts]


def _front(result: Mapping[str, Any]) -> Markup | None:
    """The primary column against the next one; None where there is only one, or one checkpoint."""
    if len(result["columns"]) < 2:
        return None
    down, across = result["columns"][:2]
    dots: list[Dot] = []
    for one in result["checkpoints"]:
        x, y = (one["means"].get(column["column"]) for column in (across, down))
        if one["rank"] is None or x is None or y is None:
            continue
        kind: Kind = "chosen" if one["name"] == result["chosen"] else "front" if one["front"] else "plain"
        made = Dot(x["mean"], y["mean"], one["name"], x_interval=_pair(x), y_interval=_pair(y))
        dots.append(replace(made, kind=kind, off_front=not one["front"]))
    if len(dots) < 2 or not all(is_number(value) for dot in dots for value in (dot.x, dot.y)):
        return None
    named = [f"{c['column']}{', ' + c['unit'] if c['unit'] else ''}{_direction(c)}" for c in (across, down)]
    label = f"{down['column']} against {across['column']} of the checkpoints that were ranked"
    return scatter(dots, x=named[0], y=named[1], label=label, better_x=across["better"])
