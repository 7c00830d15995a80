"""Is it as good as the baseline? Three answers: yes, no, and too few items to tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from evalkit.decisions.differences import POWER, Paired
from evalkit.decisions.gate.figures import Measured, difference
from evalkit.decisions.gate.lost import Lost
from evalkit.decisions.gate.outcome import TOLERANCE, Outcome, Result, counted, written
from evalkit.decisions.gate.schema import Relative
from evalkit.decisions.intervals import FEWEST
from evalkit.decisions.scores import Meaning
from evalkit.errors import EvalkitError

WRONGLY = 0.05  # chance that all relative rules of a file together block a checkpoint that lost nothing
MOST = 10**5  # items: who would need more needs another margin
SHOWN = 10  # items that lost most

Direction = Literal[1, -1]


@dataclass(frozen=True)
class Comparison:
    """A relative rule, its column on both sides, and the difference with the interval that the margin is held against.

    ways: 1 where more is better, -1 where less is; both where a column has no direction: then it may go neither way.
    lost: items that could not be paired.
    """

    rule: Relative
    ours: Measured
    theirs: Measured
    found: Paired
    ways: Sequence[Direction]
    lost: Lost

    @property
    def level(self) -> float:
        """Of the two-sided interval whose worse end is the one-sided bound."""
        return 2 * self.rule.confidence - 1

    def bound(self, way: Direction) -> float | None:
        """The worst that the difference may be."""
        interval = self.found.intervals[self.level]
        return None if interval is None else interval[0 if way > 0 else 1]

    def protection(self) -> float:
        """Chance that the bound lies beyond the margin although nothing was lost: 0 where the noise is far below it.

        0 also where there are too few items for a bound: such a rule blocks nobody.
        """
        from scipy.stats import t

        degrees = self.found.degrees
        if not self.found.error or degrees is None or self.found.intervals[self.level] is None:
            return 0.0
        reach = self.rule.margin / self.found.error - t.ppf(self.rule.confidence, degrees)
        return float(t.sf(reach, degrees))


def prepare(rule: Relative, ours: Measured, theirs: Measured, lost: Lost) -> Comparison:
    """Raises EvalkitError where no item has the column on both sides."""
    found = difference(ours, theirs, (2 * rule.confidence - 1,))
    if found is None:
        raise EvalkitError(
            f"The rule '{rule.title}' cannot be judged: no item has {rule.column} both in this run and in the "
            "baseline; compare runs of the same items."
        )
    return Comparison(rule, ours, theirs, found, _directions(rule, ours.meaning), lost)


def evident_level(comparisons: Sequence[Comparison]) -> float:
    """Level of the two-sided interval that must lie wholly on the bad side of 0 before a loss counts as evident.

    All rules together block at most WRONGLY of the checkpoints that lost nothing, whatever the engine's noise: each has
    an equal share of it (Bonferroni, one-sided), and what a rule leaves unused because its margin is wide for its noise
    goes to the others. 90 % at least, as one rule alone would have.
    """
    rest, left = WRONGLY, sum(len(one.ways) for one in comparisons)
    for chance in sorted(one.protection() for one in comparisons for _ in one.ways):
        if chance >= rest / left:
            break
        rest, left = rest - chance, left - 1
    return 1 - 2 * min(WRONGLY, rest / left) if left else 1 - 2 * WRONGLY


def judge_relative(one: Comparison, evident: float) -> Outcome:
    """evident: of `evident_level`, for all relative rules of the file.

    What holds for the items that could be paired is undecided while others were lost that no coverage rule counts.
    """
    rule, found, meaning = one.rule, one.found, one.ours.meaning
    answers = _answers(one, evident)
    result: Result = "blocked" if "blocked" in answers else "undecided" if "undecided" in answers else "pass"
    way = one.ways[answers.index(result)] if result != "pass" else min(one.ways, key=lambda way: way * found.difference)
    before, after = one.theirs.by_item(), one.ours.by_item()
    changes = {item: way * (after[item] - before[item]) for item in before.keys() & after.keys()}
    fell = sorted((item for item in changes if changes[item] < 0), key=lambda item: (changes[item], item))
    more = _how_many_more(found, rule, way) if result == "undecided" else (None, None)
    note = one.lost.sentence(rule.column)
    says = _sentence(one, result, way, evident, more)
    if result == "pass" and one.lost.untold:
        result, fell = "undecided", []
    return Outcome(
        name=rule.title,
        kind="relative" if rule.tag is None else "tag",
        result=result,
        says=f"{says} {note}".strip(),
        column=rule.column,
        tag=rule.tag,
        figure=found.difference,
        limit=-way * rule.margin,
        interval=found.intervals[one.level],
        level=one.level,
        bound=one.bound(way),
        unit=meaning.unit,
        mean=found.mean,
        baseline_mean=found.baseline_mean,
        pairs=found.pairs,
        lost=len(one.lost),
        note=note,
        items=fell[:SHOWN] if result != "pass" else (),
        more_items=more[0],
        more_repeats=more[1],
        why=rule.why,
    )


def _directions(rule: Relative, meaning: Meaning) -> Sequence[Direction]:
    better = rule.better if rule.better and meaning.better == "neither" else meaning.better
    known: dict[str, tuple[Direction, ...]] = {"higher": (1,), "lower": (-1,)}
    return known.get(better, (1, -1))


def _answers(one: Comparison, evident: float) -> list[Result]:
    """One per way. pass: the bound lies within the margin. blocked: it does not, and a loss is evident."""
    bounds = [one.bound(way) for way in one.ways]
    inside = [
        None if bound is None else way * bound >= -one.rule.margin - TOLERANCE
        for way, bound in zip(one.ways, bounds, strict=True)
    ]
    if None in inside:
        return ["undecided" for _ in inside]
    if all(inside):
        return ["pass" for _ in inside]
    wide = one.found.intervals.get(evident)
    if wide is None:  # computed only here, as a bootstrap takes its time
        again = difference(one.ours, one.theirs, (evident,))
        assert again is not None, "it was found before"
        wide = again.intervals[evident]
    assert wide is not None, "the other level has an interval"
    evil = [(wide[1] if way > 0 else -wide[0]) < 0 for way in one.ways]
    return ["pass" if good else "blocked" if bad else "undecided" for good, bad in zip(inside, evil, strict=True)]


def _how_many_more(found: Paired, rule: Relative, way: Direction) -> tuple[int | None, int | None]:
    """Items, or repeats of the same items, after which a checkpoint that lost nothing passes in 80 of 100 cases.

    Where there are enough of them already: after which the loss that was seen would be told from the margin.
    """
    if found.unit != "item":
        return None, None
    if found.units < FEWEST and not found.error:
        return FEWEST - found.units, None
    if not found.error or not rule.margin:
        return None, None
    z = NormalDist().inv_cdf(rule.confidence) + NormalDist().inv_cdf(POWER)
    variance = found.error**2 * found.pairs  # of one item's difference
    room = rule.margin
    if variance * (z / room) ** 2 <= found.pairs:
        room = max(abs(rule.margin - max(0.0, -way * found.difference)), rule.margin / 10)
    needed = math.ceil(variance * (z / room) ** 2)
    if not found.pairs < needed < MOST:
        return None, None
    return needed - found.pairs, _repeats(found, variance, room / z)


def _repeats(found: Paired, variance: float, error: float) -> int | None:
    """More repeats in place of items, until the standard error is `error`.

    They wear down what differs from take to take, and nothing of what differs from item to item.
    """
    if found.within is None:
        return None
    rest = error**2 * found.pairs - max(0.0, variance - found.within**2 / found.repeats)
    return max(1, math.ceil(found.within**2 / rest) - found.repeats) if rest > 0 else None


def _sentence(
    one: Comparison, result: Result, way: Direction, evident: float, more: tuple[int | None, int | None]
) -> str:
    rule, found, unit = one.rule, one.found, one.ours.meaning.unit
    margin, sure = written(rule.margin, unit), f"{100 * rule.confidence:g} % confidence"
    bound = one.bound(way)
    said = _moved(rule.column, found, unit)
    if bound is None:
        said += f"; {counted(found.units, found.unit)} are too few to say, {FEWEST} would be the least."
    elif result == "pass":
        worst = -way * bound
        most = f"any loss is at most {written(worst, unit)} with {sure}, within the margin of {margin}"
        said += f"; {most if worst > 0 else f'nothing was lost, with {sure}'}."
    elif result == "blocked":
        said += (
            f"; that is a loss (its {100 * evident:.3g} % interval excludes 0), and it may be "
            f"{written(-way * bound, unit)} with {sure}, beyond the margin of {margin}."
        )
    else:
        said += (
            f"; it cannot be told whether anything was lost: it may be {written(-way * bound, unit)} with {sure}, "
            f"beyond the margin of {margin}, and it may be nothing."
        )
        said += _advice(more)
    return said


def _moved(column: str, found: Paired, unit: str) -> str:
    if found.difference == 0:
        return f"{column} is {written(found.mean, unit)}, as in the baseline"
    verb = "rose" if found.difference > 0 else "fell"
    return (
        f"{column} {verb} by {written(abs(found.difference), unit)}, "
        f"from {written(found.baseline_mean)} to {written(found.mean)} over {counted(found.pairs, 'item')}"
    )


def _advice(more: tuple[int | None, int | None]) -> str:
    items, repeats = more
    if items is None:
        return ""
    instead = f", or {counted(repeats, 'more repeat')} on both sides," if repeats else ""
    return f" About {counted(items, 'more item')}{instead} would tell."
