"""Several LoRA adapters combined into one adapter."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import torch
from torch import Tensor

from evalkit.checkpoints import is_finite
from evalkit.errors import EvalkitError
from evalkit.merging.base import MergeMethod, Site, find_method
from evalkit.merging.lora_svd import compress, truncate
from evalkit.merging.lora_update import Adapter, LowRank, require_plain
from metrics.options import Value

SVD = "_svd"

# (update, coefficient) of every adapter that has the module.
Parts = Sequence[tuple[LowRank, float]]


def combine_adapters(
    adapters: Sequence[Adapter],
    weights: Sequence[float],
    method: str = "svd",
    *,
    rank: int | None = None,
    seed: int = 0,
    **options: Value,
) -> Adapter:
    """One adapter from several, with a coefficient each, which may be negative.

    An adapter that lacks a module adds nothing there. Methods:

    `cat`: sum(w_i delta_i), exact; the factors stand side by side, so ranks add up.
    `svd`: the same sum, then its best approximation of rank `rank` (default: the sum of the ranks, which is exact).
    `linear`: sums A's and B's apart, each with sqrt(|w_i| s_i). A baseline, to compare with what peft users have: the
    product then has cross terms B_1 A_2 that belong to no adapter. All ranks must be equal.
    `ties_svd`, `dare_linear_svd`, ...: any merge method of evalkit on the full deltas, with its `options`, then
    truncated to `rank` (default: the sum of the ranks). Sparsified deltas have full rank, so this loses something.

    The names and, of the first three, the formulas are those of peft 0.21.2 `LoraModel.add_weighted_adapter`; its
    `svd` truncates to the largest rank by default, and its `ties` and `dare_*` without `_svd` (on the factors, with the
    same cross terms) are left out. seed: of random methods. TIES seeks the largest changes over the modules that any
    adapter changes. After an SVD the result's `kept` says what share of each module's energy is left. Raises
    EvalkitError for adapters that do not go together or do not consist of low-rank updates alone, and for an unknown
    method or option.
    """
    _check(adapters, weights)
    if rank is not None and rank < 1:
        raise EvalkitError(f"Adapters cannot be combined at rank {rank}; give 1 or more.")
    modules = list(dict.fromkeys(module for adapter in adapters for module in adapter.updates))
    parts = {module: _parts(module, adapters, weights) for module in modules}
    source = f"{method} of {' and '.join(adapter.source for adapter in adapters)}"
    cut: Mapping[str, tuple[LowRank, float | None]]
    if method in FACTORWISE:
        wrong = [*(["rank"] if rank is not None and method != "svd" else []), *options]
        if wrong:
            raise EvalkitError(
                f"The combination '{method}' of adapters has no option {', '.join(wrong)}; leave it out."
            )
        cut = {module: FACTORWISE[method](module, part, rank) for module, part in parts.items()}
    elif method.endswith(SVD):
        merge = find_method(method.removesuffix(SVD))
        cut = _merged(_Deltas(adapters, list(weights), modules), merge, parts, rank, seed, options)
    else:
        raise EvalkitError(
            f"There is no combination '{method}' of adapters; use {', '.join(FACTORWISE)}, or a merge method with "
            f"'{SVD}' behind its name, such as 'ties{SVD}'."
        )
    kept = {module: share for module, (_, share) in cut.items() if share is not None}
    return Adapter(source, {module: update for module, (update, _) in cut.items()}, kept=kept)


def _check(adapters: Sequence[Adapter], weights: Sequence[float]) -> None:
    if not adapters or len(adapters) != len(weights):
        raise EvalkitError(f"{len(adapters)} adapters got {len(weights)} coefficients; give one for each.")
    if not all(math.isfinite(weight) for weight in weights):
        raise EvalkitError(f"The coefficients of the adapters are {list(weights)}; give numbers.")
    for adapter in adapters:
        require_plain(adapter, "combined with another")


def _parts(module: str, adapters: Sequence[Adapter], weights: Sequence[float]) -> Parts:
    having = [(adapter, weight) for adapter, weight in zip(adapters, weights, strict=True) if module in adapter.updates]
    first = having[0][0]
    for other, _ in having[1:]:
        one, two = first.updates[module], other.updates[module]
        if (one.shape, one.storage) != (two.shape, two.storage):
            raise EvalkitError(
                f"The adapters {first.source} and {other.source} change '{module}' as {one.storage} "
                f"{list(one.shape)} and {two.storage} {list(two.shape)}; combine adapters of one base."
            )
    return [(adapter.updates[module], weight) for adapter, weight in having]


def _linear(module: str, parts: Parts, rank: int | None) -> tuple[LowRank, None]:
    ranks = {update.rank for update, _ in parts}
    if len(ranks) > 1:
        raise EvalkitError(f"'{module}' has ranks {sorted(ranks)} in the adapters; 'linear' needs one, use 'svd'.")
    # The sign of a negative coefficient goes into one factor: in both it would cancel.
    a = functools.reduce(torch.add, [math.copysign(_root(part), part[1]) * part[0].a.double() for part in parts])
    b = functools.reduce(torch.add, [_root(part) * part[0].b.double() for part in parts])
    return LowRank(a.float(), b.float(), 1.0, parts[0][0].storage), None


def _root(part: tuple[LowRank, float]) -> float:
    update, weight = part
    return math.sqrt(abs(weight * update.scale))


def _cat(module: str, parts: Parts, rank: int | None) -> tuple[LowRank, None]:
    a = torch.cat([weight * update.scale * update.a.double() for update, weight in parts])
    b = torch.cat([update.b.double() for update, _ in parts], dim=1)
    return LowRank(a.float(), b.float(), 1.0, parts[0][0].storage), None


def _svd(module: str, parts: Parts, rank: int | None) -> tuple[LowRank, float]:
    whole, _ = _cat(module, parts, None)
    return compress(whole, rank or whole.rank)


FACTORWISE: Mapping[str, Callable[[str, Parts, int | None], tuple[LowRank, float | None]]] = {
    "linear": _linear,
    "cat": _cat,
    "svd": _svd,
}


@dataclass(frozen=True)
class _Deltas:
    """(base, deltas) of every module, made anew at every pass: the stream that a survey goes through.

    The base is zero, since a delta is a task vector already.
    """

    adapters: Sequence[Adapter]
    weights: list[float]
    modules: Sequence[str]

    def __iter__(self) -> Iterator[tuple[Tensor, list[Tensor]]]:
        return (self.of(module) for module in self.modules)

    def of(self, module: str) -> tuple[Tensor, list[Tensor]]:
        found = [adapter.updates.get(module) for adapter in self.adapters]
        shape = next(update.shape for update in found if update is not None)
        zero = torch.zeros(shape)
        return zero, [zero if update is None else update.delta().float() for update in found]

    def names(self) -> tuple[str, ...]:
        """What random numbers depend on beside the seed: the folders' names, or nothing but the order if two agree."""
        names = tuple(PurePath(adapter.source).name for adapter in self.adapters)
        return names if len(set(names)) == len(names) else ()


def _merged(
    deltas: _Deltas,
    merge: MergeMethod,
    parts: Mapping[str, Parts],
    rank: int | None,
    seed: int,
    options: Mapping[str, Value],
) -> Mapping[str, tuple[LowRank, float | None]]:
    merge.check_parents(len(deltas.adapters))
    settings = merge.settings(options)
    survey = None if merge.survey is None else merge.survey(deltas, **settings)
    cut: dict[str, tuple[LowRank, float | None]] = {}
    for module in deltas.modules:
        zero, vectors = deltas.of(module)
        site = Site(f"{module}.weight", deltas.names(), seed)
        delta = merge(zero, vectors, deltas.weights, site=site, survey=survey, **settings)
        if not is_finite(delta):
            raise EvalkitError(f"'{merge.name}' makes the update of '{module}' not finite; use smaller coefficients.")
        full = sum(update.rank for update, _ in parts[module])
        cut[module] = truncate(delta, rank or full, parts[module][0][0].storage)
    return cut
