"""The checkpoints of a selection as lines of a table, for the page and the terminal alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports.values import MISSING, decimals, interval, number, signed


@dataclass(frozen=True)
class Line:
    """One checkpoint. means: of the primary column and the others, as text; losses: at its step."""

    name: str
    rank: str
    step: str
    state: str
    says: str
    primary: str
    bounds: str
    difference: str
    answer: str
    others: tuple[str, ...]
    losses: tuple[str, ...]
    chosen: bool
    front: bool


def lines(result: Mapping[str, Any]) -> list[Line]:
    """Ranked ones first, best first; then those that stopped, the latest to stop first; then the others."""
    weight = {"finished": 0, "stopped": 1, "blocked": 2, "failed": 3}
    ordered = sorted(result["checkpoints"], key=lambda one: (weight[one["state"]], one["rank"] or 0, -one["items"]))
    digits = [_digits(result, column) for column in result["columns"]]
    return [_line(one, result, digits) for one in ordered]


def _digits(result: Mapping[str, Any], column: Mapping[str, Any]) -> int:
    means = [
        one["means"][column["column"]]["mean"] for one in result["checkpoints"] if column["column"] in one["means"]
    ]
    return decimals({"unit": column["unit"], "mean": max(map(abs, means), default=0.0)})


def _line(one: Mapping[str, Any], result: Mapping[str, Any], digits: list[int]) -> Line:
    means = [one["means"].get(column["column"]) or {"mean": None, "ci95": None} for column in result["columns"]]
    to_best = one["to_best"] or one["stopped"]
    chosen = one["name"] == result["chosen"]
    return Line(
        name=one["name"],
        rank=str(one["rank"] or MISSING),
        step=str(one["step"]),
        state="chosen" if chosen else {"finished": "ranked"}.get(one["state"], one["state"]),
        says=_says(one, result),
        primary=number(means[0]["mean"], digits[0]),
        bounds=interval(means[0]["ci95"], digits[0]) if means[0]["ci95"] else "",
        difference=f"{signed(to_best['difference'], digits[0])} {interval(to_best['ci95'], digits[0], sign=True)}"
        if to_best
        else MISSING,
        answer=(one["to_best"] or {}).get("answer") or ("best" if one["rank"] == 1 else ""),
        others=tuple(number(mean["mean"], places) for mean, places in zip(means[1:], digits[1:], strict=True)),
        losses=tuple(
            MISSING if one["losses"].get(loss["name"]) is None else f"{one['losses'][loss['name']]:.4g}"
            for loss in result["losses"]
        ),
        chosen=chosen,
        front=one["front"],
    )


def _says(one: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """What there is to know of a checkpoint beside its numbers."""
    if one["stopped"]:
        return f"stopped after {one['items']} of {result['items']} items: clearly worse than {one['stopped']['than']}"
    if one["reason"]:
        return str(one["reason"])
    return "on the Pareto front" if one["front"] and len(result["columns"]) > 1 else ""
