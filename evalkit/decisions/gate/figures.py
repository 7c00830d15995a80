"""The values that a rule is about: a column or a corpus figure, of all items or of those with a tag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit.decisions.differences import Paired, paired, paired_ratio
from evalkit.decisions.gate.schema import Absolute, Coverage, Item, Relative
from evalkit.decisions.scores import Meaning, Scores
from evalkit.decisions.summary import CORPUS
from evalkit.errors import EvalkitError
from evalkit.registry import unknown
from evalkit.runs.log import Row

OfColumn = Absolute | Relative | Item


@dataclass(frozen=True)
class Absent:
    """Why a rule cannot be judged. failed: because the run's utterances failed, which must never help it."""

    why: str
    failed: bool


def scored(row: Row) -> bool:
    """Whether an utterance was made and scored whole."""
    return row["status"] == "ok" and not row["details"].get("metric_crashed")


def covered(rule: Coverage, row: Row) -> bool:
    """Whether a coverage rule counts an utterance as there."""
    return scored(row) and (rule.column is None or row.get(rule.column) is not None)


def with_tag(scores: Scores, tag: str) -> Scores:
    """The rows of items that have a tag. Raises EvalkitError where none has it."""
    rows = [row for row in scores.rows if tag in row["tags"]]
    if not rows:
        known = {one for row in scores.rows for one in row["tags"]}
        raise EvalkitError(f"The run {scores.run}: {unknown('tag', tag, known)}")
    return replace(scores, rows=rows)


def with_items(scores: Scores, like: Scores) -> Scores:
    """The rows of the items that `like` has."""
    wanted = {row["item"] for row in like.rows}
    return replace(scores, rows=[row for row in scores.rows if row["item"] in wanted])


@dataclass(frozen=True)
class Measured:
    """A column of the rows that a rule is about. values: item -> its repeats; counts: item -> errors and units, summed
    over its repeats, of a corpus figure. One of the two is None."""

    meaning: Meaning
    values: Mapping[str, Sequence[float]] | None
    counts: Mapping[str, tuple[float, float]] | None
    speakers: Mapping[str, str]

    def by_item(self) -> dict[str, float]:
        """Item -> its value, repeats averaged; of a corpus figure the item's own ratio."""
        if self.values is not None:
            return {item: sum(repeats) / len(repeats) for item, repeats in self.values.items()}
        return {item: errors / units for item, (errors, units) in (self.counts or {}).items()}


def measure(scores: Scores, column: str) -> Measured | None:
    """None where no utterance has the column, or the corpus figure."""
    if column in scores.columns:
        values = scores.values(column)
        return Measured(scores.columns[column], values, None, scores.speakers()) if values else None
    name = column.removesuffix("_corpus")
    counts = scores.counts(column) if name in scores.columns else {}
    if not counts:
        return None
    meaning = Meaning("", "lower", scores.columns[name].metric, CORPUS[name].description)
    return Measured(meaning, None, counts, scores.speakers())


def find(rule: OfColumn, ours: Scores) -> tuple[Scores, Measured] | Absent:
    """The rows that a rule is about, and its column in them; Absent where it is not there and need not be.

    Raises EvalkitError where the run should have it: a gate must not pass because nothing was measured.
    """
    if rule.tag is not None:
        if rule.optional and not any(rule.tag in row["tags"] for row in ours.rows):
            return Absent(f"no item of this run has the tag '{rule.tag}'.", False)
        ours = with_tag(ours, rule.tag)
    measured = measure(ours, rule.column)
    if measured is not None:
        return ours, measured
    if not any(scored(row) for row in ours.rows):
        return Absent(f"no utterance has {rule.column}, as none could be scored.", True)
    reason = _reason(ours.rows, rule.column)
    if rule.optional:
        return Absent(f"{rule.column} was not measured here{f' ({reason})' if reason else ''}.", False)
    known = [*ours.columns, *ours.corpora()]
    why = f"it is missing: {reason}" if reason else unknown("column", rule.column, known).removesuffix(".")
    raise EvalkitError(
        f"The rule '{rule.title}' cannot be judged on the run {ours.run}: {why}; "
        "measure the column, or give the rule optional = true."
    )


def find_baseline(rule: OfColumn, ours: Scores, baseline: Scores) -> Measured | Absent:
    """The same column of the same items in the baseline. Raises EvalkitError where the baseline should have it."""
    theirs = with_items(baseline, ours) if rule.tag is not None else baseline
    measured = measure(theirs, rule.column)
    if measured is not None:
        return measured
    if rule.optional:
        return Absent(f"the baseline {theirs.run} has no {rule.column}.", False)
    raise EvalkitError(
        f"The rule '{rule.title}' cannot be judged: the baseline {theirs.run} has no {rule.column}; "
        "accept a baseline that was scored with it, or give the rule optional = true."
    )


def difference(ours: Measured, theirs: Measured, levels: Sequence[float]) -> Paired | None:
    """Ours minus theirs, paired by item, with the intervals of these levels; None where no item is in both."""
    speakers = {**theirs.speakers, **ours.speakers}
    if ours.values is not None and theirs.values is not None:
        return paired(ours.values, theirs.values, speakers, levels)
    return paired_ratio(ours.counts or {}, theirs.counts or {}, speakers, levels)


def figure(measured: Measured, levels: Sequence[float]) -> Paired:
    """A mean or a corpus figure with its intervals: its difference to nothing."""
    nothing = Measured(
        measured.meaning,
        None if measured.values is None else {item: [0.0] for item in measured.values},
        None if measured.counts is None else {item: (0.0, units) for item, (_, units) in measured.counts.items()},
        measured.speakers,
    )
    found = difference(measured, nothing, levels)
    assert found is not None, "what was measured has a value"
    return found


def _reason(rows: Sequence[Row], column: str) -> str | None:
    """The commonest reason that the rows give."""
    reasons = Counter(row["missing"][column] for row in rows if column in row["missing"])
    return reasons.most_common(1)[0][0].rstrip(".") if reasons else None
