"""What the figures mean for a merge, in sentences: broken numbers, names without a partner, and `breakage`."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.checkpoints.inspection.breakage import conflict, distance, related, same_base
from evalkit.checkpoints.inspection.report import Group, Judgement, Level, Partners


def judge(
    base: str | None, lost: Sequence[str], partners: Sequence[Partners], overall: Group, layers: Sequence[Group]
) -> tuple[Judgement, ...]:
    """On numbers, names, distance, conflict and base; without a base, the first two and whether weights are related.

    lost: tensors of the base that are not finite. Every topic has a sentence, "ok" where nothing is wrong.
    """
    found = [*_numbers(base, lost, partners), *_names(base, partners)]
    if base is None:
        return (*found, *related(overall, layers))
    return (*found, *distance(overall, layers), *conflict(overall, layers), *same_base(base, partners, overall, layers))


def _numbers(base: str | None, lost: Sequence[str], partners: Sequence[Partners]) -> list[Judgement]:
    broken = [(name, keys) for name, keys in [(base or "", lost), *((p.model, p.non_finite) for p in partners)] if keys]
    found = [
        Judgement(
            "problem",
            "numbers",
            f"{name} holds NaN or Inf in {len(keys)} tensor(s), first {keys[0]}, which every figure here leaves out: "
            "the checkpoint is broken, make it again.",
        )
        for name, keys in broken
    ]
    return found or [Judgement("ok", "numbers", "Every number is finite.")]


def _names(base: str | None, partners: Sequence[Partners]) -> list[Judgement]:
    lead = base or partners[0].model
    found = []
    for p in partners:
        said = _without_partner(p)
        if not said:
            continue
        advice = "a merge must be told what to do with them, or they must be made alike"
        if p.prefix:
            doing = "put before" if p.prefix.startswith("+") else "cut from"
            advice = f"most would meet if '{p.prefix[1:]}' were {doing} its names"
        level: Level = "caution" if p.shared else "problem"
        says = f"{p.model} shares {p.shared} tensor(s) with {lead}, but {', '.join(said)}: {advice}."
        found.append(Judgement(level, "names", says))
    return found or [Judgement("ok", "names", f"Every tensor has a partner of its shape in {lead}.")]


def _without_partner(p: Partners) -> list[str]:
    said = []
    if p.missing:
        said.append(f"lacks {len(p.missing)} (first {p.missing[0]})")
    if p.unknown:
        said.append(f"has {len(p.unknown)} of its own (first {p.unknown[0]})")
    if p.mismatched:
        said.append(f"has {len(p.mismatched)} of another shape or kind (first {p.mismatched[0].key})")
    if p.integers:
        said.append(f"has {len(p.integers)} integer tensor(s) with other numbers (first {p.integers[0]})")
    return said
