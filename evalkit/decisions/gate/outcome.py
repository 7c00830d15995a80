"""What a rule came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from evalkit.decisions.intervals import Interval

Result = Literal["pass", "blocked", "undecided", "skipped"]
Kind = Literal["coverage", "absolute", "relative", "tag", "item", "passport"]

NO_BASELINE = "there is no accepted baseline to compare with; `evalkit baseline accept RUN --why TEXT` makes one."
TOLERANCE = 1e-12  # what arithmetic alone may add to a figure that stands exactly at its limit


@dataclass(frozen=True)
class Outcome:
    """One line of the verdict.

    blocks: whether the verdict is "blocked" because of it. figure, limit: of a relative or item rule the difference,
    ours minus the baseline's, and the margin with its sign. interval: of the figure, at `level`. bound: end of the
    one-sided interval that the rule holds against its limit. items: those that lost most, those that regressed, or
    those that were not scored. lost: items that the baseline has a value of and this run has not. note: end of what it
    says that is to be read also where the rule holds. optional: skipped because it may be, also when strict.
    """

    name: str
    kind: Kind
    result: Result
    says: str
    blocks: bool = False
    column: str | None = None
    tag: str | None = None
    figure: float | None = None
    limit: float | None = None
    interval: Interval | None = None
    level: float | None = None
    bound: float | None = None
    unit: str = ""
    mean: float | None = None
    baseline_mean: float | None = None
    pairs: int | None = None
    lost: int = 0
    note: str = ""
    items: Sequence[str] = ()
    more_items: int | None = None
    more_repeats: int | None = None
    why: str = ""
    optional: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "items": list(self.items), "interval": self.interval and list(self.interval)}


def written(value: float, unit: str = "", signed: bool = False) -> str:
    """A figure for a sentence, to three significant digits."""
    text = f"{value + 0.0:+.3g}" if signed else f"{value + 0.0:.3g}"
    return f"{text} {unit}".strip()


def share(value: float) -> str:
    """`99.5 %`; what is short of all is never written as 100 %."""
    return f"{100 * value if value == 1 else min(99.9, round(100 * value, 1)):g} %"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
