"""How far the timings of a run can be trusted: what they were measured under, and what disturbed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.runs.log import Row

BUSY = 0.1  # of the CPU time of all cores, used by other processes
SHORTEST_LOOK_S = 1.0  # the kernel counts ticks of 10 ms: a shorter look says nothing
UNSTEADY = 0.2  # (longest - shortest) / median of the same text spoken again

TIMINGS = frozenset({"first_chunk_s", "first_chunk_rtf", "second_chunk_rtf", "rtf", "total_s"})
"""Columns that are compared only between runs that were timed alike."""

_KEYS = ("mode", "device", "cpu", "cores", "threads", "warm_up", "max_batch")


def timing_block(rows: Sequence[Row], record: Mapping[str, Any]) -> dict[str, Any]:
    """`summary["timing"]` of a run with --latency.

    record: `manifest["timing"]`. load: the one-minute load average at the first and the last utterance, and its
    highest; others: the share of all cores' CPU time that other processes used while utterances were spoken; starts:
    what each start of the run found before it began (a run that was interrupted has several).
    """
    found = [row["details"]["timing"] for row in rows if "timing" in row["details"]]
    starts = [one["start"] for one in found if "start" in one]
    loads = [one["load"] for one in found if one["load"] is not None]
    others = _share_of_others(found)
    return {
        **record,
        "load": {"first": loads[0], "last": loads[-1], "highest": max(loads)} if loads else None,
        "others": others,
        "starts": starts,
        "warnings": [*_distinct(before_warnings(start, record) for start in starts), *_during(others, loads)],
    }


def before_warnings(start: Mapping[str, Any], record: Mapping[str, Any]) -> list[str]:
    """Sentences about what can be seen before the first timed utterance.

    start: share of others and load average while evalkit idled, spread of the same text; record: `manifest["timing"]`.
    """
    warnings = []
    threads, cores = record["threads"]["torch"], record["cores"]
    if threads > cores:
        warnings.append(
            f"torch uses {threads} threads on {cores:g} core(s), which then wait for each other: "
            f"set OMP_NUM_THREADS={max(1, int(cores))} or less."
        )
    if start["others"] is not None and start["others"] > BUSY:
        warnings.append(_busy(start["others"], "just before the start", start["load"]))
    if start["spread"] is not None and start["spread"] > UNSTEADY:
        warnings.append(
            f"The same text, spoken again and again, took times that lie {100 * start['spread']:.0f} % of their median "
            "apart: timings here are unsteady."
        )
    return warnings


def timing_difference(ours: Mapping[str, Any] | None, theirs: Mapping[str, Any] | None) -> str | None:
    """Why the timings of two runs say nothing about each other, or None. The arguments are `manifest["timing"]`."""
    if ours is None or theirs is None:
        return "one of the runs does not say how it was timed"
    for key in _KEYS:
        if ours.get(key) != theirs.get(key):
            return f"the runs were timed with another {key} ({_words(ours.get(key))} and {_words(theirs.get(key))})"
    return None


def _share_of_others(found: Sequence[Mapping[str, Any]]) -> float | None:
    """Over all utterances, each by the time that it took; None where that is too short together."""
    known = [(one["others"], one["wall_s"]) for one in found if one["others"] is not None]
    seconds: float = sum(wall for _, wall in known)
    if seconds < SHORTEST_LOOK_S:
        return None
    share: float = sum(share * wall for share, wall in known) / seconds
    return min(1.0, max(0.0, share))


def _during(others: float | None, loads: Sequence[float]) -> list[str]:
    if others is None or others <= BUSY:
        return []
    return [_busy(others, "while utterances were spoken", max(loads, default=None))]


def _busy(share: float, when: str, load: float | None) -> str:
    average = "" if load is None else f" (load average {load:.1f})"
    used = f"Other processes used {100 * share:.0f} % of the CPU {when}{average}"
    return f"{used}: timings are longer than on a quiet machine."


def _distinct(lists: Any) -> list[str]:
    return list(dict.fromkeys(sentence for sentences in lists for sentence in sentences))


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return str(value)
