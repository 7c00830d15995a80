"""The summary table, written out once for the page, the terminal and Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reports.columns import DIRECTION, judgement, ordered
from reports.values import MISSING, decimals, interval, number, percent, signed

_SIMILARITIES = ("speaker_similarity", "speaker_cosine")


@dataclass(frozen=True)
class Difference:
    """A paired difference to the baseline, in words and numbers."""

    value: str
    interval: str
    judgement: str
    pairs: int
    mean: str
    baseline_mean: str


@dataclass(frozen=True)
class Line:
    """One line of the summary table. A column that no utterance has keeps its line and says why in `absent`.

    kind: told apart in words where a column has both a mean and a pooled figure.
    """

    name: str
    description: str = ""
    unit: str = ""
    direction: str = ""
    kind: Literal["", "mean over utterances", "pooled over the corpus"] = ""
    mean: str = MISSING
    interval: str = MISSING
    n: str = "0"
    missing: int = 0
    worst: tuple[str, ...] = ()
    reference: str = MISSING
    difference: Difference | None = None
    absent: str | None = None
    omitted: str | None = None  # why it is not compared with the baseline, which has it
    unreliable: str | None = None  # why the judge behind it is not to be relied on

    @property
    def label(self) -> str:
        """The name, marked where the judge is not to be relied on."""
        return f"{self.name} (unreliable)" if self.unreliable else self.name

    @property
    def pooled(self) -> bool:
        return self.kind == "pooled over the corpus"


def summary_lines(summary: Mapping[str, Any]) -> list[Line]:
    """Every column in reading order, a pooled figure right after the mean of its column, absent columns last."""
    corpus = dict(summary.get("corpus") or {})
    lines = []
    for name in ordered(summary["columns"]):
        lines.append(_mean_line(summary, name))
        pooled = corpus.pop(f"{name}_corpus", None)
        if pooled:
            lines.append(_pooled_line(summary, f"{name}_corpus", pooled))
    lines += [_pooled_line(summary, name, pooled) for name, pooled in corpus.items()]
    absent = summary.get("absent") or {}
    return lines + [Line(name, absent=absent[name]) for name in ordered(absent)]


def _mean_line(summary: Mapping[str, Any], name: str) -> Line:
    column = summary["columns"][name]
    digits = decimals(column)
    return Line(
        name,
        description=column.get("description") or "",
        kind="mean over utterances" if f"{name}_corpus" in (summary.get("corpus") or {}) else "",
        unit=column["unit"],
        direction=DIRECTION[column["better"]],
        mean=number(column["mean"], digits),
        interval=interval(column["ci95"], digits),
        n=str(column["n"]),
        missing=column["missing"],
        worst=tuple(column.get("worst") or ()),
        reference=number((summary.get("reference") or {}).get(name), digits),
        difference=_difference(summary, name, digits),
        omitted=((summary.get("baseline") or {}).get("omitted") or {}).get(name),
        unreliable=column.get("unreliable"),
    )


def _pooled_line(summary: Mapping[str, Any], name: str, pooled: Mapping[str, Any]) -> Line:
    digits = decimals(pooled)
    return Line(
        name,
        description=pooled.get("description") or "",
        unit=pooled["unit"],
        direction=DIRECTION[pooled["better"]],
        kind="pooled over the corpus",
        mean=number(pooled["value"], digits),
        interval=interval(pooled["ci95"], digits),
        n=f"{pooled['errors']} of {pooled['of']}",
        reference=number((summary.get("reference") or {}).get(name), digits),
        difference=_difference(summary, name, digits),
    )


def _difference(summary: Mapping[str, Any], name: str, digits: int) -> Difference | None:
    paired = ((summary.get("baseline") or {}).get("columns") or {}).get(name)
    if paired is None:
        return None
    return Difference(
        value=signed(paired["difference"], digits),
        interval=interval(paired["ci95"], digits, sign=True),
        judgement=judgement(paired),
        pairs=paired["pairs"],
        mean=number(paired.get("mean"), digits),
        baseline_mean=number(paired.get("baseline_mean"), digits),
    )


def coverage_sentence(summary: Mapping[str, Any]) -> str:
    """``55 of 60 utterances are fine (91.7 %); failed 2, silent 3; a metric crashed on 1``."""
    coverage = summary["coverage"]
    others = {status: count for status, count in coverage["by_status"].items() if status != "ok" and count}
    parts = [f"{coverage['ok']} of {coverage['planned']} utterances are fine ({percent(coverage['share'])})"]
    if others:
        parts.append(", ".join(f"{status} {count}" for status, count in sorted(others.items())))
    if coverage.get("metric_crashed"):
        parts.append(f"a metric crashed on {coverage['metric_crashed']}")
    return "; ".join(parts)


def reference_sentence(summary: Mapping[str, Any]) -> str | None:
    """``The 8 reference clips among themselves: speaker_cosine 0.956, from 0.948 to 0.962``; None for a single clip.

    A similarity is to be judged against this: no copy is more like the speaker than the speaker is.
    """
    spread = summary.get("reference_spread") or {"clips": 0, "range": {}}
    among = {name: spread["range"][name] for name in _SIMILARITIES if name in spread["range"]}
    if spread["clips"] < 2 or not among:
        return None
    means = summary["reference"]
    found = [f"{name} {means[name]:.3f}, from {low:.3f} to {high:.3f}" for name, (low, high) in among.items()]
    return f"The {spread['clips']} reference clips among themselves: {'; '.join(found)}"


def comparison_sentences(summary: Mapping[str, Any], lines: Sequence[Line]) -> list[str]:
    """What to know of the comparison with the baseline: what is left out and why, and what may explain a difference.

    ``rtf, total_s: not compared with the baseline, the runs were timed with another mode (single and batch).``
    """
    reasons = dict.fromkeys(line.omitted for line in lines if line.omitted)
    left_out = [
        f"{', '.join(line.name for line in lines if line.omitted == reason)}: not compared with the baseline, {reason}."
        for reason in reasons
    ]
    return [*left_out, *((summary.get("baseline") or {}).get("notices") or ())]


def judge_notices(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(metric, how its sentence goes on) of each judge with something to say about what its numbers are good for."""
    judges = summary.get("judges") or {}
    notices = [(metric, judges[metric]["notice"]) for metric in sorted(judges) if judges[metric].get("notice")]
    return [(name, said.removeprefix(name) if said.startswith(f"{name} ") else f": {said}") for name, said in notices]
