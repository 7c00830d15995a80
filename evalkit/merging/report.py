"""What a merge did, counted and listed: every tensor of every checkpoint stands somewhere in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from evalkit.checkpoints import section_of
from evalkit.merging.plan import Plan, Result


@dataclass(frozen=True)
class SectionReport:
    """What a merge did to one section.

    coefficients: parent -> the different coefficients that its tensors had; relative_change: ||merged - base|| /
    ||base|| over the section's merged tensors, None without a base, 0 where nothing moved away from the base.
    """

    tensors: int
    parameters: int
    coefficients: Mapping[str, tuple[float, ...]]
    relative_change: float | None


@dataclass(frozen=True)
class MergeReport:
    """Which canonical keys were merged and which were not.

    merged: computed by the method; same: equal in all checkpoints, bit for bit, and taken over; counters: BatchNorm's,
    the largest taken; copied: key -> checkpoint that it was kept from; dropped: key -> checkpoints that had it;
    implied: merged key -> checkpoints that lack it and stood for the identity; folded: checkpoint -> keys whose weight
    norm was folded to the effective weight first; respelled: checkpoint -> number of keys that lost a prefix.
    """

    method: str
    options: Mapping[str, Any]
    merged: tuple[str, ...]
    same: tuple[str, ...]
    counters: tuple[str, ...]
    copied: Mapping[str, str]
    dropped: Mapping[str, tuple[str, ...]]
    implied: Mapping[str, tuple[str, ...]]
    folded: Mapping[str, tuple[str, ...]]
    respelled: Mapping[str, int]
    sections: Mapping[str, SectionReport]

    def counts(self) -> dict[str, int]:
        """How many tensors each fate had."""
        fates = ("merged", "same", "counters", "copied", "dropped", "implied")
        return {fate: len(getattr(self, fate)) for fate in fates}


@dataclass
class _Section:
    tensors: int = 0
    parameters: int = 0
    coefficients: dict[str, dict[float, None]] = field(default_factory=dict)
    moved: float = 0.0
    norm: float = 0.0


@dataclass
class Tally:
    """Goes through the results of a plan once and counts."""

    plan: Plan
    fates: dict[str, list[str]] = field(default_factory=dict)
    sections: dict[str, _Section] = field(default_factory=dict)

    def watch(self) -> Iterator[Result]:
        """The plan's results, each counted as it passes."""
        for result in self.plan.results():
            self.fates.setdefault(result.fate, []).append(result.key)
            section = self.sections.setdefault(section_of(result.key), _Section())
            section.tensors += 1
            section.parameters += result.tensor.numel()
            section.moved += result.moved**2
            section.norm += result.norm**2
            for name, weight in zip(self.plan.parents, self.plan.weights.get(result.key, ()), strict=False):
                section.coefficients.setdefault(name, {})[weight] = None
            yield result

    def report(self) -> MergeReport:
        plan, lines = self.plan, self.plan.alignment
        return MergeReport(
            plan.method.name,
            plan.options,
            tuple(self.fates.get("merged", ())),
            tuple(self.fates.get("same", ())),
            lines.counters,
            lines.copied,
            lines.dropped,
            lines.implied,
            {name: tensors.folded for name, tensors in plan.sources.items()},
            {name: len(tensors.stripped) for name, tensors in plan.sources.items()},
            {name: self._section(section) for name, section in self.sections.items()},
        )

    def _section(self, section: _Section) -> SectionReport:
        change = None
        if self.plan.base is not None:
            change = math.sqrt(section.moved / section.norm) if section.norm else math.sqrt(section.moved)
        coefficients = {name: tuple(values) for name, values in section.coefficients.items()}
        return SectionReport(section.tensors, section.parameters, coefficients, change)


@dataclass(frozen=True)
class Merged:
    """The merged weights, canonical key -> float32 tensor, in the order of the base (or the first parent)."""

    tensors: Mapping[str, Tensor]
    report: MergeReport


def carry_out(plan: Plan) -> Merged:
    """The whole merge, in memory."""
    tally = Tally(plan)
    tensors = {result.key: result.tensor for result in tally.watch()}
    return Merged(tensors, tally.report())
