"""The page of a sweep: what was chosen and how sure that is, the landscape, the front, every point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from markupsafe import Markup

from reports.inspection_text import printable
from reports.pages import page, style
from reports.plots import Dot, Series, line_chart, scatter
from reports.sweep_maps import heat_maps
from reports.sweep_text import (
    STATUS,
    advice_sentence,
    cell,
    chosen_sentence,
    difference_sentence,
    digits_of,
    figure_sentence,
    mean_text,
    no_choice,
    ranked,
    remark,
    shown,
)
from reports.values import MISSING, date, interval, is_number, number, signed

_DRAWN = 120  # dots of a scatter plot with names


def render_sweep(sweep: Mapping[str, Any]) -> str:
    """A self-contained page. sweep: what stands in sweep.json."""
    sweep = _clean(sweep)
    context = {
        "style": style("report.css", "plots.css", "sweep.css"),
        "title": sweep["subject"].rsplit("/", 1)[-1],
        "created": date(sweep["created"]),
        "sweep": sweep,
        "facts": _facts(sweep),
        "sentences": _sentences(sweep),
        "headline": _headline(sweep),
        "landscape": landscape(sweep),
        "fronts": _fronts(sweep),
        "table": _table(sweep),
        "figures": _figures(sweep),
    }
    return page("sweep.html.j2", context)


def _clean(content: Any) -> Any:
    """Without characters that nobody can see, in every text of it."""
    if isinstance(content, Mapping):
        return {_clean(key): _clean(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_clean(value) for value in content]
    return printable(content) if isinstance(content, str) else content


def _facts(sweep: Mapping[str, Any]) -> list[tuple[str, str]]:
    how = {"grid": "grid", "tpe": "search by TPE", "nsga2": "search by NSGA-II"}[sweep["search"]]
    points = sum(point["swept"] for point in sweep["points"])
    split = sweep["split"]
    items = f"{len(split['dev'])} dev, {len(split['test'])} test" if split else f"{sweep['items']}, not split"
    found = [("Date", date(sweep["created"])), ("Points", f"{points}, {how}"), ("Items", items)]
    if sweep["repeats"] > 1:
        found.append(("Repeats", str(sweep["repeats"])))
    return [*found, ("Engine", sweep["engine"])]


def _sentences(sweep: Mapping[str, Any]) -> list[str]:
    if sweep["choice"] is None:
        return [no_choice(sweep)]
    said = [chosen_sentence(sweep), figure_sentence(sweep)]
    if sweep["figures"]["differences"]:
        said.append(difference_sentence(sweep, sweep["choice"]["column"]))
    else:
        said.append("It is the default itself, so there is no difference to show.")
    if sweep["advice"]:
        said.append(advice_sentence(sweep))
    return [sentence.replace("95 %", "95\u00a0%") for sentence in said]


def _headline(sweep: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The chosen point's figures on the quoted items."""
    figures = sweep["figures"]
    lines = []
    for objective in sweep["objectives"] if figures else ():
        column = objective["column"]
        one, change = figures["chosen"].get(column), figures["differences"].get(column)
        if one is None:
            continue
        digits = digits_of(sweep, column)
        said = f"{signed(change['difference'], digits)} against the default: {change['answer']}" if change else ""
        tone = change["answer"] if change and change["answer"] in ("better", "worse") else ""
        lines.append(
            {
                "name": column,
                "mean": number(one["mean"], digits),
                "unit": objective["unit"],
                "interval": interval(one["ci95"], digits),
                "change": said,
                "tone": tone,
            }
        )
    return lines


