"""A merge that was thought through, and its tensors one after another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from evalkit.checkpoints import is_finite, non_finite
from evalkit.errors import EvalkitError, some
from evalkit.merging.align import BASE, ERROR, Alignment, Sources, align
from evalkit.merging.base import MergeMethod, Site, find_method
from evalkit.merging.methods.linear import linear, task_arithmetic
from evalkit.merging.ties import find_ties
from evalkit.merging.weights import Weight, resolve
from evalkit.registry import unknown

# Running statistics of BatchNorm describe what the network saw: they are averaged or added, never pruned or rotated.
STATISTICS = (".running_mean", ".running_var")
VARIANCE = ".running_var"

Fate = Literal["merged", "same", "counter", "copied"]


@dataclass(frozen=True)
class Result:
    """One tensor of the merge.

    equals: a checkpoint that has it bit for bit, where there is one; moved, norm: ||merged - base|| and ||base||, where
    there is a base and the tensor was merged.
    """

    key: str
    tensor: Tensor
    fate: Fate
    equals: str | None = None
    moved: float = 0.0
    norm: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What is merged, and how. sources: every checkpoint, "base" first where there is one; weights: key -> per parent;
    ties: merged keys that are another name of an earlier one.
    """

    sources: Sources
    parents: tuple[str, ...]
    method: MergeMethod
    options: Mapping[str, Any]
    weights: Mapping[str, list[float]]
    alignment: Alignment
    ties: Mapping[str, str]
    seed: int

    @property
    def base(self) -> str | None:
        return BASE if BASE in self.sources else None

    def results(self) -> Iterator[Result]:
        """The merged tensors, canonical and float32, in the order of the base (or the first parent).

        Raises EvalkitError when a checkpoint holds NaN or infinity, or the merge overflows.
        """
        survey = self._survey()
        lines = self.alignment
        first = next(iter(self.sources))
        merged = set(lines.merged)
        ready = merged.union(lines.same, lines.counters, lines.copied)
        here = [key for key in self.sources[first] if key in ready]
        heads: dict[str, Result] = {}
        for key in dict.fromkeys((*here, *lines.merged, *lines.same, *lines.counters, *lines.copied)):
            if key in self.ties:
                yield replace(heads[self.ties[key]], key=key)
            elif key in merged:
                result = self._merge(key, survey)
                if key in self.ties.values():
                    heads[key] = result
                yield result
            elif key in lines.copied:
                yield Result(key, self._checked(lines.copied[key], key).clone(), "copied", lines.copied[key])
            elif key in lines.same:
                yield Result(key, self._any(key).clone(), "same", self._holders(key)[0])
            else:
                counts = [self.sources[name][key] for name in self._holders(key)]
                yield Result(key, torch.stack(counts).amax(dim=0), "counter")

    def tensors_of(self, key: str) -> tuple[Tensor | None, list[Tensor]]:
        """(base's, parents') canonical tensors of a merged key."""
        base = None if self.base is None else self._tensor(self.base, key)
        return base, [self._tensor(name, key) for name in self.parents]

    def _merge(self, key: str, survey: Any) -> Result:
        base, tensors = self.tensors_of(key)
        everyone = tensors if base is None else [base, *tensors]
        names = list(self.parents) if base is None else [BASE, *self.parents]
        for name, tensor in zip(names, everyone, strict=True):
            if not is_finite(tensor):
                self._refuse_broken(name)
        norm = 0.0 if base is None else float(torch.linalg.vector_norm(base))
        if all(_same_bits(everyone[0], tensor) for tensor in everyone[1:]):
            return Result(key, everyone[0].clone(), "same", names[0], 0.0, norm)
        if key.endswith(STATISTICS):
            tensor = self._statistics(key, base, tensors)
        else:
            site = Site(key, self.parents, self.seed)
            tensor = self.method(base, tensors, self.weights[key], site=site, survey=survey, **self.options).float()
        if not is_finite(tensor):
            raise EvalkitError(f"The merge overflows in '{key}'; use smaller coefficients.")
        equals = next((name for name, own in zip(names, everyone, strict=True) if _same_bits(own, tensor)), None)
        moved = 0.0 if base is None else float(torch.dist(tensor, base))
        return Result(key, tensor, "merged", equals, moved, norm)

    def _statistics(self, key: str, base: Tensor | None, tensors: list[Tensor]) -> Tensor:
        weights = self.weights[key]
        if base is None or self.method.statistics == "average":
            tensor = linear(None, tensors, weights)
        else:
            factor = self._step(weights)
            tensor = task_arithmetic(base, tensors, [factor * weight for weight in weights])
        if key.endswith(VARIANCE) and bool((tensor < 0).any()):
            raise EvalkitError(f"The merge gives a negative variance in '{key}'; use smaller coefficients.")
        return tensor

    def _step(self, weights: list[float]) -> float:
        """What the method multiplies sum(w_i (t_i - base)) by where all parents change a number alike."""
        scale = float(self.options.get("scale", 1.0))
        if self.method.statistics == "shared":
            return scale / len(weights)
        if self.method.statistics == "agreed" and self.options.get("normalise", True):
            return scale / (math.fsum(map(abs, weights)) or 1.0)
        return scale

    def _survey(self) -> Any:
        if self.method.survey is None:
            return None
        return self.method.survey(_Pairs(self), **self.options)

    def _tensor(self, name: str, key: str) -> Tensor:
        tensors = self.sources[name]
        if key in tensors:
            return tensors[key]
        value = 1.0 if key.endswith("weight") else 0.0  # the identity, which `align` let it stand for
        return torch.full_like(self._any(key), value)

    def _any(self, key: str) -> Tensor:
        return self.sources[self._holders(key)[0]][key]

    def _holders(self, key: str) -> list[str]:
        return [name for name, tensors in self.sources.items() if key in tensors]

    def _checked(self, name: str, key: str) -> Tensor:
        tensor = self.sources[name][key]
        if not is_finite(tensor):
            self._refuse_broken(name)
        return tensor

    def _refuse_broken(self, name: str) -> None:
        broken = non_finite(self.sources[name])
        count = f"{len(broken)} tensor{'' if len(broken) == 1 else 's'}"
        raise EvalkitError(f"'{name}' holds NaN or infinity in {count}: {some(broken)}; leave it out.")


