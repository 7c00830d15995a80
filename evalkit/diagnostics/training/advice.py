"""What to do about a training set: what to drop, what to add, what to train on instead. In numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from evalkit.diagnostics.training.dropping import Remaining
from evalkit.diagnostics.training.published import (
    COLLAPSE_DB,
    GAIN_DB,
    SPEAKERS,
    UNSEEN,
    UNSEEN_SIMILARITY,
    UNSEEN_STATED,
    unseen_gain,
    zone,
)
from evalkit.diagnostics.training.subset import variable_part

LOUDER_DB = 10.0  # from speaking to nearly shouting, or to nearly whispering
WIDEST_DB = max(one.energy_std_db for one in SPEAKERS)


def advise(outcome: str, figures: Mapping[str, Any], left: Remaining | None, least: str) -> list[str]:
    """Sentences for the figures of `speaker_figures` and what `dropping` leaves. least: what a verdict needs."""
    sentences = [_dropping(outcome, left, figures)] if left is not None else []
    if left is not None and left.other:
        sentences.append(f"Left in, and worth a listen: {_counts(left.other)}.")
    if outcome == "cannot tell":
        return [*sentences, f"Add clips: a verdict needs {least} of sound."]
    if outcome != "gain":
        sentences += _reaching(figures, left)
        sentences.append(_mixing())
    return [*sentences, _sampling(gains=outcome == "gain"), _checkpoints()]


def _dropping(outcome: str, left: Remaining, figures: Mapping[str, Any]) -> str:
    if not left.dropped:
        return "No clip has to be dropped for its flags."
    told = (
        f"Drop {left.dropped:,} of {left.clips:,} clips ({_hours(left.seconds / 3600)} of {_hours(figures['hours'])}; "
        f"--fix writes the manifest without them): {_counts(left.kinds)}."
    )
    std, dnsmos = left.spreads()
    before = figures["energy"]["std_db"]
    if std is None or before is None:
        return told
    told += f" The energy spread of the rest is {std:.2f} dB, before {before:.2f}"
    if dnsmos is not None and figures["dnsmos"]["sd"] is not None:
        told += f"; the DNS-MOS spread {dnsmos:.3f}, before {figures['dnsmos']['sd']:.3f}"
    if outcome == "cannot tell":
        return f"{told}."
    moved = zone(std) != zone(before)
    return f"{told}. That {f'moves it to the zone: {zone(std)}' if moved else 'does not change its zone'}."


def _reaching(figures: Mapping[str, Any], left: Remaining | None) -> list[str]:
    std, mean, hours = figures["energy"]["std_db"], figures["energy"]["mean_db"], figures["distinct_hours"]
    if std is None or mean is None or not hours:
        return []
    sentences = [_adding(std, mean, hours, floor) for floor in (COLLAPSE_DB, GAIN_DB) if std < floor]
    if sentences:
        sentences.append(
            "Those are sums over the pooled variance, for new recordings that vary within themselves as these do, or "
            "as said. They reach the figure; that the voice follows rests on a correlation. Amplifying clips that are "
            "there, or repeating the most variable ones, moves the figure too and is no new data."
        )
    if left is not None:
        sentences += [_keeping(left, floor) for floor in (COLLAPSE_DB, GAIN_DB) if std < floor]
    return sentences


def hours_of_levels(std: float, hours: float, floor: float, apart_db: float) -> float | None:
    """Hours to add, half of them `apart_db` louder and half as much softer, so that the pooled spread is `floor`.

    With a share f of such clips the mean stays and the variance grows by f apart_db^2. None: no amount is enough.
    """
    share = (floor**2 - std**2) / apart_db**2
    return hours * share / (1 - share) if share < 1 else None


def hours_of_variety(std: float, hours: float, floor: float, own_db: float) -> float | None:
    """Hours to add of the same mean level whose own spread is `own_db`. None: no amount is enough."""
    if own_db <= floor:
        return None
    share = (floor**2 - std**2) / (own_db**2 - std**2)
    return hours * share / (1 - share)


def levels_to_double(std: float, floor: float) -> float:
    """How many dB louder and softer by halves as many hours again must be, so that the pooled spread is `floor`."""
    return math.sqrt(2 * (floor**2 - std**2))


def softer_to_double(std: float, floor: float) -> float:
    """How many dB softer as many hours again must be, all of them, so that the pooled spread is `floor`."""
    return 2 * math.sqrt(floor**2 - std**2)


def _adding(std: float, mean: float, hours: float, floor: float) -> str:
    levels = hours_of_levels(std, hours, floor, LOUDER_DB)
    variety = hours_of_variety(std, hours, floor, WIDEST_DB)
    parts = [
        _amount(levels, hours, f"spoken {LOUDER_DB:g} dB louder and softer than the mean of {mean:.1f} dBFS by halves"),
        _amount(variety, hours, f"with a spread of {WIDEST_DB:g} dB of its own, the study's widest"),
        f"as much again ({_hours(hours)}), {levels_to_double(std, floor):.1f} dB louder and softer by halves",
        f"as much again, all of it {softer_to_double(std, floor):.1f} dB softer",
    ]
    told = f"To reach {floor:g} dB from {std:.2f} dB, add: {'; or '.join(part for part in parts if part)}."
    return told if levels is not None else f"{told} No amount {LOUDER_DB:g} dB louder and softer is enough."


def _amount(more: float | None, hours: float, kind: str) -> str:
    return f"{_hours(more)} ({more / hours:.1f} times what is there) {kind}" if more is not None else ""


def _keeping(left: Remaining, floor: float) -> str:
    frames, means, stds, _, seconds = left.kept().T
    part = variable_part(frames, means, stds, seconds, floor)
    if part is None:
        return f"Among the clips that are there no part was found that reaches {floor:g} dB alone."
    return (
        f"Of the clips that are there, {part.clips:,} ({_hours(part.seconds / 3600)}) reach {floor:g} dB alone: those "
        f"whose frames lie {part.least_db:.1f} dB or more (root mean square) from {part.centre_db:.1f} dBFS. The "
        f"study's smallest set had {min(one.hours for one in SPEAKERS):.1f} h; nobody has tested such a choice."
    )


def _mixing() -> str:
    own, mix = ([scores[side] for scores in UNSEEN.values()] for side in (0, 1))
    return (
        "Or train on several speakers (--mix plans it): in the study the three speakers of little variability reached "
        f"DNS-MOS {sum(mix) / 3:.2f} with a model of 2 + 2 + 2 hours of three others, {sum(own) / 3:.2f} with one of "
        f"their own: +{UNSEEN_STATED:g} as stated, +{unseen_gain():.3f} by its rounded table. It cost similarity: "
        f"{UNSEEN_SIMILARITY[1]:.3f} instead of {UNSEEN_SIMILARITY[0]:.3f}."
    )


def _sampling(gains: bool) -> str:
    moved = sorted(
        round(one.careful - one.tuned, 3) for one in SPEAKERS if (zone(one.energy_std_db) == "gain") == gains
    )
    if gains:
        return (
            "Sample as you are used to: temperature 0.8 with top_k 40 cost the study's speakers of this zone "
            f"{-moved[-1]:.2f} to {-moved[0]:.2f} DNS-MOS."
        )
    return (
        "Sample conservatively: temperature 0.8 with top_k 40 gave the study's speakers below about 13 dB "
        f"{moved[0]:.2f} to {moved[-1]:.2f} DNS-MOS back."
    )


def _checkpoints() -> str:
    return (
        "Choose the checkpoint by what it sounds like (evalkit select): the loss fell for all six speakers, the "
        "quality of three did not rise."
    )


def _counts(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items(), key=lambda one: (-one[1], one[0])))


def _hours(hours: float) -> str:
    if hours < 1 / 60:
        return f"{3600 * hours:.0f} s"
    return f"{60 * hours:.0f} min" if hours < 1 else f"{hours:.1f} h"