def landscape(sweep: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per objective what it does over the axes: a line, heat maps, or a dot per point and axis."""
    axes = sweep["axes"]
    listed = all(axis["values"] is not None for axis in axes) and sweep["search"] == "grid"
    found = []
    for objective in sweep["objectives"]:
        column = objective["column"]
        better = f"{objective['better']} is better"
        means = [p["dev"][column]["mean"] for p in sweep["points"] if column in p["dev"]]
        same = f"{number(means[0], digits_of(sweep, column))} at every point." if len(set(means)) == 1 else ""
        if same:
            drawn: dict[str, Any] = {"plots": [], "maps": []}
        elif listed and len(axes) == 1:
            drawn = {"plots": [_line(sweep, axes[0], column)], "maps": []}
        elif listed and len(axes) in (2, 3):
            drawn = {"plots": [], "maps": heat_maps(sweep, column)}
        elif column == sweep["objectives"][0]["column"]:
            drawn = {"plots": [_along(sweep, axis, column) for axis in axes], "maps": []}
        else:
            continue
        found.append({"column": column, "better": better, "unit": objective["unit"], "same": same, **drawn})
    return found


def _line(sweep: Mapping[str, Any], axis: Mapping[str, Any], column: str) -> Markup:
    """The column along the only axis; its values stand at their places, or beside each other where they are words."""
    name, values = axis["name"], axis["values"]
    places = {shown(value): float(value) if _numeric(axis) else float(i) for i, value in enumerate(values)}
    rows = _sorted(sweep, name, places, column)
    marks = [(place, "chosen" if point["chosen"] else "default") for place, _, point in rows if _marked(point)]
    series = Series(
        column,
        [(place, one["mean"]) for place, one, _ in rows],
        [tuple(one["ci95"]) if one["ci95"] else None for _, one, _ in rows],
    )
    ticks = {place: text for text, place in places.items()}
    label = f"{column} at every value of {name}"
    return line_chart([series], x=name, y=column, label=label, marks=marks, ticks=ticks)


def _sorted(sweep: Mapping[str, Any], name: str, places: Mapping[str, float], column: str) -> list[Any]:
    rows = [
        (places[shown(point["values"][name])], point["dev"][column], point)
        for point in sweep["points"]
        if column in point["dev"] and shown(point["values"][name]) in places
    ]
    return sorted(rows, key=lambda row: row[0])


def _marked(point: Mapping[str, Any]) -> bool:
    return bool(point["chosen"] or point["baseline"])


def _along(sweep: Mapping[str, Any], axis: Mapping[str, Any], column: str) -> Markup:
    """Every point's value over one axis of several."""
    words = [shown(value) for value in axis["values"] or ()]
    numeric = _numeric(axis)
    dots = []
    for point in sweep["points"]:
        value, one = point["values"][axis["name"]], point["dev"].get(column)
        place = float(value) if numeric else float(words.index(shown(value))) if shown(value) in words else None
        if one is not None and place is not None and point["status"] != "pruned":
            name = "chosen" if point["chosen"] else "default" if point["baseline"] else ""
            kind: Literal["plain", "chosen"] = "chosen" if point["chosen"] else "plain"
            bounds = tuple(one["ci95"]) if one["ci95"] and _marked(point) else None
            dots.append(Dot(place, one["mean"], name, kind, None, bounds, off_front=True))
    title = axis["name"] if numeric else f"{axis['name']}: " + ", ".join(f"{i} {word}" for i, word in enumerate(words))
    return scatter(dots, x=title, y=column, label=f"{column} of every point over {axis['name']}")


def _fronts(sweep: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The primary column against each of the others."""
    first = sweep["objectives"][0]
    found = []
    for other in sweep["objectives"][1:]:
        names = (other["column"], first["column"])
        rows = [p for p in sweep["points"] if p["status"] == "ok" and all(name in p["dev"] for name in names)]
        on = _front([(p["dev"][names[0]]["mean"], p["dev"][names[1]]["mean"]) for p in rows], other, first)
        dots = [_dot(p, names, front) for p, front in zip(rows, on, strict=True)][:_DRAWN]
        if all(len({getattr(dot, side) for dot in dots}) > 1 for side in ("x", "y")):
            label = f"{names[1]} against {names[0]}, the Pareto front of these two drawn as a line"
            plot = scatter(dots, x=names[0], y=names[1], label=label, better_x=other["better"])
            found.append({"title": f"{names[1]} against {names[0]}", "plot": plot})
    return found


def _front(pairs: Sequence[tuple[float, float]], x: Mapping[str, Any], y: Mapping[str, Any]) -> list[bool]:
    """Which of these are beaten by none in both columns; of the two that are drawn, not of all objectives."""
    signs = [1 if one["better"] == "higher" else -1 for one in (x, y)]
    turned = [(signs[0] * a, signs[1] * b) for a, b in pairs]
    return [not any(o != p and o[0] >= p[0] and o[1] >= p[1] for o in turned) for p in turned]


def _dot(point: Mapping[str, Any], names: tuple[str, str], front: bool) -> Dot:
    one, other = (point["dev"][name] for name in names)
    kind: Literal["plain", "front", "chosen"] = "chosen" if point["chosen"] else "front" if front else "plain"
    values = ", ".join(shown(value) for value in point["values"].values())
    name = values if front or _marked(point) else ""
    bounds = [tuple(part["ci95"]) if part["ci95"] and (front or _marked(point)) else None for part in (one, other)]
    return Dot(one["mean"], other["mean"], name, kind, bounds[0], bounds[1], off_front=not front)


def _table(sweep: Mapping[str, Any]) -> dict[str, Any]:
    axes = [axis["name"] for axis in sweep["axes"]]
    columns = [one["column"] for one in sweep["objectives"]]
    rows = [
        {
            "values": [shown(point["values"][name]) for name in axes],
            "cells": [cell(sweep, point, column) for column in columns],
            "remark": remark(point),
            "why": point["why"],
            "run": f"{point['run']}/report.html" if point["run"] and point["status"] in _FINISHED else None,
            "chosen": point["chosen"],
        }
        for point in ranked(sweep)
    ]
    return {"axes": axes, "columns": columns, "rows": rows}


_FINISHED = tuple(status for status in STATUS if status not in ("pruned", "failed"))


def _figures(sweep: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per objective: chosen, default and the models alone on the quoted items."""
    figures = sweep["figures"]
    if not figures:
        return []
    names = [one["column"] for one in sweep["objectives"]]
    sides = [("chosen", figures["chosen"]), ("default", figures["baseline"])]
    sides += [(f"{one['name']} alone", one["columns"]) for one in figures["references"]]
    rows = [{"name": name, "cells": [_figure(sweep, side, one) for one in names]} for name, side in sides]
    if figures["differences"]:
        rows.append({"name": "chosen minus default", "cells": [_change(sweep, one) for one in names]})
    return rows


def _figure(sweep: Mapping[str, Any], columns: Mapping[str, Any], column: str) -> str:
    one, digits = columns.get(column), digits_of(sweep, column)
    return MISSING if one is None else mean_text(one, digits)


def _change(sweep: Mapping[str, Any], column: str) -> str:
    one, digits = sweep["figures"]["differences"].get(column), digits_of(sweep, column)
    if one is None:
        return MISSING
    bounds = interval(one["ci95"], digits, sign=True)
    return f"{signed(one['difference'], digits)} {bounds} {one['answer']}"


def _numeric(axis: Mapping[str, Any]) -> bool:
    return axis["values"] is None or all(is_number(v) and not isinstance(v, bool) for v in axis["values"])
