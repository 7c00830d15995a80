"""What an audit concludes from its measurements: one verdict per property, by thresholds that stand in the result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any, Literal

import numpy as np

from evalkit.diagnostics.audit_measure import Ladder, Repeats
from evalkit.diagnostics.audit_probes import COLOURS
from metrics import Column

Verdict = Literal["pass", "fail", "undecided", "not applicable"]


@dataclass(frozen=True)
class Thresholds:
    """repeatability: largest deviation between two runs of a clip, in the column's unit (evalkit's own contract).

    share_of_noise: length and level may move a column by this share of what noise from none to -5 dB moves it.
    rank_correlation: of the mean over the clips with the signal-to-noise ratio. right_steps: share of the clips' steps
    from one ratio to the next that do not go the wrong way. agreement: Spearman's correlation with ratings, in the
    column's direction.
    """

    repeatability: float = 1e-4
    share_of_noise: float = 0.1
    rank_correlation: float = 0.9
    right_steps: float = 0.8
    agreement: float = 0.5


THRESHOLDS = Thresholds()


def judge_column(
    column: Column, repeats: Repeats, ladders: Mapping[str, Ladder], ratings: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Property -> verdict, the sentence that says it, and its figures."""
    noise = noise_span(ladders)
    return {
        "repeatability": repeatability(repeats),
        "length": length(column, ladders["length"], noise),
        "level": level(column, ladders["level"], noise),
        "noise": noise_response(column, ladders),
        "ratings": agreement(column, ratings),
    }


def noise_span(ladders: Mapping[str, Ladder]) -> float | None:
    """How far the mean over the clips moves from no noise to the loudest, the larger of the two colours."""
    spans = [float(np.ptp(np.mean(ladders[c].y, axis=0))) for c in COLOURS if ladders[c].y]
    return max(spans) if spans else None


def repeatability(repeats: Repeats) -> dict[str, Any]:
    """The largest deviation of a clip's value from its first, by what was different in the run."""
    known = [run for run in repeats.values if math.isfinite(run[0])]
    if not known:
        return _result("not applicable", f"No clip has a value: {repeats.reason}.")
    deviations: dict[str, float] = {}
    for values in known:
        for kind, value in zip(repeats.kinds[1:], values[1:], strict=True):
            deviation = abs(value - values[0]) if math.isfinite(value) else math.inf
            deviations[kind] = max(deviations.get(kind, 0.0), deviation)
    largest = max(deviations.values())
    passed = largest <= THRESHOLDS.repeatability
    worst = max(deviations, key=lambda kind: deviations[kind])
    says = (
        f"Repeatable: {len(repeats.kinds)} runs of {len(known)} clips differ by {_figure(largest)} at most."
        if passed
        else f"Not repeatable: a clip's value changes by up to {_figure(largest)} ({worst})."
    )
    finite = {kind: value if math.isfinite(value) else None for kind, value in deviations.items()}
    figures = {
        "runs": len(repeats.kinds),
        "clips": len(known),
        "largest_deviation": largest if math.isfinite(largest) else None,
        "by_kind": finite,
        "sd": float(np.mean([np.nanstd(values) for values in known])),
        "kinds": repeats.kinds,
        "values": [[value if math.isfinite(value) else None for value in values] for values in known],
    }
    return _result("pass" if passed else "fail", says, figures)


