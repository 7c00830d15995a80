"""Task vectors side by side, layer by layer, in one pass over the base and its fine-tunes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from pathlib import Path

import torch
from torch import Tensor

from evalkit.checkpoints.canonical import CanonicalTensors, Origin, is_finite
from evalkit.checkpoints.inspection.judgement import judge
from evalkit.checkpoints.inspection.moments import Moments, figures, rounding_of
from evalkit.checkpoints.inspection.naming import layer_of, unique_names
from evalkit.checkpoints.inspection.report import Mismatch, Partners, VectorReport
from evalkit.checkpoints.layouts import section_of
from evalkit.checkpoints.reading import read_checkpoint
from evalkit.errors import EvalkitError

Open = Callable[[Path], CanonicalTensors]


def open_checkpoint(path: Path) -> CanonicalTensors:
    """The canonical tensors of a checkpoint. Raises EvalkitError, naming it, if they contradict each other."""
    checkpoint = read_checkpoint(path)
    try:
        return CanonicalTensors(checkpoint.tensors)
    except EvalkitError as error:
        raise EvalkitError(f"{path}: {error}") from error


def compare_vectors(base: Path | None, models: Sequence[Path], opener: Open = open_checkpoint) -> VectorReport:
    """Norms, cosines and sign conflicts of the task vectors `model - base` (Ilharco et al. 2023, section 2).

    base: what the models were fine-tuned from; None compares the models' weights themselves, over the tensors that the
    first has. opener: what opens a model. Names and spelling are canonical, weight norm is folded. Memory: one float32
    tensor of each model. Integer tensors are only compared for equality; a tensor with NaN or infinity is left out and
    named. Raises EvalkitError for a checkpoint that cannot be read, and for fewer than two to compare.
    """
    if len(models) + (base is not None) < 2:
        raise EvalkitError("There is nothing to compare with one checkpoint: name another, or its base with --base.")
    names = unique_names([*models, *([base] if base else [])])
    base_name = names.pop() if base else None
    weights = [opener(path) for path in models]
    lead = open_checkpoint(base) if base else weights[0]
    layers, integers, broken, lost = _pass(lead, weights, base is not None)
    partners = tuple(_partners(*found) for found in zip(names, repeat(lead), weights, integers, broken, strict=False))
    sections: dict[str, Moments] = {}
    for layer, moments in layers.items():
        section = section_of(layer)
        sections[section] = sections[section] + moments if section in sections else moments
    overall = figures("all", sum(layers.values(), Moments.none(len(models))), names, base is not None)
    by_section, by_layer = (
        tuple(figures(name, moments, names, base is not None) for name, moments in groups.items())
        for groups in (sections, layers)
    )
    judgements = judge(base_name, lost, partners, overall, by_layer)
    return VectorReport(base_name, tuple(lost), tuple(names), partners, overall, by_section, by_layer, judgements)


def _pass(
    lead: CanonicalTensors, models: Sequence[CanonicalTensors], against_base: bool
) -> tuple[dict[str, Moments], list[list[str]], list[list[str]], list[str]]:
    """Go through the tensors of the lead, which is the base or else the first model.

    Returns the sums of every layer; per model the integer tensors that differ; per model the tensors that are not
    finite; those of the base.
    """
    layers: dict[str, Moments] = {}
    integers: list[list[str]] = [[] for _ in models]
    broken: list[list[str]] = [[] for _ in models]
    lost: list[str] = []
    for key, origin in lead.origins.items():
        own = lead[key]
        found = [model[key] if _fits(origin, model.origins.get(key)) else None for model in models]
        if not own.is_floating_point():
            for i, tensor in enumerate(found):
                if tensor is not None and not torch.equal(tensor, own):
                    integers[i].append(key)
            continue
        finite = [_if_finite(tensor) for tensor in found]
        for i, (before, after) in enumerate(zip(found, finite, strict=True)):
            if before is not None and after is None:
                broken[i].append(key)
        if against_base and not is_finite(own):
            lost.append(key)
            continue
        rounding = [_rounding(origin, model.origins.get(key)) for model in models]
        moments = layers.setdefault(layer_of(key), Moments.none(len(models)))
        moments.add(own if against_base else None, finite, rounding)
    return layers, integers, broken, lost


def _fits(base: Origin, model: Origin | None) -> bool:
    """May two tensors be compared: one shape, and both floating or neither?"""
    return (
        model is not None
        and base.shape == model.shape
        and base.dtype.is_floating_point == model.dtype.is_floating_point
    )


def _if_finite(tensor: Tensor | None) -> Tensor | None:
    return tensor if tensor is not None and is_finite(tensor) else None


def _rounding(base: Origin, model: Origin | None) -> tuple[float, float]:
    if model is None or not model.dtype.is_floating_point:
        return 0.0, 0.0
    return rounding_of(model.dtype, base.dtype, model.folded, base.folded)


def _partners(
    name: str, lead: CanonicalTensors, model: CanonicalTensors, integers: Sequence[str], broken: Sequence[str]
) -> Partners:
    both = [key for key in lead.origins if key in model.origins]
    shared = [key for key in both if _fits(lead.origins[key], model.origins[key])]
    missing = [key for key in lead.origins if key not in model.origins]
    unknown = [key for key in model.origins if key not in lead.origins]
    fitting = set(shared)
    return Partners(
        model=name,
        shared=len(shared),
        shared_parameters=sum(lead.shape(key).numel() for key in shared),
        base_parameters=sum(origin.shape.numel() for origin in lead.origins.values()),
        missing=tuple(missing),
        unknown=tuple(unknown),
        mismatched=tuple(
            Mismatch(key, tuple(lead.shape(key)), tuple(model.shape(key))) for key in both if key not in fitting
        ),
        respelled=sum(lead.origins[key].keys != model.origins[key].keys for key in shared),
        prefix=_prefix(missing, unknown),
        integers=tuple(integers),
        non_finite=tuple(broken),
    )


def _prefix(missing: Sequence[str], unknown: Sequence[str]) -> str | None:
    """What would give most unknown names a partner: the prefix "+model." put before them, or "-model." cut off."""
    counts: Counter[str] = Counter()
    counts.update(f"+{prefix}" for prefix in _prefixes(missing, set(unknown)))
    counts.update(f"-{prefix}" for prefix in _prefixes(unknown, set(missing)))
    best, count = counts.most_common(1)[0] if counts else ("", 0)
    return best if count * 2 > len(unknown) else None


def _prefixes(longer: Iterable[str], shorter: set[str]) -> Iterable[str]:
    """The prefix of every longer name whose rest is a shorter one."""
    for key in longer:
        head, dot, rest = key.partition(".")
        if dot and rest in shorter:
            yield f"{head}."
