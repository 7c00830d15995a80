"""Better, worse, equivalent, or cannot tell: what a paired difference says about a column."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evalkit.decisions.differences import FEWEST, Paired
from evalkit.errors import EvalkitError

Verdict = Literal["better", "worse", "equivalent", "cannot tell", "changed"]
Better = Literal["higher", "lower", "neither"]

LEVEL = 0.05

MARGINS: Mapping[str, float] = {
    "dnsmos_ovrl": 0.1,
    "dnsmos_sig": 0.1,
    "dnsmos_bak": 0.1,
    "dnsmos_p808": 0.1,
    "wada_snr_db": 2.0,
    "speaker_similarity": 0.02,
    "speaker_cosine": 0.04,
    "wer": 0.03,
    "wer_corpus": 0.03,
    "cer": 0.02,
    "cer_corpus": 0.02,
    "entity_wer": 0.05,
    "entity_wer_corpus": 0.05,
    "pronunciation_accuracy": 0.04,
    "frontend_accuracy": 0.04,
    "clipping_ratio": 0.001,
    "silence_ratio": 0.05,
}
"""By column: differences smaller than this matter to nobody. Chosen, not measured; `--margin COLUMN=VALUE` changes one.
"""


@dataclass(frozen=True)
class Answer:
    """verdict, and why in one sentence. more_items: how many more would make it tell; more_repeats: in place of them.

    Both are None where they are not needed or no number of them would do.
    """

    verdict: Verdict
    why: str
    more_items: int | None = None
    more_repeats: int | None = None


def answer(paired: Paired, better: Better, margin: float | None, p_holm: float | None) -> Answer:
    """What a difference says.

    equivalent: the 90 % interval lies within the margin (two one-sided tests at 5 %), even if it excludes 0. better,
    worse: the 95 % interval excludes 0 and the signed-rank test, corrected by Holm over everything that was tested,
    stays below 5 %. A column without a direction has changed or not. margin: None never calls anything equivalent
    unless all items are equal.
    """
    bounds, narrow = paired.intervals[0.95], paired.intervals[0.90]
    if bounds is None or narrow is None or p_holm is None:
        units = f"{paired.units} {paired.unit}{'s' if paired.units != 1 else ''}"
        return Answer("cannot tell", f"{units} are too few to say: {FEWEST} at least.", max(1, FEWEST - paired.units))
    if bounds == (0.0, 0.0):
        return Answer("equivalent", f"all {paired.pairs} items have the same value in both.")
    if margin is not None and -margin < narrow[0] and narrow[1] < margin:
        return Answer("equivalent", f"the 90 % interval lies within the margin of {margin:g}.")
    excludes = bounds[0] > 0 or bounds[1] < 0
    if excludes and p_holm < LEVEL:
        if better == "neither":
            return Answer("changed", f"the 95 % interval excludes 0, p = {p_holm:.2g} after Holm.")
        good = (paired.difference > 0) == (better == "higher")
        return Answer("better" if good else "worse", f"the 95 % interval excludes 0, p = {p_holm:.2g} after Holm.")
    if excludes:
        why = f"the 95 % interval excludes 0, but p = {p_holm:.2g} after Holm."
    else:
        why = "the 95 % interval includes 0" + (
            f" and reaches beyond the margin of {margin:g}." if margin is not None else "."
        )
    return Answer("cannot tell", why, *_how_many_more(paired, margin))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p values in the order given (Holm 1979); None stays None and does not count."""
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    reached = 0.0
    for rank, (p, index) in enumerate(known):
        reached = max(reached, min(1.0, (len(known) - rank) * p))
        adjusted[index] = reached
    return adjusted


def margins_from(settings: Sequence[str]) -> dict[str, float]:
    """`["dnsmos_ovrl=0.2"]` over the defaults. Raises EvalkitError for what is no column=number above 0."""
    margins = dict(MARGINS)
    for setting in settings:
        column, equals, text = setting.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not equals or not 0 < value < math.inf:
            raise EvalkitError(f"--margin {setting}: write COLUMN=NUMBER, with a number above 0, like dnsmos_ovrl=0.1.")
        margins[column.strip()] = value
    return margins


def _how_many_more(paired: Paired, margin: float | None) -> tuple[int | None, int | None]:
    """Items, or repeats of the same items, after which a difference as large as the margin would be found.

    Without a margin, one as large as what was seen.
    """
    wanted = margin if margin is not None else abs(paired.difference)
    if not paired.detectable or not wanted or paired.unit != "item":
        return None, None
    factor = (paired.detectable / wanted) ** 2
    if factor <= 1:  # enough for the margin; the difference lies at its edge
        factor = (paired.detectable / max(abs(paired.difference), wanted / 2)) ** 2
        if factor <= 1:
            return None, None
    items = math.ceil(paired.pairs * factor) - paired.pairs
    return items, _repeats(paired, factor)


def _repeats(paired: Paired, factor: float) -> int | None:
    """Repeats wear down what differs between seeds, and nothing of what differs between items."""
    if paired.within is None or paired.error is None:
        return None
    now = paired.error**2 * paired.pairs
    between = max(0.0, now - paired.within**2 / paired.repeats)
    room = now / factor - between
    if room <= 0:
        return None
    return max(0, math.ceil(paired.within**2 / room) - paired.repeats)
