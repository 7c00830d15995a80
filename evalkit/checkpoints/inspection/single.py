"""Inspect one checkpoint: what it is, whose it is, what it holds, how it was made."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from evalkit.checkpoints.canonical import AVERAGE, OLD_HALF, WRAPPERS, CanonicalTensors, fingerprint, is_finite
from evalkit.checkpoints.inspection.contents import scan, sections_of
from evalkit.checkpoints.inspection.provenance import METADATA_KEY, find_record
from evalkit.checkpoints.inspection.report import Contents, File, Inspection, Judgement, NonFinite, Spelling
from evalkit.checkpoints.layouts import FOREIGN, recognise
from evalkit.checkpoints.read_file import stem
from evalkit.checkpoints.reading import Checkpoint, read_checkpoint
from evalkit.checkpoints.safe_archive import sha256_sound
from evalkit.errors import EvalkitError
from evalkit.registry import ENGINES

PREFIXES = (*WRAPPERS, AVERAGE)
ADAPTER = ".lora_"
SHOWN = 3
LONGEST_EXTRA = 200  # characters of a text that stands beside the tensors


Read = Callable[[Path], Checkpoint]


def inspect_checkpoint(path: Path, name: str | None = None, read: Read = read_checkpoint) -> Inspection:
    """Read a checkpoint and look at every tensor once; memory for one tensor at a time.

    name: what to call it, by default the file's stem or the folder's name; read: what opens it. Raises EvalkitError as
    `read_checkpoint` does, and for weight norm that cannot be folded.
    """
    checkpoint = read(path)
    try:
        weights = CanonicalTensors(checkpoint.tensors)
    except EvalkitError as error:
        raise EvalkitError(f"{path}: {error}") from error
    files = tuple(_file(part) for part in checkpoint.files)
    contents = scan(checkpoint.tensors)
    contents = replace(contents, non_finite=(*contents.non_finite, *_unfoldable(weights, contents)))
    engine, system, unknown = _belongs_to(weights)
    provenance, doubts = find_record(path, files, checkpoint.extra)
    return Inspection(
        name=name or stem(path),
        path=str(path),
        format=checkpoint.format,
        files=files,
        fingerprint=fingerprint(checkpoint.tensors),
        spelling=_spelling(checkpoint, weights),
        engine=engine,
        system=system,
        tensors=len(checkpoint.tensors),
        parameters=sum(origin.shape.numel() for origin in weights.origins.values()),
        sections=sections_of(weights),
        contents=contents,
        extra={key: _plain(value) for key, value in checkpoint.extra.items() if key != METADATA_KEY},
        provenance=provenance,
        judgements=(*_numbers(contents), *unknown, *doubts),
    )


def _unfoldable(weights: CanonicalTensors, contents: Contents) -> list[NonFinite]:
    """Effective weights that are not finite although both of their halves are: a direction of zeros has no length."""
    broken = {found.key for found in contents.non_finite}
    folded = [key for key in weights.folded if not broken.intersection(weights.origins[key].keys)]
    made = ((key, weights[key]) for key in folded)
    return [NonFinite(key, int(w.isnan().sum()), int(w.isinf().sum())) for key, w in made if not is_finite(w)]


def _file(path: Path) -> File:
    try:
        return File(str(path), path.stat().st_size, sha256_sound(path))
    except OSError as error:
        raise EvalkitError(f"The checkpoint {path} cannot be read: {error.strerror or error}.") from error


def _spelling(checkpoint: Checkpoint, weights: CanonicalTensors) -> Spelling:
    parts = [set(key.split(".")) for key in weights.stripped]
    prefixes = {f"{prefix}.": count for prefix in PREFIXES if (count := sum(prefix in names for names in parts))}
    halves = [weights.origins[key].keys[0] for key in weights.folded]
    spellings = {"old" if OLD_HALF.match(half) else "new" for half in halves}
    norm = "both" if len(spellings) == 2 else next(iter(spellings), "none")
    nesting = "sections" if checkpoint.sections else "flat"
    return Spelling(nesting, checkpoint.wrapper, prefixes, norm, len(weights.folded))


def _belongs_to(weights: Mapping[str, Tensor]) -> tuple[str | None, str | None, tuple[Judgement, ...]]:
    """(installed engine, known system without one, why there is no engine)."""
    if any(ADAPTER in key for key in weights):
        return None, "LoRA adapter", ()
    try:
        layouts = {name: ENGINES.load(name).spec.layouts for name in ENGINES.names()}
        return recognise(weights.keys(), layouts), None, ()
    except EvalkitError as error:
        system = next((name for name, looks_like in FOREIGN.items() if looks_like(weights.keys())), None)
        return None, system, (Judgement("caution", "engine", str(error)),)


def _numbers(contents: Contents) -> tuple[Judgement, ...]:
    """What is wrong with the stored numbers."""
    broken = contents.non_finite
    if not broken:
        return (Judgement("ok", "numbers", "Every number is finite."),)
    named = ", ".join(f"{found.key} ({found.nan} NaN, {found.inf} Inf)" for found in broken[:SHOWN])
    says = (
        f"{len(broken)} tensor(s) hold NaN or Inf: {named}{' and others' if len(broken) > SHOWN else ''}; "
        "the checkpoint is broken, take an earlier one or make it again."
    )
    return (Judgement("problem", "numbers", says),)


def _plain(value: Any) -> Any:
    """What stands beside the tensors, as strict JSON: scalars as they are, long text cut, anything else named."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, str):
        return value if len(value) <= LONGEST_EXTRA else f"{value[:LONGEST_EXTRA]}…"
    if isinstance(value, list | tuple | set):
        kinds = Counter(type(item).__name__ for item in value)
        return f"{type(value).__name__} of {len(value)} ({', '.join(kinds)})"
    return f"{value}" if isinstance(value, float) else type(value).__name__
