"""Where quality turns from the loss: the loss of a training still improves while what is heard gets worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any, Literal

from evalkit.decisions.scores import Scores
from evalkit.decisions.select.losses import Loss
from evalkit.decisions.select.measure import ALPHA, Measure

Found = Literal["found", "none", "cannot tell"]
Course = Literal["falls", "holds", "cannot tell"]

FEWEST_LOGGED = 4  # values: with fewer no rank test can reach 5 %


@dataclass(frozen=True)
class Heard:
    """One checkpoint on the axis. whole: it spoke all items, so that its mean may be the best."""

    name: str
    step: int
    scores: Scores
    whole: bool = True


@dataclass(frozen=True)
class Trend:
    """A loss from one checkpoint to another. p: one-sided, of Kendall's rank correlation with the step (Mann 1945)."""

    name: str
    role: str
    start: float | None
    end: float | None
    logged: int
    p: float | None
    falls: bool | None

    @property
    def percent(self) -> float | None:
        return 100 * (self.end - self.start) / abs(self.start) if self.start and self.end is not None else None

    def record(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in ("name", "role", "start", "end", "logged", "p", "falls")},
            "percent": self.percent,
        }


def find_divergence(heard: Sequence[Heard], losses: Sequence[Loss], measure: Measure) -> dict[str, Any]:
    """Whether, and from which step, a loss improves while the measure falls.

    heard: in order of steps. The best checkpoint by its mean is compared with each later one, on the items that both
    spoke. One falls if it is clearly worse (one-sided at 5 %, Bonferroni over all pairs of checkpoints, as the best was
    picked by the same values) by the margin or more; it holds if it is at most the margin worse (one-sided at 5 %).
    Found: the last one falls, none after the start holds, and a loss falls from the best one to the last.

    Returns {"answer": "found" | "none" | "cannot tell", "says": a sentence, "best", "start", "sure", "later": per later
    checkpoint its difference, "losses": from the best one to the last}.
    """
    means = {one.name: mean for one in heard if one.whole and (mean := measure.mean(one.scores)) is not None}
    if len(heard) < 2 or not means:
        return _result("cannot tell", f"{len(heard)} checkpoint with values is too few: it takes two.")
    best = max((one for one in heard if one.name in means), key=lambda one: measure.good(means[one.name]))
    later = [one for one in heard if one.step > best.step]
    if not later:
        return _result("none", f"None found: {measure.column} is best at the last checkpoint.", best)
    pairs = len(list(combinations(heard, 2)))
    compared = [_compared(one, best, measure, pairs) for one in later]
    trends = [trend(loss, [one.step for one in heard], best.step, later[-1].step) for loss in losses]
    last = compared[-1]
    if last["course"] == "falls":
        return _of_a_fall(best, compared, trends, measure)
    if last["course"] == "holds":
        says = f"None found: {measure.column} of the last checkpoint is at most the margin worse than the best."
        return _result("none", says, best, compared, trends)
    says = f"Cannot tell whether {measure.column} falls after {best.name}: {last['why']}"
    return _result("cannot tell", says, best, compared, trends)


def trend(loss: Loss, places: Sequence[int], start: int, end: int) -> Trend:
    """How a loss went between two checkpoints. places: steps of all checkpoints.

    With few logged values it falls if each is below the one before, and nothing is said of how sure that is.
    """
    from scipy.stats import kendalltau

    values = dict(zip(places, loss.at(places), strict=True))
    first, last = values[start], values[end]
    span = [(x, value) for x, value in loss.points if start <= x <= end]
    if first is None or last is None or len(span) < 2:
        return Trend(loss.name, loss.role, first, last, len(span), None, None)
    if len(span) < FEWEST_LOGGED:
        falls = all(b < a for (_, a), (_, b) in pairwise(span))
        return Trend(loss.name, loss.role, first, last, len(span), None, falls)
    p = float(kendalltau(*zip(*span, strict=True), alternative="less").pvalue)
    return Trend(loss.name, loss.role, first, last, len(span), p, bool(p < ALPHA and last < first))


