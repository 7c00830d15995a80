"""The order of finished checkpoints by the primary column, who cannot be told from the best, and which to take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evalkit.decisions.answers import Answer, answer, holm
from evalkit.decisions.differences import Paired
from evalkit.decisions.scores import Scores
from evalkit.decisions.select.measure import Measure


@dataclass(frozen=True)
class Ranking:
    """order: best mean first; to_best: of the others, the difference to the best; alike: who cannot be told from it:
    equivalent, or the 95 % interval of the difference holds 0.

    chosen: the earliest of the best and those alike whose mean lies within the margin of the best.
    """

    order: tuple[str, ...]
    to_best: Mapping[str, Mapping[str, Any]]
    alike: tuple[str, ...]
    chosen: str

    @property
    def best(self) -> str:
        return self.order[0]


def rank(scores: Mapping[str, Scores], measure: Measure) -> Ranking:
    """scores: of candidates that have a mean, at least one, in the order of training."""
    means = {name: mean for name, one in scores.items() if (mean := measure.mean(one)) is not None}
    order = sorted(means, key=lambda name: -measure.good(means[name]))  # stable: of equals the earlier comes first
    best, others = order[0], order[1:]
    differences = [measure.paired(scores[name], scores[best]) for name in others]
    tested = [one.p_both if one else None for one in differences]
    corrected, tests = holm(tested), max(1, len(tested) - tested.count(None))
    to_best: dict[str, Mapping[str, Any]] = {}
    alike = []
    for name, difference, p in zip(others, differences, corrected, strict=True):
        if difference is None:
            continue
        said = answer(difference, measure.better, measure.margin, p, tests)
        to_best[name] = _described(difference, p, said)
        apart = difference.ci95 is not None and (difference.ci95[0] > 0 or difference.ci95[1] < 0)
        if said.verdict == "equivalent" or (said.verdict == "cannot tell" and not apart):
            alike.append(name)
    near = [best, *(name for name in alike if _within(to_best[name], measure))]
    chosen = next(name for name in scores if name in near)
    return Ranking(tuple(order), to_best, tuple(alike), chosen)


def _within(difference: Mapping[str, Any], measure: Measure) -> bool:
    """Too few items to tell is no reason to give up quality: the mean must lie within the margin as well."""
    if difference["answer"] == "equivalent":
        return True
    known = difference["ci95"] is not None
    return known and measure.margin is not None and abs(difference["difference"]) <= measure.margin


def _described(difference: Paired, p_holm: float | None, said: Answer) -> dict[str, Any]:
    bounds = difference.ci95
    return {
        "difference": difference.difference,
        "ci95": list(bounds) if bounds else None,
        "pairs": difference.pairs,
        "p_holm": p_holm,
        "answer": said.verdict,
        "why": said.why,
        "more_items": asdict(said)["more_items"],
    }


def names_in_words(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
