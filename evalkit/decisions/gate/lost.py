"""Items that the baseline has a value of and this run has not: they can be paired with nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.decisions.gate.figures import Measured, covered
from evalkit.decisions.gate.outcome import counted
from evalkit.decisions.gate.schema import Coverage
from evalkit.decisions.scores import Scores
from evalkit.errors import some
from evalkit.runs.log import Row


@dataclass(frozen=True)
class Lost:
    """guarded: items that a coverage rule counts as missed; open: that none counts; absent: that the run does not hold.

    table: whether the run is a table of scores. A run folder holds all that it was asked for (--limit asks for less);
    in a table a missing line may be an utterance that failed.
    """

    guarded: Sequence[str] = ()
    open: Sequence[str] = ()
    absent: Sequence[str] = ()
    table: bool = False

    def __len__(self) -> int:
        return len(self.guarded) + len(self.open) + len(self.absent)

    @property
    def untold(self) -> bool:
        """Whether something may have been lost that no rule would see."""
        return bool(self.open) or (self.table and bool(self.absent))

    def sentence(self, column: str) -> str:
        """What to know of them, "" where there are none. column: of the rule."""
        said = []
        if self.guarded:
            said.append(f"{_items(self.guarded)} no value here and could not be compared; a coverage rule counts them.")
        if self.open:
            said.append(
                f"{_items(self.open)} no value here and could not be compared, and no coverage rule counts them; one "
                f"with column = '{column.removesuffix('_corpus')}' would."
            )
        if self.absent:
            said.append(f"{_items(self.absent)} no line in this run and could not be compared.")
        return " ".join(said)


def find_lost(rules: Sequence[Coverage], run: Scores, ours: Measured, theirs: Measured) -> Lost:
    """rules: the file's coverage rules; run: the rows that the comparing rule is about; ours, theirs: its column."""
    rows: dict[str, list[Row]] = {}
    for row in run.rows:
        rows.setdefault(row["item"], []).append(row)
    found: dict[str, list[str]] = {"guarded": [], "open": [], "absent": []}
    for item in sorted(theirs.by_item().keys() - ours.by_item().keys()):
        if item not in rows:
            found["absent"].append(item)
        else:
            guarded = any(_misses(rule, rows[item]) for rule in rules)
            found["guarded" if guarded else "open"].append(item)
    return Lost(**found, table=run.manifest is None)


def _misses(rule: Coverage, rows: Sequence[Row]) -> bool:
    """Whether all utterances of an item are among those that the rule is about, and missed there."""
    return all((rule.tag is None or rule.tag in row["tags"]) and not covered(rule, row) for row in rows)


def _items(items: Sequence[str]) -> str:
    return f"{counted(len(items), 'item')} of the baseline ({some(items)}) {'has' if len(items) == 1 else 'have'}"