def published_outcome(base: float, later: Sequence[float], measure: Measure) -> Found:
    """Of means without items, as tables print them: whether a training whose loss fell lost quality against its base.

    "found" if every later mean is worse by the margin or more, "none" if one is better than the base, else "cannot
    tell". There is no interval in such a table, hence none in the answer: it says what the means say.
    """
    gains = [measure.good(value - base) for value in later]
    if any(gain > 0 for gain in gains):
        return "none"
    return "found" if gains and all(gain <= -(measure.margin or 0.0) for gain in gains) else "cannot tell"


def _compared(one: Heard, best: Heard, measure: Measure, pairs: int) -> dict[str, Any]:
    difference = measure.paired(one.scores, best.scores)
    found: dict[str, Any] = {
        "name": one.name,
        "step": one.step,
        "difference": None,
        "ci95": None,
        "pairs": 0,
        "p": None,
    }
    if difference is None:
        return {**found, "course": "cannot tell", "why": "they share no item."}
    p = measure.p_worse(difference)
    corrected = None if p is None else min(1.0, p * pairs)
    gain, margin = measure.good(difference.difference), measure.margin or 0.0
    narrow = difference.intervals[0.90]
    lowest = min(map(measure.good, narrow)) if narrow else None
    clear = corrected is not None and corrected < ALPHA
    course: Course = "cannot tell"
    if clear and gain <= -margin:
        course, why = "falls", f"clearly worse (p = {corrected:.2g} over {pairs} pairs)."
    elif lowest is not None and lowest > -margin:
        course, why = "holds", f"at most the margin of {margin:g} worse."
    elif corrected is None:
        why = f"{difference.units} {difference.unit}s are too few to say."
    elif clear:
        why = f"clearly worse, but perhaps by less than the margin of {margin:g}."
    else:
        why = f"the difference could be chance (p = {corrected:.2g} over {pairs} pairs)."
    bounds = difference.ci95
    return {
        **found,
        "difference": difference.difference,
        "ci95": list(bounds) if bounds else None,
        "pairs": difference.pairs,
        "p": corrected,
        "course": course,
        "why": why,
    }


def _of_a_fall(
    best: Heard, compared: Sequence[Mapping[str, Any]], trends: Sequence[Trend], measure: Measure
) -> dict[str, Any]:
    """The measure falls: found if a loss falls with it."""
    tail: list[Mapping[str, Any]] = []
    for one in reversed(compared):
        if one["course"] == "holds":
            break
        tail.insert(0, one)
    start = next(one for one in tail if one["course"] == "falls")
    falling = [one for one in trends if one.falls]
    if falling:
        says = f"Found: from {start['name']} on {measure.column} is worse, while {falling[0].name} still falls."
        return _result("found", says, best, compared, trends, start, _sure(compared[-1], falling[0], measure))
    fall = f"{measure.column} is worse from {start['name']} on"
    if trends and all(one.falls is False for one in trends):
        names = " and ".join(one.name for one in trends)
        return _result("none", f"None found: {fall}, and {names} stopped falling too.", best, compared, trends, start)
    why = "what the loss did there is not in the log" if trends else "no losses were given (--losses)"
    return _result("cannot tell", f"Cannot tell: {fall}, but {why}.", best, compared, trends, start)


def _sure(last: Mapping[str, Any], falling: Trend, measure: Measure) -> str:
    """How sure the finding is, in a word and why."""
    margin = measure.margin or 0.0
    bounds = last["ci95"]
    beyond = bounds is not None and max(map(measure.good, bounds)) <= -margin
    if falling.p is None:
        return f"likely: the loss was logged {falling.logged} times only."
    if not beyond:
        return "likely: the fall is clear, but may be smaller than the margin."
    return "sure: the whole 95 % interval of the fall lies beyond the margin, and the loss falls (p < 0.05)."


def _result(
    answer: Found,
    says: str,
    best: Heard | None = None,
    later: Sequence[Mapping[str, Any]] = (),
    trends: Sequence[Trend] = (),
    start: Mapping[str, Any] | None = None,
    sure: str | None = None,
) -> dict[str, Any]:
    return {
        "answer": answer,
        "says": says,
        "best": {"name": best.name, "step": best.step} if best else None,
        "start": {"name": start["name"], "step": start["step"]} if start else None,
        "sure": sure,
        "later": [dict(one) for one in later],
        "losses": [one.record() for one in trends],
    }
