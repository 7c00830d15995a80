"""Merge whole checkpoints, tensor by tensor, refusing whatever does not match."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from evalkit.checkpoints import Canonical, canonical, non_finite, section_of
from evalkit.errors import EvalkitError
from evalkit.merging.base import find_method
from evalkit.registry import unknown

ANY_SECTION = "*"
BASE = "base"
SHOWN = 5

Coefficients = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class SectionReport:
    """What a merge did to one section.

    relative_change: ||merged - base|| / ||base|| over the section's floating tensors, None without a base. 0 where
    every coefficient was 0, or where the parents never moved away from the base.
    """

    tensors: int
    parameters: int
    coefficients: Mapping[str, float]
    relative_change: float | None


@dataclass(frozen=True)
class MergeReport:
    """What was merged, and how; every canonical key of the result stands in `merged` or in `kept`.

    kept: integer tensors, which are equal in all checkpoints; folded: checkpoint name ("base" or a parent's) -> keys
    whose weight norm was folded to the effective weight first.
    """

    method: str
    merged: tuple[str, ...]
    kept: tuple[str, ...]
    folded: Mapping[str, tuple[str, ...]]
    sections: Mapping[str, SectionReport]


@dataclass(frozen=True)
class Merged:
    """The merged weights, canonical key -> tensor, in the order of the base (or the first parent)."""

    tensors: Mapping[str, Tensor]
    report: MergeReport


def merge_checkpoints(
    base: Mapping[str, Tensor] | None,
    parents: Mapping[str, Mapping[str, Tensor]],
    coefficients: Coefficients,
    method: str = "task_arithmetic",
) -> Merged:
    """Merge the parents (name -> tensors) into the base with a registered merge method.

    base, parents: the tensors of checkpoints, in any spelling; they are merged as canonical, effective weights.
    coefficients: section or "*" (every section not named) -> parent -> coefficient. Each entry names every parent.
    Raises EvalkitError, naming the keys, if a checkpoint lacks keys of another, shapes or integer tensors differ, a
    checkpoint holds NaN or infinity, or coefficients are missing or misspelt.
    """
    merge = find_method(method)
    if not parents:
        raise EvalkitError("There is nothing to merge: name at least one parent checkpoint.")
    if BASE in parents:
        raise EvalkitError(f"A parent cannot be called '{BASE}', which is the base's own name; rename it.")
    everything = ({} if base is None else {BASE: base}) | dict(parents)
    sources = {name: _canonical(name, tensors) for name, tensors in everything.items()}
    _check_alike(sources)
    reference = next(iter(sources.values())).tensors
    by_section = _resolve(coefficients, sorted({section_of(key) for key in reference}), list(parents))

    tensors: dict[str, Tensor] = {}
    merged, kept = [], []
    for key, tensor in reference.items():
        if tensor.is_floating_point():
            weights = by_section[section_of(key)]
            start = None if base is None else sources[BASE].tensors[key]
            tensors[key] = merge(start, [sources[name].tensors[key] for name in parents], list(weights.values()))
            merged.append(key)
        else:
            tensors[key] = tensor
            kept.append(key)
    broken = non_finite(tensors)
    if broken:
        raise EvalkitError(f"The merge overflows in {_count(broken)}: {_some(broken)}; use smaller coefficients.")
    folded = {name: source.folded for name, source in sources.items()}
    sections = {
        section: _report(section, tensors, None if base is None else reference, weights)
        for section, weights in by_section.items()
    }
    return Merged(tensors, MergeReport(merge.name, tuple(merged), tuple(kept), folded, sections))


def _canonical(name: str, tensors: Mapping[str, Tensor]) -> Canonical:
    try:
        return canonical(tensors)
    except EvalkitError as error:
        raise EvalkitError(f"'{name}' cannot be merged. {error}") from error


def _check_alike(sources: Mapping[str, Canonical]) -> None:
    """Raise EvalkitError unless all checkpoints have the same keys, shapes and integer tensors, and finite floats."""
    first, *others = sources
    reference = sources[first].tensors
    for name in others:
        tensors = sources[name].tensors
        for here, there, missing in (
            (first, name, [key for key in reference if key not in tensors]),
            (name, first, [key for key in tensors if key not in reference]),
        ):
            if missing:
                raise EvalkitError(
                    f"{_count(missing)} of '{here}' without a partner in '{there}': {_some(missing)}; "
                    "merge checkpoints of one layout."
                )
        reshaped = [key for key in reference if reference[key].shape != tensors[key].shape]
        if reshaped:
            shapes = f"{list(reference[reshaped[0]].shape)} and {list(tensors[reshaped[0]].shape)}"
            raise EvalkitError(
                f"{_count(reshaped)} of '{first}' and '{name}' differ in shape: {_some(reshaped)} "
                f"(the first: {shapes}); merge fine-tunes of one base."
            )
        unequal = [key for key in reference if not _mergeable(reference[key], tensors[key])]
        if unequal:
            raise EvalkitError(
                f"{_count(unequal)} of integers differ between '{first}' and '{name}': {_some(unequal)}; "
                "an integer tensor has no average, make them equal first."
            )
    for name, source in sources.items():
        broken = non_finite(source.tensors)
        if broken:
            raise EvalkitError(f"'{name}' holds NaN or infinity in {_count(broken)}: {_some(broken)}; leave it out.")


def _mergeable(one: Tensor, other: Tensor) -> bool:
    if one.is_floating_point() and other.is_floating_point():
        return True
    return one.dtype == other.dtype and bool((one == other).all())


def _resolve(coefficients: Coefficients, sections: list[str], parents: list[str]) -> dict[str, dict[str, float]]:
    """Section -> parent -> coefficient for every section, parents in order. Raises EvalkitError on a gap or a typo."""
    for section, given in coefficients.items():
        if section not in (ANY_SECTION, *sections):
            raise EvalkitError(unknown("section", section, sections))
        for parent, weight in given.items():
            if parent not in parents:
                raise EvalkitError(unknown("parent", parent, parents))
            if not math.isfinite(weight):
                raise EvalkitError(f"The coefficient of '{parent}' for section '{section}' is {weight}; give a number.")
        absent = [parent for parent in parents if parent not in given]
        if absent:
            raise EvalkitError(f"Section '{section}' has no coefficient for {', '.join(absent)}; give one, 0 to omit.")
    uncovered = [section for section in sections if section not in coefficients]
    if uncovered and ANY_SECTION not in coefficients:
        raise EvalkitError(f"No coefficients for the sections {', '.join(uncovered)}; add them, or '*' for the rest.")
    chosen = {section: coefficients.get(section, coefficients.get(ANY_SECTION, {})) for section in sections}
    return {section: {parent: given[parent] for parent in parents} for section, given in chosen.items()}


def _report(
    section: str, tensors: Mapping[str, Tensor], base: Mapping[str, Tensor] | None, coefficients: Mapping[str, float]
) -> SectionReport:
    keys = [key for key in tensors if section_of(key) == section]
    change = None
    if base is not None:
        moved, norm = 0.0, 0.0
        for key in keys:
            if tensors[key].is_floating_point():
                moved += float((tensors[key].double() - base[key].double()).square().sum())
                norm += float(base[key].double().square().sum())
        change = math.sqrt(moved / norm) if norm else math.sqrt(moved)
    return SectionReport(len(keys), sum(tensors[key].numel() for key in keys), coefficients, change)


def _count(keys: list[str]) -> str:
    return f"{len(keys)} tensor{'' if len(keys) == 1 else 's'}"


def _some(keys: list[str]) -> str:
    rest = len(keys) - SHOWN
    return ", ".join(keys[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
