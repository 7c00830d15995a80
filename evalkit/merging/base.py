"""What a merge method is: a pure function of one tensor's base and parents, found by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from evalkit.errors import EvalkitError
from evalkit.registry import MERGERS

MergeFunction = Callable[[Tensor | None, list[Tensor], list[float]], Tensor]


@dataclass(frozen=True)
class MergeMethod:
    """A merge method: ``method(base, tensors, weights)`` merges one tensor.

    base: floating tensor, or None for a method that merges parents alone; tensors: one of each parent, of the base's
    shape; weights: one coefficient per parent. Returns a tensor of that shape, float32 or wider.
    """

    name: str
    function: MergeFunction
    needs_base: bool

    def __call__(self, base: Tensor | None, tensors: list[Tensor], weights: list[float]) -> Tensor:
        if base is None and self.needs_base:
            raise EvalkitError(f"The merge method '{self.name}' needs a base checkpoint; name one.")
        if len(tensors) != len(weights):
            raise EvalkitError(
                f"The merge method '{self.name}' got {len(tensors)} tensors and {len(weights)} coefficients."
            )
        merged = self.function(base, tensors, weights)
        if merged.shape != tensors[0].shape:
            raise EvalkitError(
                f"The merge method '{self.name}' made {list(merged.shape)} of {list(tensors[0].shape)}; it is at fault."
            )
        return merged


def merge_method(name: str, *, needs_base: bool = True) -> Callable[[Callable[..., Tensor]], MergeMethod]:
    """Make ``function(base, tensors, weights)`` a merge method; its entry point in `evalkit.mergers` makes it known."""

    def decorate(function: Callable[..., Tensor]) -> MergeMethod:
        return MergeMethod(name, function, needs_base)

    return decorate


def find_method(name: str) -> MergeMethod:
    """The registered merge method of this name. Raises EvalkitError on an unknown name or a plugin that is none."""
    method = MERGERS.load(name)
    if not isinstance(method, MergeMethod):
        raise EvalkitError(f"The merge method '{name}' is not one; its plugin must decorate it with @merge_method.")
    return method