def length(column: Column, ladder: Ladder, noise: float | None) -> dict[str, Any]:
    """Whether more of the same speech moves the value. The interval is Student's, over the slopes of the clips."""
    if refusal := _cannot_judge(column, ladder):
        return refusal
    from scipy.stats import spearmanr

    slopes = [float(np.polyfit(x, y, 1)[0]) for x, y in zip(ladder.x, ladder.y, strict=True)]
    ranks = [float(spearmanr(x, y).statistic) if np.ptp(y) else 0.0 for x, y in zip(ladder.x, ladder.y, strict=True)]
    span = fmean(max(x) - min(x) for x in ladder.x)
    slope, interval = fmean(slopes), _t_interval(slopes)
    figures = {
        "slope_per_s": slope,
        "slope_ci95": interval,
        "rank_correlation": fmean(ranks),
        "seconds": [min(map(min, ladder.x)), max(map(max, ladder.x))],
        "noise_span": noise,
        **_curves(ladder),
    }
    limit = _limit(noise) / span
    unit = f" {column.unit}" if column.unit else ""
    moves = f"{_figure(slope, sign=True)}{unit} per second of the same speech"
    if interval is None:
        return _result("undecided", f"Length: {moves}, of one clip; two are needed for an interval.", figures)
    moves += f", 95 % [{', '.join(_figure(bound, sign=True) for bound in interval)}]"
    moves += f", rank correlation {figures['rank_correlation']:.2f}"
    if -limit <= interval[0] and interval[1] <= limit:
        return _result("pass", f"Not biased by length: {moves}.", figures)
    if interval[0] * interval[1] > 0 and abs(slope) > limit:
        favoured = "long" if (slope > 0) == (column.better == "higher") else "short"
        return _result("fail", f"Favours {favoured} clips: {moves}.", figures)
    return _result("undecided", f"Length: {moves}; more clips would tell.", figures)


def level(column: Column, ladder: Ladder, noise: float | None) -> dict[str, Any]:
    """How far the value of a clip moves when only its level changes."""
    if refusal := _cannot_judge(column, ladder):
        return refusal
    gains = ladder.x[0]
    moved = fmean(float(np.ptp(y)) for y in ladder.y)
    figures = {
        "moves_by": moved,
        "over_db": max(gains) - min(gains),
        "noise_span": noise,
        "slope_per_db": float(np.polyfit(gains, np.mean(ladder.y, axis=0), 1)[0]),
        **_curves(ladder),
    }
    unit = f" {column.unit}" if column.unit else ""
    share = f", {moved / noise:.0%} of what noise moves it" if noise else ""
    over = f"{_figure(moved)}{unit} over {figures['over_db']:g} dB of gain{share}"
    passed = moved <= _limit(noise)
    return _result(
        "pass" if passed else "fail", f"{'Independent of' if passed else 'Moves with'} level: {over}.", figures
    )


def noise_response(column: Column, ladders: Mapping[str, Ladder]) -> dict[str, Any]:
    """Whether every step of more noise makes the value worse."""
    found: dict[str, Any] = {}
    for colour in COLOURS:
        if refusal := _cannot_judge(column, ladders[colour]):
            return refusal
        found[colour] = _steps(ladders[colour], 1 if column.better == "higher" else -1)
    correlation = min(colour["rank_correlation"] for colour in found.values())
    right = min(colour["right_steps"] for colour in found.values())
    passed = correlation >= THRESHOLDS.rank_correlation and right >= THRESHOLDS.right_steps
    says = (
        f"rank correlation with the signal to noise ratio {correlation:.2f}, {right:.0%} of the steps do not go the "
        "wrong way (the lower of white and pink noise)."
    )
    edge = _at_edge(column, ladders)
    if edge:
        says += f" {edge:.0%} of the clips without noise are at the end of the column's range."
    verdict: Verdict = "pass" if passed else "fail"
    start = "Gets worse with noise: " if passed else "Does not follow noise: "
    return _result(verdict, start + says, {**found, "clean_at_end_of_range": edge})


