"""What a merge method is: a pure function of one tensor's base and parents, found by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

import metrics.options
from evalkit.errors import EvalkitError
from evalkit.registry import MERGERS
from metrics.options import Option

# How a method moves what it may neither prune nor rotate, the running statistics of BatchNorm.
Statistics = Literal["average", "sum", "agreed", "shared"]
# (base, parents) of every tensor that will be merged, float32; may be gone through more than once.
Stream = Iterable[tuple[Tensor, list[Tensor]]]


@dataclass(frozen=True)
class Site:
    """Which tensor is merged, which is what a random method's numbers depend on."""

    key: str = ""
    parents: tuple[str, ...] = ()
    seed: int = 0

    def generators(self, count: int) -> list[torch.Generator]:
        """One generator for each parent, on the CPU, seeded by (seed, tensor name, parent name) alone.

        So the numbers are the same whatever the order of tensors and of parents, the process and the device.
        """
        names = self.parents or tuple(str(index) for index in range(count))
        return [torch.Generator().manual_seed(self._seed_of(name)) for name in names]

    def _seed_of(self, parent: str) -> int:
        text = "\0".join([str(self.seed), self.key, parent])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class MergeMethod:
    """A merge method: ``method(base, tensors, weights, **options)`` merges one tensor.

    base: floating tensor, or None for a method that merges parents alone; tensors: one of each parent, of the base's
    shape; weights: one coefficient per parent. Returns a tensor of that shape, float32 or wider.

    options: what a user may set; each is a keyword argument of the function. random: the function also takes
    `generators`, one torch.Generator per parent. survey: for a method that needs to know the whole model before it
    merges the first tensor: `survey(stream, **options)` is called once, and what it returns is the function's argument
    `survey`. parents: the fewest and the most parents it can merge. by_layer: every tensor must get its coefficients
    from a layer rule.

    statistics: what becomes of BatchNorm's running statistics v, which have to describe the weights that the method
    makes: "average" sum(w_i v_i) / sum(w_i); "sum" base + sum(w_i (v_i - base)), of a method that adds task vectors;
    "agreed" the same sum divided by sum(|w_i|), unless an option `normalise` is off; "shared" the same sum divided by
    the number of parents. An option `scale` multiplies the last three sums.
    """

    name: str
    function: Callable[..., Tensor]
    needs_base: bool
    options: Mapping[str, Option] = field(default_factory=dict)
    random: bool = False
    survey: Callable[..., Any] | None = None
    parents: tuple[int, int | None] = (1, None)
    by_layer: bool = False
    statistics: Statistics = "average"

    def __call__(
        self,
        base: Tensor | None,
        tensors: list[Tensor],
        weights: list[float],
        *,
        site: Site = Site(),
        survey: Any = None,
        **options: Any,
    ) -> Tensor:
        if base is None and self.needs_base:
            raise EvalkitError(f"The merge method '{self.name}' needs a base checkpoint; name one.")
        if len(tensors) != len(weights):
            raise EvalkitError(
                f"The merge method '{self.name}' got {len(tensors)} tensors and {len(weights)} coefficients."
            )
        extra: dict[str, Any] = {}
        if self.random:
            extra["generators"] = site.generators(len(tensors))
        if self.survey is not None:
            extra["survey"] = survey
        merged = self.function(base, tensors, weights, **extra, **self.settings(options))
        if merged.shape != tensors[0].shape:
            raise EvalkitError(
                f"The merge method '{self.name}' made {list(merged.shape)} of {list(tensors[0].shape)}; it is at fault."
            )
        return merged

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Every option with its value: the given one, or the default. Raises EvalkitError on a bad name or value."""
        try:
            return metrics.options.complete(f"the merge method '{self.name}'", self.options, given)
        except ValueError as error:
            raise EvalkitError(str(error)) from error

    def parse(self, settings: Sequence[str]) -> dict[str, Any]:
        """`["density=0.3"]` -> the options that are set. Raises EvalkitError on a bad name or value."""
        names = {setting.partition("=")[0] for setting in settings}
        try:
            values = metrics.options.parse_settings(f"the merge method '{self.name}'", self.options, settings)
        except ValueError as error:
            raise EvalkitError(str(error)) from error
        return {name: value for name, value in values.items() if name in names}

    def check_parents(self, count: int) -> None:
        """Raise EvalkitError unless the method can merge so many parents."""
        fewest, most = self.parents
        if count < fewest or (most is not None and count > most):
            wanted = str(fewest) if fewest == most else f"{fewest} or more" if most is None else f"{fewest} to {most}"
            raise EvalkitError(f"The merge method '{self.name}' merges {wanted} parents, not {count}.")


def merge_method(
    name: str,
    *,
    needs_base: bool = True,
    options: Mapping[str, Option] | None = None,
    random: bool = False,
    survey: Callable[..., Any] | None = None,
    parents: tuple[int, int | None] = (1, None),
    by_layer: bool = False,
    statistics: Statistics = "average",
) -> Callable[[Callable[..., Tensor]], MergeMethod]:
    """Make ``function(base, tensors, weights, **options)`` a merge method; an entry point in `evalkit.mergers` makes it
    known. The arguments are those of MergeMethod.
    """

    def decorate(function: Callable[..., Tensor]) -> MergeMethod:
        return MergeMethod(name, function, needs_base, options or {}, random, survey, parents, by_layer, statistics)

    return decorate


def find_method(name: str) -> MergeMethod:
    """The registered merge method of this name. Raises EvalkitError on an unknown name or a plugin that is none."""
    method = MERGERS.load(name)
    if not isinstance(method, MergeMethod):
        raise EvalkitError(f"The merge method '{name}' is not one; its plugin must decorate it with @merge_method.")
    return method
