"""Which metrics a run computes, and with whose weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from evalkit.errors import EvalkitError
from evalkit.registry import METRICS, unknown
from metrics import Column, Metric

Judges = Literal["auto", "bundled", "standard"]

# What the field publishes with; named when a bundled judge stands in for it.
STANDARD = {
    "speaker_similarity": "wespeaker ResNet34-LM",
    "wer": "Whisper",
    "pronunciation": "a wav2vec2 phoneme CTC model",
}


@dataclass(frozen=True)
class Choice:
    """The metric chosen under a name, or why there is none."""

    name: str
    metric: Metric | None
    notice: str | None = None  # loud: a bundled judge stands in for the standard one
    absent: str | None = None  # why the metric cannot run here


def metric_groups() -> dict[str, list[str]]:
    """Metric name -> its registry entries ("wer" -> ["wer.bundled", "wer.whisper"])."""
    groups: dict[str, list[str]] = {}
    for entry in METRICS.names():
        groups.setdefault(entry.split(".")[0], []).append(entry)
    return groups


def choose(names: Sequence[str], judges: Judges, device: str) -> list[Choice]:
    """One choice per metric name (all registered ones when `names` is empty), sorted by name.

    Raises EvalkitError on an unknown metric, and when a judge that was forced is not to be had.
    """
    groups = metric_groups()
    for name in names:
        if name not in groups:
            raise EvalkitError(unknown("metric", name, groups))
    return [_choose(name, groups[name], judges, device) for name in sorted(names or groups)]


def columns_of(choices: Sequence[Choice]) -> dict[str, Column]:
    """Every column of the chosen metrics, by name. Raises EvalkitError when two metrics claim one column."""
    columns: dict[str, Column] = {}
    owner: dict[str, str] = {}
    for choice in choices:
        for column in choice.metric.spec.columns if choice.metric else ():
            if column.name in columns:
                raise EvalkitError(
                    f"The metrics '{owner[column.name]}' and '{choice.name}' both write the column '{column.name}': "
                    "leave one of them out with --metrics."
                )
            columns[column.name], owner[column.name] = column, choice.name
    return columns


def _choose(name: str, entries: Sequence[str], judges: Judges, device: str) -> Choice:
    classes = {entry: METRICS.load(entry) for entry in entries}
    by_kind = {kind: entry for entry, cls in classes.items() if (kind := cls.spec.judge)}
    # Where the field has no other judge (DNS-MOS, a plugin's own metric), what there is counts as the standard one.
    order: list[str] = [judges] if judges != "auto" and name in STANDARD else ["standard", "bundled", "none"]
    problems: list[str] = []
    for kind in order:
        if kind not in by_kind:
            continue
        problem = classes[by_kind[kind]].unavailable()
        if problem is None:
            return Choice(name, classes[by_kind[kind]](device=device), notice=_notice(name, kind))
        problems.append(problem)
    if judges == "standard" and not problems:
        raise EvalkitError(
            f"No standard judge of '{name}' is installed (the field uses {STANDARD[name]}): "
            "run with --judges auto, or leave the metric out with --metrics."
        )
    reason = "; ".join(problems) or f"it has no {judges} judge"
    if judges != "auto":
        raise EvalkitError(f"The {judges} judge of '{name}' cannot run here: {reason}.")
    return Choice(name, None, absent=f"{name}: {reason}")


def _notice(name: str, kind: str) -> str | None:
    if kind != "bundled" or name not in STANDARD:
        return None
    return (
        "scored by the bundled judge, a stand-in that works offline; not comparable with figures "
        f"from {STANDARD[name]}, which this version does not include yet."
    )


def passports(choices: Sequence[Choice]) -> Mapping[str, dict[str, object]]:
    return {choice.name: asdict(choice.metric.passport()) for choice in choices if choice.metric is not None}
