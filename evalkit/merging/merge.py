"""Merge whole checkpoints that are in memory, or mapped into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from evalkit.checkpoints import CanonicalTensors
from evalkit.errors import EvalkitError
from evalkit.merging.align import BASE, ERROR, Sources
from evalkit.merging.plan import make_plan
from evalkit.merging.report import Merged, carry_out
from evalkit.merging.weights import Weight


def merge_checkpoints(
    base: Mapping[str, Tensor] | None,
    parents: Mapping[str, Mapping[str, Tensor]],
    weights: Mapping[str, Weight],
    method: str = "task_arithmetic",
    *,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    unmatched: str = ERROR,
    respell: bool = True,
) -> Merged:
    """Merge the parents (name -> tensors) into the base with a registered merge method.

    base, parents: the tensors of checkpoints, in any spelling; they are merged as canonical, effective weights, or,
    with respell=False, as their files spell them. weights: parent -> coefficient, a number or LayerWeights. options: of
    the method; unmatched: "error", "base" or "keep:PARENT". Raises EvalkitError, naming the keys, for tensors without a
    partner, NaN or infinity, and coefficients that are missing or misspelt.
    """
    return carry_out(make_plan(make_sources(base, parents, respell), weights, method, options, seed, unmatched))


def make_sources(
    base: Mapping[str, Tensor] | None, parents: Mapping[str, Mapping[str, Tensor]], respell: bool = True
) -> Sources:
    """Every checkpoint as canonical tensors, the base first and called "base".

    Tensors that are canonical already are taken as they are. Raises EvalkitError if a parent is called "base" or the
    tensors of a checkpoint contradict each other.
    """
    if BASE in parents:
        raise EvalkitError(f"A parent cannot be called '{BASE}', which is the base's own name; rename it.")
    everything = ({} if base is None else {BASE: base}) | dict(parents)
    return {name: _canonical(name, tensors, respell) for name, tensors in everything.items()}


def _canonical(name: str, tensors: Mapping[str, Tensor], respell: bool) -> CanonicalTensors:
    if isinstance(tensors, CanonicalTensors):
        return tensors
    try:
        return CanonicalTensors(tensors, respell)
    except EvalkitError as error:
        raise EvalkitError(f"'{name}' cannot be merged. {error}") from error
