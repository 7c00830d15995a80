"""Numbers written for people: sensible digits, a dash where there is none, never NaN or None."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeGuard

MISSING = "–"


def is_number(value: object) -> TypeGuard[float]:
    """True for a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def decimals(column: Mapping[str, Any]) -> int:
    """Digits after the point for every number of a column.

    Ratios (no unit) get three, small ones as many as their mean needs for two significant ones; anything with a unit
    gets three significant ones at its largest value, or three digits where there is nothing but zeros.
    """
    typical = abs(next((column[key] for key in ("mean", "value") if is_number(column.get(key))), 0.0))
    if not column.get("unit") and typical < 10:
        return 3 if typical == 0 or typical >= 0.01 else min(6, 1 - math.floor(math.log10(typical)))
    scale = max(typical, 0.0, *(abs(column[key]) for key in ("min", "max") if is_number(column.get(key))))
    if scale == 0:
        return 3
    return 0 if scale >= 1000 else min(6, max(1, 2 - math.floor(math.log10(scale))))


def number(value: object, digits: int) -> str:
    """`value` with so many digits after the point; a dash if it is missing or not finite."""
    if not is_number(value):
        return MISSING
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def signed(value: object, digits: int) -> str:
    """As `number`, with a plus sign on positive values."""
    text = number(value, digits)
    return f"+{text}" if is_number(value) and float(text) > 0 else text


def interval(bounds: Sequence[float] | None, digits: int, sign: bool = False) -> str:
    """``[low, high]``, or a dash where there is no interval."""
    if bounds is None or not all(is_number(bound) for bound in bounds):
        return MISSING
    write = signed if sign else number
    return f"[{', '.join(write(bound, digits) for bound in bounds)}]"


def percent(share: object) -> str:
    """``99.3 %``. A share below one is never written as 100 %."""
    if not is_number(share):
        return MISSING
    rounded = round(100 * share, 1)
    if rounded == 100 and share < 1:
        rounded = 99.9
    return f"{rounded:g} %"


def loose(value: object) -> str:
    """Any scalar of a manifest or passport as text; floats with four significant digits."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1e4 else str(value)


def date(created: object) -> str:
    """``21 November 2026, 03:30 UTC`` from an ISO time; the text itself where it is not one."""
    try:
        moment = datetime.fromisoformat(str(created))
    except ValueError:
        return loose(created)
    zone = moment.tzname()
    return f"{moment.day} {moment:%B %Y, %H:%M}{f' {zone}' if zone else ''}"
