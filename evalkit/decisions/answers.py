"""Better, worse, equivalent, or cannot tell: what a paired difference says about a column."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evalkit.decisions.differences import POWER, Paired
from evalkit.decisions.intervals import FEWEST
from evalkit.errors import EvalkitError

Verdict = Literal["better", "worse", "equivalent", "cannot tell", "changed"]
Better = Literal["higher", "lower", "neither"]

LEVEL = 0.05
_MOST = 10**6  # items: more is as good as never

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

    It tells then in about 80 of 100 cases, if the checkpoints do not differ or differ by the margin; where the interval
    excludes 0, if they differ as much as was seen. Both are None where they are not needed, where no number of them
    would do, or where speakers and not items are too few.
    """

    verdict: Verdict
    why: str
    more_items: int | None = None
    more_repeats: int | None = None


def answer(paired: Paired, better: Better, margin: float | None, p_holm: float | None, tests: int = 1) -> Answer:
    """What a difference says.

    equivalent: the 90 % interval lies within the margin (two one-sided tests at 5 %), even if it excludes 0. better,
    worse: the 95 % interval excludes 0 and p_holm is below 5 %. A column without a direction has changed or not.
    margin: None never calls anything equivalent unless all items are equal. p_holm: `Paired.p_both`, corrected by Holm
    over everything that was tested, so that ranks and mean agree after the correction too. tests: how many there were,
    from which it follows how many items it takes.
    """
    found = _answer(paired, better, margin, p_holm, tests)
    if not paired.unpaired:
        return found
    items = "1 item has a value" if paired.unpaired == 1 else f"{paired.unpaired} items have a value"
    return replace(found, why=f"{found.why} {items} on one side only and could not be compared.")


def _answer(paired: Paired, better: Better, margin: float | None, p_holm: float | None, tests: int) -> Answer:
    bounds, narrow = paired.intervals[0.95], paired.intervals[0.90]
    if bounds is None or narrow is None or p_holm is None or paired.units < FEWEST:
        units = f"{paired.units} {paired.unit}{'s' if paired.units != 1 else ''}"
        are = "is" if paired.units == 1 else "are"
        return Answer(
            "cannot tell",
            f"{units} {are} too few to say: it takes {FEWEST} at least.",
            *_how_many_more(paired, margin, tests),
        )
    if bounds == (0.0, 0.0):
        unseen = 100 * (1 - 0.05 ** (1 / paired.units))
        same = f"all {paired.pairs} items have the same value in both"
        if paired.effect is not None:  # they differ, and cancel within every speaker
            same = f"all {paired.units} speakers have the same mean in both, though their items differ"
        others = f"changes in up to {unseen:.0f} % of other {paired.unit}s could stay unseen"
        return Answer("equivalent", f"{same}; {others}.")
    if margin is not None and -margin < narrow[0] and narrow[1] < margin:
        return Answer("equivalent", f"the 90 % interval lies within the margin of {margin:g}.")
    excludes = bounds[0] > 0 or bounds[1] < 0
    if excludes and p_holm < LEVEL:
        why = f"the 95 % interval excludes 0, p = {p_holm:.2g} after Holm."
        if better == "neither":
            return Answer("changed", why)
        return Answer("better" if (paired.difference > 0) == (better == "higher") else "worse", why)
    if excludes:
        why = f"the 95 % interval excludes 0, but p = {p_holm:.2g} after Holm."
    elif margin is not None:
        why = f"the 95 % interval includes 0, and the 90 % interval reaches beyond the margin of {margin:g}."
    else:
        why = "the 95 % interval includes 0."
    return Answer("cannot tell", why, *_how_many_more(paired, margin, tests))


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
        if not column.strip() or not equals or not 0 < value < math.inf:
            raise EvalkitError(f"--margin {setting}: write COLUMN=NUMBER, with a number above 0, like dnsmos_ovrl=0.1.")
        margins[column.strip()] = value
    return margins


def _how_many_more(paired: Paired, margin: float | None, tests: int) -> tuple[int | None, int | None]:
    """Items, or repeats of the same items, after which it would tell.

    As many as tell no difference from one as large as the margin. Where the interval excludes 0 already, or lies well
    inside the margin, or there is none: as many as it takes if the true difference is the one that was seen.
    """
    if paired.unit != "item":
        return None, None
    seen = abs(paired.difference)
    deviation = (paired.error or 0.0) * math.sqrt(paired.pairs)  # of one item
    if deviation == 0 or (seen == 0 and margin is None):
        return (FEWEST - paired.units if paired.units < FEWEST else None), None
    bounds = paired.intervals[0.95]
    needed = 0
    if margin is not None and not (bounds and (bounds[0] > 0 or bounds[1] < 0)):
        needed = items_needed(deviation, margin, tests)
    if needed <= paired.pairs:
        needed = _as_seen(deviation, seen, margin, tests)
    if not paired.pairs < needed < _MOST:
        return None, None
    return needed - paired.pairs, _repeats(paired, needed / paired.pairs)


def items_needed(deviation: float, wanted: float, tests: int = 1) -> int:
    """How many items tell no difference from one of `wanted`, with a power of 80 % either way.

    deviation: standard deviation of the items' differences; tests: as for `answer`. Two-sided test at 5 % over the
    tests (the first step of Holm), and two one-sided ones at 5 % for equivalence.
    """
    return max(_found(deviation, wanted, tests), _count(deviation / wanted, 0.95, (1 + POWER) / 2))


def _as_seen(deviation: float, seen: float, margin: float | None, tests: int) -> int:
    """The fewest items with which a true difference as large as the one seen would be found, or be equivalent."""
    found = _found(deviation, seen, tests) if seen else _MOST
    if margin is None or seen >= margin:
        return found
    return min(found, _count(deviation / (margin - seen), 0.95, POWER))


def _found(deviation: float, difference: float, tests: int) -> int:
    """Items that find a difference. So few that even all losing the same way prove nothing are never enough."""
    fewest = math.ceil(1 - math.log2(LEVEL / tests))
    return max(fewest, _count(deviation / difference, 1 - LEVEL / tests / 2, POWER))


def _count(ratio: float, confidence: float, power: float) -> int:
    """The number n with (t_confidence + t_power) / sqrt(n) times ratio = 1, of Student's t with n - 1 degrees."""
    from scipy.special import ndtri, stdtrit  # the functions behind scipy.stats.norm and t, a hundred times as fast

    count = float((ndtri(confidence) + ndtri(power)) * ratio) ** 2
    for _ in range(20):  # each step comes closer
        degrees = max(FEWEST, count) - 1
        count = min(_MOST, float((stdtrit(degrees, confidence) + stdtrit(degrees, power)) * ratio) ** 2)
    return max(FEWEST, math.ceil(count - 1e-9))


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
