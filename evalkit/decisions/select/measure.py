"""The column that a selection is about: what it is, and what a run's rows say of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from evalkit.decisions.answers import Better
from evalkit.decisions.differences import LEVELS, Paired, paired, paired_ratio
from evalkit.decisions.intervals import FEWEST
from evalkit.decisions.scores import Scores
from evalkit.decisions.statistics import by_item, mean_interval, ratio_interval
from evalkit.decisions.summary import CORPUS
from evalkit.errors import EvalkitError
from evalkit.pipeline.judges import Choice
from evalkit.registry import unknown
from metrics import Column

ALPHA = 0.05


@dataclass(frozen=True)
class Measure:
    """A column with a direction, or a corpus figure such as wer_corpus. margin: see evalkit.decisions.answers."""

    column: str
    better: Better
    unit: str
    margin: float | None
    description: str = ""

    @property
    def is_corpus(self) -> bool:
        return self.column.endswith("_corpus") and self.column.removesuffix("_corpus") in CORPUS

    def good(self, difference: float) -> float:
        """A difference as a gain: above 0 is better."""
        return -difference if self.better == "lower" else difference

    def summary(self, scores: Scores) -> dict[str, Any] | None:
        """{"mean", "ci95", "n"} over items; None where no item has a value."""
        if self.is_corpus:
            counts = scores.counts(self.column)
            ratio = ratio_interval(counts) if counts else None
            return {"mean": ratio.value, "ci95": ratio.ci95, "n": len(counts)} if ratio else None
        values = scores.values(self.column)
        if not values:
            return None
        mean = mean_interval(by_item([(item, value) for item, repeats in values.items() for value in repeats]))
        return {"mean": mean.mean, "ci95": mean.ci95, "n": mean.items}

    def mean(self, scores: Scores) -> float | None:
        """As `summary` has it, without the interval, which takes a bootstrap."""
        if self.is_corpus:
            counts = scores.counts(self.column).values()
            units = sum(count for _, count in counts)
            return sum(errors for errors, _ in counts) / units if units else None
        values = scores.values(self.column).values()
        return float(fmean(map(fmean, values))) if values else None

    def paired(self, ours: Scores, theirs: Scores, levels: Sequence[float] = LEVELS) -> Paired | None:
        """Ours minus theirs on the items that both have."""
        speaker = {**theirs.speakers(), **ours.speakers()}
        if self.is_corpus:
            return paired_ratio(ours.counts(self.column), theirs.counts(self.column), speaker, levels)
        return paired(ours.values(self.column), theirs.values(self.column), speaker, levels)

    def p_worse(self, difference: Paired) -> float | None:
        """One-sided p of "ours is not worse" by Student's t over the units; None for too few units to say.

        It is used where many differences are tested at once, at levels that 4,000 bootstrap resamples do not reach.
        """
        from scipy.stats import t

        if difference.units < FEWEST or difference.error is None:
            return None
        gain = self.good(difference.difference)
        if difference.error < 1e-12:
            return 1.0 if gain >= -1e-12 else 0.0
        return float(t.cdf(gain / difference.error, difference.degrees))


def on_items(scores: Scores, items: Collection[str]) -> Scores:
    """The same with only these items: a run that went further than another is compared where both were."""
    wanted = frozenset(items)
    return replace(scores, rows=[row for row in scores.rows if row["item"] in wanted])


def find_measure(
    name: str, columns: Mapping[str, Column], choices: Sequence[Choice], margins: Mapping[str, float], option: str
) -> Measure:
    """name: a column, a corpus figure, or a metric, which stands for its first column with a direction.

    columns: that the chosen metrics compute. Raises EvalkitError where it is none of them, or has no direction.
    """
    of_metric = {choice.name: choice.metric.spec.columns for choice in choices if choice.metric is not None}
    corpora = {f"{one}_corpus": one for one in CORPUS if one in columns}
    if name in of_metric and name not in columns:
        name = next((column.name for column in of_metric[name] if column.better != "neither"), name)
    if name in corpora:
        return Measure(name, "lower", "", margins.get(name), CORPUS[corpora[name]].description)
    if name not in columns:
        absent = next((choice.absent for choice in choices if choice.name == name and choice.absent), None)
        if absent:
            raise EvalkitError(f"{option} {name}: {absent}.")
        raise EvalkitError(
            f"{option}: {unknown('column', name, [*columns, *corpora, *of_metric])} A column is there if its metric "
            "is computed (--metrics)."
        )
    column = columns[name]
    if column.better == "neither":
        raise EvalkitError(f"{option} {name}: neither more nor less of it is better; name a column with a direction.")
    return Measure(name, column.better, column.unit, margins.get(name), column.description)
