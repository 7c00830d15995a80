"""Successive halving over items (Jamieson and Talwalkar 2016), with evidence: noise alone stops nobody.

All checkpoints speak the first stage; those beyond the share that goes on stop, but only where they are clearly worse
than the last one that does, on the items that both spoke.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from evalkit.decisions.differences import Paired
from evalkit.decisions.scores import Scores
from evalkit.decisions.select.checkpoints import Candidate
from evalkit.decisions.select.measure import ALPHA, Measure, on_items
from evalkit.decisions.summary import coverage
from evalkit.errors import EvalkitError

Speak = Callable[[Candidate, int], Scores]  # a candidate up to and with a stage, counted from 1
Say = Callable[[str], None]


@dataclass(frozen=True)
class Stop:
    """Why one stopped: `difference` to the last that went on, `p` one-sided and corrected."""

    name: str
    than: str
    difference: Paired
    p: float


@dataclass
class Course:
    """How far one candidate came. scores: up to its last stage; failed, stop: why there are no more."""

    candidate: Candidate
    scores: Scores | None = None
    stage: int = 0
    failed: str | None = None
    stop: Stop | None = None

    @property
    def state(self) -> Literal["failed", "stopped", "finished"]:
        return "failed" if self.failed else "stopped" if self.stop else "finished"


@dataclass(frozen=True)
class Halving:
    """courses: in the order of the candidates; stages: what each decided, for the record."""

    courses: Sequence[Course]
    stages: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


def halve(
    candidates: Sequence[Candidate],
    stages: Sequence[Sequence[str]],
    speak: Speak,
    measure: Measure,
    keep: float,
    min_coverage: float,
    repeats: int,
    say: Say,
) -> Halving:
    """Evaluate candidates stage by stage. One that `speak` refuses with an EvalkitError is out, with its reason.

    min_coverage: share of all utterances that must have speech; one that cannot reach it any more is out as well.
    """
    courses = [Course(candidate) for candidate in candidates]
    allowed = math.floor((1 - min_coverage) * repeats * sum(map(len, stages)) + 1e-9)
    record: list[dict[str, Any]] = []
    done: list[str] = []
    for number, stage in enumerate(stages, start=1):
        done += stage
        running = [course for course in courses if course.state == "finished"]
        for place, course in enumerate(running, start=1):
            say(f"stage {number} of {len(stages)}: {course.candidate.name} ({place} of {len(running)})")
            _advance(course, number, done, speak, measure, allowed)
            if course.failed:
                say(f"{course.candidate.name} is out: {course.failed}")
        standing = {c.candidate.name: c.scores for c in running if c.state == "finished" and c.scores}
        stops = stopped_after(standing, measure, keep, len(stages) - 1) if number < len(stages) else []
        for stop in stops:
            next(course for course in running if course.candidate.name == stop.name).stop = stop
            say(f"{stop.name} stops after {len(done)} items: clearly worse than {stop.than}.")
        record.append({"items": len(done), "spoken": [c.candidate.name for c in running], "stopped": len(stops)})
    return Halving(courses, record)


def stopped_after(scores: Mapping[str, Scores], measure: Measure, keep: float, looks: int) -> list[Stop]:
    """Which of the candidates stop after a stage. looks: how often it is asked, which the test is corrected for.

    Those beyond the share `keep` are tested one-sided at 5 % over all looks and candidates (Bonferroni).
    """
    means = {name: mean for name, one in scores.items() if (mean := measure.mean(one)) is not None}
    order = sorted(means, key=lambda name: -measure.good(means[name]))
    kept = max(1, math.ceil(keep * len(order) - 1e-9))
    stops = []
    for name in order[kept:]:
        difference = measure.paired(scores[name], scores[order[kept - 1]])
        p = measure.p_worse(difference) if difference else None
        if difference is None or p is None:
            continue
        corrected = min(1.0, p * looks * (len(order) - kept))
        if corrected < ALPHA:
            stops.append(Stop(name, order[kept - 1], difference, corrected))
    return stops


def _advance(course: Course, number: int, done: Sequence[str], speak: Speak, measure: Measure, allowed: int) -> None:
    try:
        # A run that went further the last time holds more than this stage, which must not change what it decides.
        course.scores = on_items(speak(course.candidate, number), done)
    except EvalkitError as error:
        course.failed = str(error)
        return
    course.stage = number
    course.failed = _lacking(course.scores, measure, allowed)


def _lacking(scores: Scores, measure: Measure, allowed: int) -> str | None:
    """Why a candidate cannot be ranked, or None."""
    found = coverage(scores.rows, len(scores.rows))
    failed = found["planned"] - found["ok"]
    if failed > allowed:
        statuses = ", ".join(f"{count} {status}" for status, count in found["by_status"].items() if status != "ok")
        return f"coverage falls short: {failed} of {found['planned']} utterances failed ({statuses})."
    if found["metric_crashed"]:
        return f"a metric failed on {found['metric_crashed']} utterance(s)."
    if measure.mean(scores) is None:
        column = measure.column.removesuffix("_corpus") if measure.is_corpus else measure.column
        reasons = [row["missing"].get(column) for row in scores.rows if row["missing"].get(column)]
        return f"no utterance has a value of {measure.column}" + (f": {reasons[0]}" if reasons else ".")
    return None
