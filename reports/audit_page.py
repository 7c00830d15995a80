"""The page of an audit: what a metric reacts to, each verdict with its plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from markupsafe import Markup

from reports.audit_charts import Curve, curve_chart, dot_chart
from reports.pages import page, style
from reports.values import date

PROPERTIES = {
    "repeatability": "Repeatability",
    "length": "Length",
    "level": "Level",
    "noise": "Noise",
    "ratings": "Human ratings",
}
_CLEAN = "none"


@dataclass(frozen=True)
class Panel:
    """One property of one column, with its plot where there is something to plot."""

    title: str
    verdict: str
    says: str
    chart: Markup | None


def render_audit(audit: Mapping[str, Any]) -> str:
    """A self-contained page. audit: what `evalkit audit --json` prints."""
    columns = audit["columns"]
    context = {
        "style": style("report.css"),
        "audit_style": style("audit.css"),
        "audit": audit,
        "created": date(audit["created"]),
        "properties": PROPERTIES,
        "columns": columns,
        "panels": {name: _panels(name, column) for name, column in columns.items()},
        "seconds": sum(clip["seconds"] for clip in audit["clips"]),
        "provenance": {
            "passport": audit["passport"],
            "clips": list(audit["clips"]),
            "evalkit": audit["evalkit"],
            "seed": audit["seed"],
            "device": audit["device"],
        },
    }
    return page("audit.html.j2", context)


def _panels(column: str, found: Mapping[str, Any]) -> list[Panel]:
    """One panel per property; of a column with nothing to show, only the first, which says why."""
    panels = [
        Panel(title, result["verdict"], result["says"], _chart(column, found["unit"], key, result))
        for key, title in PROPERTIES.items()
        if (result := found["properties"][key])["figures"] or key != "ratings"
    ]
    return panels if any(panel.chart for panel in panels) else panels[:1]


def _chart(column: str, unit: str, key: str, result: Mapping[str, Any]) -> Markup | None:
    figures = result["figures"]
    spoken = f"{column}{f' in {unit}' if unit else ''}: {result['says']}"
    if key == "repeatability":
        runs = [(run + 1.0, v) for values in figures.get("values", ()) for run, v in enumerate(values) if v is not None]
        return dot_chart(runs, "run, each dot a clip", spoken, whole=True) if runs else None
    if key == "ratings":
        pairs = list(zip(figures.get("rating", ()), figures.get("value", ()), strict=True))
        return dot_chart(pairs, "mean rating, each dot a clip", spoken) if pairs else None
    if key == "noise":
        return _noise_chart(figures, spoken)
    if not figures.get("y"):
        return None
    label = "seconds of the same speech" if key == "length" else "gain in dB"
    clips = [Curve(_merged(x, y), "clip") for x, y in zip(figures["x"], figures["y"], strict=True)]
    mean = Curve(_mean_curve([curve.points for curve in clips]), "first", "mean")
    return curve_chart([*clips, mean], label, spoken)


def _noise_chart(figures: Mapping[str, Any], spoken: str) -> Markup | None:
    """Rungs stand at equal distances, because the first has no finite ratio."""
    if "white" not in figures:
        return None
    curves: list[Curve] = []
    means: list[Curve] = []
    for colour, kind in (("white", "first"), ("pink", "second")):
        values = figures[colour]["y"]
        curves += [Curve(list(enumerate(map(float, y))), f"clip {kind}") for y in values]
        means.append(Curve([(float(n), fmean(y)) for n, y in enumerate(zip(*values, strict=True))], kind, colour))
    ratios = figures["white"]["x"][0]
    ticks = [(float(place), _CLEAN if snr is None else f"{snr:g}") for place, snr in enumerate(ratios)]
    return curve_chart([*curves, *means], "signal to noise ratio in dB", spoken, ticks)


def _merged(x: Sequence[float], y: Sequence[float]) -> list[tuple[float, float]]:
    """Points in order of x; those at one place (both halves of a clip) become their mean."""
    places: dict[float, list[float]] = {}
    for place, value in sorted(zip(x, y, strict=True)):
        places.setdefault(place, []).append(value)
    return [(place, fmean(values)) for place, values in places.items()]


def _mean_curve(curves: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """Mean over the clips, rung by rung, at the mean of their x."""
    return [(fmean(x for x, _ in rung), fmean(y for _, y in rung)) for rung in zip(*curves, strict=True)]
