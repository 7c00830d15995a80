"""Which coefficient every parent has in every tensor."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from evalkit.errors import EvalkitError, some
from evalkit.merging.presets import select


@dataclass(frozen=True)
class LayerWeights:
    """A parent's coefficient: `default`, but for the layers that a pattern of `layers` selects; the first match counts.

    default None: every tensor must be selected by a pattern.
    """

    default: float | None = 1.0
    layers: Mapping[str, float] = field(default_factory=dict)


Weight = float | LayerWeights


def resolve(keys: Collection[str], weights: Mapping[str, Weight], by_layer: bool = False) -> dict[str, list[float]]:
    """Canonical key -> the parents' coefficients, in their order.

    by_layer: the default counts for nothing (a hierarchical merge, where leaving a layer out must be said). Raises
    EvalkitError for a pattern without tensors, a tensor without a coefficient, or a coefficient that is no number.
    """
    resolved: dict[str, list[float]] = {key: [] for key in keys}
    for parent, weight in weights.items():
        given = weight if isinstance(weight, LayerWeights) else LayerWeights(weight)
        default = None if by_layer else given.default
        chosen: dict[str, float] = {}
        for pattern, value in given.layers.items():
            _check(value, parent, f" for '{pattern}'")
            for key in select(pattern, keys):
                chosen.setdefault(key, value)
        left = [key for key in keys if key not in chosen]
        if left and default is None:
            raise EvalkitError(
                f"{len(left)} tensor{'s' if len(left) > 1 else ''} got no coefficient for '{parent}' ({some(left)}); "
                "add a layer pattern for them, with 0 to leave them as in the base."
            )
        _check(default or 0.0, parent, "")
        for key, row in resolved.items():
            row.append(float(chosen.get(key, default or 0.0)))
    return resolved


def _check(value: float, parent: str, where: str) -> None:
    if not math.isfinite(value):
        raise EvalkitError(f"The coefficient of '{parent}'{where} is {value}; give a number.")