@dataclass(frozen=True)
class _Pairs:
    """The stream that a survey goes through, as often as it likes."""

    plan: Plan

    def __iter__(self) -> Iterator[tuple[Tensor, list[Tensor]]]:
        for key in self.plan.alignment.merged:
            if key.endswith(STATISTICS) or key in self.plan.ties:  # a tied tensor counts once
                continue
            base, tensors = self.plan.tensors_of(key)
            if base is not None:
                yield base, tensors


def make_plan(
    sources: Sources,
    weights: Mapping[str, Weight],
    method: str = "task_arithmetic",
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    unmatched: str = ERROR,
) -> Plan:
    """Think a merge through without reading weights.

    sources: the base, if any, is called "base"; the others are parents. weights: parent -> coefficient, alike for all
    tensors or by layer. Raises EvalkitError, naming what is wrong, for tensors without a partner, coefficients that
    are missing, misspelt or no numbers, and options the method lacks.
    """
    merge = _checked(sources, weights, method)
    alignment = align(sources, unmatched)
    return _plan(sources, alignment, find_ties(sources, alignment.merged), weights, merge, options, seed)


def plan_aligned(
    sources: Sources,
    alignment: Alignment,
    ties: Mapping[str, str],
    weights: Mapping[str, Weight],
    method: str,
    options: Mapping[str, Any] | None,
    seed: int,
) -> Plan:
    """`make_plan` for checkpoints whose tensors were matched before."""
    return _plan(sources, alignment, ties, weights, _checked(sources, weights, method), options, seed)


def _plan(
    sources: Sources,
    alignment: Alignment,
    ties: Mapping[str, str],
    weights: Mapping[str, Weight],
    merge: MergeMethod,
    options: Mapping[str, Any] | None,
    seed: int,
) -> Plan:
    parents = tuple(name for name in sources if name != BASE)
    by_key = resolve(alignment.merged, {name: weights[name] for name in parents}, merge.by_layer)
    for key, head in ties.items():
        if by_key[key] != by_key[head]:
            raise EvalkitError(
                f"'{head}' and '{key}' are one tensor (tied), but the layer patterns give them different coefficients; "
                "give both the same."
            )
    return Plan(sources, parents, merge, merge.settings(options or {}), by_key, alignment, ties, seed)


def _checked(sources: Sources, weights: Mapping[str, Weight], method: str) -> MergeMethod:
    """The method. Raises EvalkitError unless it can merge these checkpoints and every parent has its coefficient."""
    merge = find_method(method)
    parents = [name for name in sources if name != BASE]
    if not parents:
        raise EvalkitError("There is nothing to merge: name at least one parent checkpoint.")
    if merge.needs_base and BASE not in sources:
        raise EvalkitError(f"The merge method '{merge.name}' needs a base checkpoint; name one.")
    merge.check_parents(len(parents))
    for name in weights:
        if name not in parents:
            raise EvalkitError(unknown("parent", name, parents))
    absent = [name for name in parents if name not in weights]
    if absent:
        raise EvalkitError(f"There is no coefficient for {', '.join(absent)}; give one, 0 to omit.")
    return merge


def _same_bits(one: Tensor, other: Tensor) -> bool:
    """Equal bit for bit, so that -0 is not 0."""
    if one.dtype != other.dtype or one.dtype != torch.float32:
        return False
    return torch.equal(one.view(torch.int32), other.view(torch.int32))
