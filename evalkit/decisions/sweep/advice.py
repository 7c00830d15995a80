"""Whether conservative sampling helps a voice: a lower temperature, fewer tokens to draw from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evalkit.decisions.differences import Paired
from evalkit.decisions.sweep.axes import Axis, Value, is_number, shown
from evalkit.decisions.sweep.points import Point

SAMPLING = ("temperature", "top_k", "top_p")  # less is more conservative, for all of them

Verdict = Literal["helps", "costs", "cannot tell"]
Caution = Literal["conservative", "bold", "mixed", "same"]


@dataclass(frozen=True)
class Advice:
    """verdict: of conservative sampling; measured: "paired" with an interval, or "as measured" without one."""

    verdict: Verdict
    says: str
    measured: str


def caution(values: Mapping[str, Value], default: Mapping[str, Value]) -> Caution:
    """How sampling options lie to the default ones; other options do not count."""
    signs = set()
    for name in SAMPLING:
        ours, theirs = values.get(name), default.get(name)
        if ours is not None and theirs is not None and is_number(ours) and is_number(theirs) and ours != theirs:
            signs.add(float(ours) < float(theirs))
    if not signs:
        return "same"
    return "mixed" if len(signs) > 1 else "conservative" if signs == {True} else "bold"


def sampling(axes: Sequence[Axis], point: Point) -> dict[str, Value]:
    """The point's sampling options by name."""
    values = point.by_axis()
    return {axis.target: values[axis] for axis in axes if axis.kind == "setting" and axis.target in SAMPLING}


def advise(
    conservative: Mapping[str, Value],
    bold: Mapping[str, Value],
    means: tuple[float, float],
    column: str,
    better: str,
    voice: str,
    paired: Paired | None = None,
) -> Advice:
    """One sentence on conservative sampling. means: of the conservative and the bold side, on the same items.

    paired: conservative minus bold; without it, as of a published table, the means alone say which is better, and the
    sentence says that this is all.
    """
    gain = means[0] - means[1] if better == "higher" else means[1] - means[0]
    compared = f"{_options(conservative)} against {_options(bold)}"
    figures = f"{column} {means[0]:.3f} and {means[1]:.3f}"
    if paired is None:
        verdict: Verdict = "helps" if gain > 0 else "costs" if gain < 0 else "cannot tell"
        says = f"{_start(verdict, voice)} as measured, without an interval: {compared}, {figures}."
        return Advice(verdict, says, "as measured")
    bounds = paired.ci95
    told = bounds is not None and (bounds[0] > 0 or bounds[1] < 0)
    verdict = "cannot tell" if not told else "helps" if gain > 0 else "costs"
    interval = "no interval" if bounds is None else f"95 % interval {bounds[0]:+.3f} to {bounds[1]:+.3f}"
    difference = f"difference {paired.difference:+.3f} ({interval}, {paired.pairs} items)"
    return Advice(verdict, f"{_start(verdict, voice)}: {compared}, {figures}, {difference}.", "paired")


def as_content(advice: Advice) -> dict[str, Any]:
    return {"verdict": advice.verdict, "says": advice.says, "measured": advice.measured}


def _start(verdict: Verdict, voice: str) -> str:
    if verdict == "cannot tell":
        return f"Whether conservative sampling helps {voice} cannot be told"
    return f"Conservative sampling {'helps' if verdict == 'helps' else 'costs'} {voice}" + (
        "" if verdict == "helps" else " quality"
    )


def _options(values: Mapping[str, Value]) -> str:
    return ", ".join(f"{name} {shown(value)}" for name, value in values.items())