def agreement(column: Column, ratings: Mapping[str, Any] | None) -> dict[str, Any]:
    """By the systems where five or more were rated, else by the clips."""
    if ratings is None:
        return _result("not applicable", "No ratings were given.")
    if column.better == "neither":
        return _result("not applicable", "The column has no better and worse.")
    by = "system" if ratings["system"] else "utterance"
    found = ratings[by]
    without = f" Left out: {ratings['left_out']}, the first {ratings['why_left_out']}." if ratings["left_out"] else ""
    if not found:
        return _result("undecided", f"Too few rated clips have a value that differs.{without}", dict(ratings))
    sign = 1 if column.better == "higher" else -1
    low, high = sorted(sign * bound for bound in found["spearman"]["ci95"])
    says = (
        f"Spearman's correlation with the ratings of {found['n']} {by}s is "
        f"{sign * found['spearman']['r']:.2f} in the column's direction, 95 % [{low:.2f}, {high:.2f}].{without}"
    )
    if low >= THRESHOLDS.agreement:
        return _result("pass", f"Agrees with people: {says}", dict(ratings))
    if high < THRESHOLDS.agreement:
        return _result("fail", f"Does not agree with people: {says}", dict(ratings))
    return _result("undecided", f"Agreement with people: {says}", dict(ratings))


def overall(name: str, columns: Mapping[str, Mapping[str, Any]]) -> str:
    """One sentence over all columns and properties."""
    words = {
        "repeatability": "not repeatable",
        "length": "biased by length",
        "level": "moved by level",
        "noise": "not in step with noise",
        "ratings": "not in agreement with people",
    }
    failed: list[str] = []
    for key, meaning in words.items():
        columns_failed = [column for column, found in columns.items() if found[key]["verdict"] == "fail"]
        if columns_failed:
            failed.append(f"{meaning} ({', '.join(columns_failed)})")
    judged = sorted({key for found in columns.values() for key in found if found[key]["verdict"] in ("pass", "fail")})
    if not judged:
        return f"{name}: nothing could be judged."
    if not failed:
        return f"{name} passes what could be judged: {', '.join(judged)}."
    return f"{name} is {'; '.join(failed)}."


def thresholds() -> dict[str, float]:
    return asdict(THRESHOLDS)


def _steps(ladder: Ladder, sign: int) -> dict[str, Any]:
    from scipy.stats import spearmanr

    mean = np.mean(ladder.y, axis=0)
    # Rungs go from no noise to the loudest, so the right way is down for a column of which more is better.
    steps = [sign * (before - after) for y in ladder.y for before, after in pairwise(y)]
    return {
        "rank_correlation": sign * float(spearmanr(ladder.x[0], mean).statistic) if np.ptp(mean) else 0.0,
        "right_steps": fmean(step >= 0 for step in steps),
        "flat_steps": fmean(step == 0 for step in steps),
        **_curves(ladder),
    }


def _at_edge(column: Column, ladders: Mapping[str, Ladder]) -> float:
    return fmean(any(y[0] == edge for edge in column.range) for y in ladders[COLOURS[0]].y)


def _cannot_judge(column: Column, ladder: Ladder) -> dict[str, Any] | None:
    if not ladder.y:
        return _result("not applicable", f"No clip has a value on every rung: {ladder.reason}.")
    if column.better == "neither":
        return _result("not applicable", "The column has no better and worse.", _curves(ladder))
    return None


def _limit(noise: float | None) -> float:
    return max(THRESHOLDS.share_of_noise * (noise or 0.0), THRESHOLDS.repeatability)


def _curves(ladder: Ladder) -> dict[str, Any]:
    x = [[value if math.isfinite(value) else None for value in rungs] for rungs in ladder.x]
    return {"x": x, "y": ladder.y, "clips_left_out": ladder.missing, "why_left_out": ladder.reason or None}


def _t_interval(values: Sequence[float]) -> list[float] | None:
    if len(values) < 2:
        return None
    if np.ptp(values) == 0:
        return [values[0], values[0]]
    from scipy.stats import ttest_1samp

    interval = ttest_1samp(values, 0.0).confidence_interval()
    return [float(interval.low), float(interval.high)]


def _figure(value: float, sign: bool = False) -> str:
    value = 0.0 if abs(value) < 1e-12 else value
    return f"{value:+.2g}" if sign else f"{value:.2g}"


def _result(verdict: Verdict, says: str, figures: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"verdict": verdict, "says": says, "figures": dict(figures or {})}
