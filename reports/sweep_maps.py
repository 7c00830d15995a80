"""Heat maps of a grid: one axis down, one across, a map for each value of a third."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.sweep_text import STATUS, digits_of, shown
from reports.values import MISSING, interval, number


def heat_maps(sweep: Mapping[str, Any], column: str) -> list[dict[str, Any]]:
    """The maps of one objective, coloured alike: plain for the worst point of the sweep, full for the best."""
    axes = sorted(sweep["axes"], key=lambda axis: -len(axis["values"]))  # stable: the longest two make the maps
    across, down = axes[0], axes[1]
    third = axes[2] if len(axes) > 2 else None
    cells = {_key(point, axes): point for point in sweep["points"] if point["swept"]}
    colours = _Scale(sweep, column)
    maps = []
    for other in third["values"] if third else (None,):
        rest = () if third is None else (shown(other),)
        rows = [
            {
                "name": shown(value),
                "cells": [_cell(cells.get((shown(v), shown(value), *rest)), column, colours) for v in across["values"]],
            }
            for value in down["values"]
        ]
        maps.append(
            {
                "title": f"{third['name']} = {shown(other)}" if third else "",
                "across": across["name"],
                "down": down["name"],
                "headings": [shown(value) for value in across["values"]],
                "rows": rows,
            }
        )
    return maps


class _Scale:
    def __init__(self, sweep: Mapping[str, Any], column: str) -> None:
        means = [p["dev"][column]["mean"] for p in sweep["points"] if column in p["dev"] and p["swept"]]
        self._low, self._high = min(means, default=0.0), max(means, default=0.0)
        better = next(one["better"] for one in sweep["objectives"] if one["column"] == column)
        self._falls = better == "lower"
        self.digits = digits_of(sweep, column)

    def strength(self, value: float) -> float:
        """0 at the worst point, 1 at the best."""
        if self._high == self._low:
            return 0.0
        share = (value - self._low) / (self._high - self._low)
        return 1 - share if self._falls else share


def _key(point: Mapping[str, Any], axes: list[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(shown(point["values"][axis["name"]]) for axis in axes)


def _cell(point: Mapping[str, Any] | None, column: str, colours: _Scale) -> dict[str, Any]:
    one = point["dev"].get(column) if point is not None else None
    if point is None or one is None:
        text = STATUS.get(point["status"], "") if point is not None else ""
        return {"mean": MISSING, "bounds": text, "heat": 0, "marks": ""}
    marks = ["chosen"] * bool(point["chosen"]) + ["default"] * bool(point["baseline"])
    if point["status"] != "ok":
        marks.append(STATUS[point["status"]])
    return {
        "mean": number(one["mean"], colours.digits),
        "bounds": interval(one["ci95"], colours.digits),
        "heat": round(50 * colours.strength(one["mean"])),
        "marks": ", ".join(marks),
    }
