"""What is swept, as it is written: `alpha=0.5:1.0:0.1`, `beta=0.3,0.5`, `density=0.2..0.9`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal

from evalkit.errors import EvalkitError

Value = bool | int | float | str
Kind = Literal["coefficient", "layer", "parameter", "placeholder", "rank", "setting", "voice", "voice_s"]

MOST = 10_000  # values of an axis, and points of a grid: more of them is a slip of the pen
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"^({_NUMBER})(?:\.\.|:)({_NUMBER})(?::({_NUMBER}))?$")


@dataclass(frozen=True)
class Spec:
    """The values of an axis as they were written. values: a list; else a range, with or without a step."""

    text: str
    values: tuple[Value, ...] | None = None
    low: Value = 0
    high: Value = 0
    step: Value | None = None


@dataclass(frozen=True)
class Axis:
    """One thing that is swept.

    target: the model's place in the recipe, the pattern, the option. values: the points of a grid, or the choices of a
    search; None for a search in a range from low to high, in steps if there are any. default: what holds without the
    sweep; own: whether the subject says so itself, or it is the middle of the axis.
    """

    name: str
    kind: Kind
    target: str = ""
    model: int | None = None
    values: tuple[Value, ...] | None = None
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    whole: bool = False
    default: Value = 0.0
    own: bool = True

    @property
    def ends(self) -> tuple[Value, ...]:
        """What must be possible for everything between to be: the two ends of a range, or every value."""
        return self.values if self.values is not None else (self.number(self.low), self.number(self.high))

    def number(self, value: float) -> Value:
        return round(value) if self.whole else float(value)

    def place(self, value: Value) -> float | None:
        """Where a number lies, 0 at the low end and 1 at the high one; None for what is no number."""
        ends = [v for v in self.ends if is_number(v)]
        if not is_number(value) or len(ends) < len(self.ends):
            return None
        low, high = min(map(float, ends)), max(map(float, ends))
        return (float(value) - low) / (high - low) if high > low else float(value) - low


def is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: Value) -> str:
    """A value as it is written in names, tables and files."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def parse_axes(arguments: Sequence[str], search: bool) -> dict[str, Spec]:
    """Axis -> its values. arguments: each `AXIS=SPEC`, or several of them with blanks between.

    Raises EvalkitError for an axis that is given twice, and values that cannot be read.
    """
    specs: dict[str, Spec] = {}
    for argument in arguments:
        parts = argument.split()
        for part in parts if len(parts) > 1 and all("=" in part for part in parts) else [argument.strip()]:
            name, equals, text = part.partition("=")
            if not equals or not name.strip() or not text.strip():
                raise EvalkitError(f"The axis '{part}' cannot be read: write AXIS=SPEC, like alpha=0.5:1.0:0.1.")
            if name.strip() in specs:
                raise EvalkitError(f"The axis '{name.strip()}' is given twice; put all its values into one.")
            specs[name.strip()] = _spec(name.strip(), text.strip(), search)
    if not specs:
        raise EvalkitError("There is nothing to sweep: name an axis, like --grid alpha=0.5:1.0:0.1.")
    return specs


def _spec(name: str, text: str, search: bool) -> Spec:
    if found := _RANGE.match(text):
        low, high, step = found.groups()
        if step is not None:
            return _stepped(name, text, low, high, step)
        if not search:
            raise EvalkitError(
                f"The axis {name}={text} is a range: a grid needs a step ({name}={low}:{high}:STEP) or a list, "
                "a range alone goes with --search."
            )
        if not float(low) < float(high):
            raise EvalkitError(f"The axis {name}={text}: the range must rise.")
        return Spec(text, None, typed(low), typed(high))
    parts = [part.strip() for part in text.split(",")]
    if "" in parts:
        raise EvalkitError(f"The axis {name}={text}: there is an empty value between commas.")
    values = tuple(typed(part) for part in parts)
    if twice := next((shown(value) for value in values if values.count(value) > 1), None):
        raise EvalkitError(f"The axis {name}={text} has the value {twice} twice.")
    return Spec(text, values)


def _stepped(name: str, text: str, low: str, high: str, step: str) -> Spec:
    """Counted in decimals, so that 0.5:1.0:0.1 ends at 1.0 and holds 0.7 and not 0.7000000000000001."""
    try:
        first, last, by = Decimal(low), Decimal(high), Decimal(step)
    except InvalidOperation as error:  # the pattern lets only numbers through
        raise EvalkitError(f"The axis {name}={text} cannot be read as start:stop:step.") from error
    if by == 0 or (last - first) / by < 0:
        raise EvalkitError(f"The axis {name}={text}: the step does not lead from {low} to {high}.")
    count = int((last - first) / by) + 1
    if count > MOST:
        raise EvalkitError(f"The axis {name}={text} has {count} values; {MOST} is the most.")
    whole = all(re.fullmatch(r"[-+]?\d+", part) for part in (low, high, step))
    numbers = [first + by * place for place in range(count)]
    values = tuple(int(n) if whole else float(n) for n in numbers)
    return Spec(text, values, typed(low), values[-1], typed(step))


def typed(text: str) -> Value:
    """The value that a text stands for: true and false, whole numbers, numbers, or the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if re.fullmatch(r"[-+]?\d+", text):
        return int(text)
    if re.fullmatch(_NUMBER, text) and math.isfinite(float(text)):
        return float(text)
    return text
