"""The timings of a run that spoke one utterance at a time: percentiles, and what they were measured under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports.columns import ordered
from reports.values import decimals, interval, number, percent

PERCENTILES = ("p50", "p90", "p95", "p99")
HEADINGS = ("column", "unit", *PERCENTILES[:1], "95 % interval", *PERCENTILES[1:], "n")
_MODES = {
    "single": "each utterance spoken alone (batch 1), not streamed",
    "stream": "each utterance spoken alone, streamed",
}


@dataclass(frozen=True)
class Latency:
    """rows: cells in the order of HEADINGS; the interval is that of the median."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    conditions: str
    warnings: tuple[str, ...]


def latency(summary: Mapping[str, Any]) -> Latency | None:
    """None for a run whose utterances were not timed alone."""
    timing = summary.get("timing")
    if not timing:
        return None
    columns = summary["columns"]
    timed = [name for name in ordered(columns) if columns[name].get("percentiles")]
    return Latency(
        title=f"Latency: {_MODES[timing['mode']]}",
        rows=tuple(_row(name, columns[name]) for name in timed),
        conditions=_conditions(timing),
        warnings=tuple(timing["warnings"]),
    )


def _row(name: str, column: Mapping[str, Any]) -> tuple[str, ...]:
    found, digits = column["percentiles"], decimals(column)
    middle, *upper = (number(found[p], digits) for p in PERCENTILES)
    return (name, column["unit"], middle, interval(column["median_ci95"], digits), *upper, str(column["n"]))


def _conditions(timing: Mapping[str, Any]) -> str:
    """``After a warm-up of 5 utterances, on cpu; AMD EPYC, 2 cores, 1 torch thread; ...``."""
    threads, cores = timing["threads"]["torch"], timing["cores"]
    parts = [
        f"After a warm-up of {timing['warm_up']} utterances, on {timing['device']}",
        f"{timing['cpu']}, {_count(cores, 'core')}, {_count(threads, 'torch thread')}",
    ]
    if len(timing["starts"]) > 1:
        parts.append(f"in {len(timing['starts'])} starts")
    load = timing["load"]
    if load:
        parts.append(f"load average {load['first']:.1f} at the first utterance, {load['last']:.1f} at the last")
    if timing["others"] is not None:
        parts.append(f"other processes used {percent(timing['others'])} of the CPU meanwhile")
    else:
        parts.append("what other processes used is not known")
    return "; ".join(parts) + "."


def _count(number: float, noun: str) -> str:
    return f"{number:g} {noun}{'' if number == 1 else 's'}"
