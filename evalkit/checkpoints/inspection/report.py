"""What an inspection finds, as plain frozen values: `dataclasses.asdict` makes strict JSON of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["ok", "caution", "problem"]


@dataclass(frozen=True)
class Judgement:
    """One sentence with its figures and what to do. topic: what was asked, such as "conflict"."""

    level: Level
    topic: str
    says: str


@dataclass(frozen=True)
class File:
    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Spelling:
    """How the file names its tensors.

    nesting: "sections" or "flat"; wrapper: the dicts around the weights, outermost first; prefixes: those
    that canonical names lack -> how many keys have them; weight_norm: "old" (`weight_g`), "new" (`parametrizations`),
    "both" or "none"; folded: how many tensors it stands for.
    """

    nesting: str
    wrapper: tuple[str, ...]
    prefixes: Mapping[str, int]
    weight_norm: str
    folded: int


@dataclass(frozen=True)
class Section:
    """Canonical tensors under one top-level name. dtypes: as stored -> number of tensors."""

    name: str
    tensors: int
    parameters: int
    dtypes: Mapping[str, int]


@dataclass(frozen=True)
class NonFinite:
    """A tensor that holds NaN or infinity, and how many of each."""

    key: str
    nan: int
    inf: int


@dataclass(frozen=True)
class Contents:
    """What the stored tensors hold, by their names in the file.

    dtypes: name -> number of tensors; zeros, constant: tensors of more than one element that are all zero, or all one
    other value; tied: names of one and the same memory; equal: names of equal content in memory of their own, constant
    tensors left out.
    """

    dtypes: Mapping[str, int]
    non_finite: tuple[NonFinite, ...]
    zeros: tuple[str, ...]
    constant: tuple[str, ...]
    tied: tuple[tuple[str, ...], ...]
    equal: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Provenance:
    """The record that `evalkit merge` left. source: where it was found; matches: is it a record of this very file?

    matches is None where the record names no sha256, as inside a safetensors file.
    """

    source: str
    record: Mapping[str, Any]
    matches: bool | None


@dataclass(frozen=True)
class Inspection:
    """One checkpoint. parameters: elements of the canonical tensors; engine: the installed engine it belongs to;
    system: the known system it looks like, where no engine is installed; extra: what stands beside the tensors.
    """

    name: str
    path: str
    format: str
    files: tuple[File, ...]
    fingerprint: str
    spelling: Spelling
    engine: str | None
    system: str | None
    tensors: int
    parameters: int
    sections: tuple[Section, ...]
    contents: Contents
    extra: Mapping[str, Any]
    provenance: Provenance | None
    judgements: tuple[Judgement, ...]


@dataclass(frozen=True)
class Mismatch:
    key: str
    base: tuple[int, ...]
    model: tuple[int, ...]


@dataclass(frozen=True)
class Partners:
    """How a model's canonical names meet the base's, or those of the first model where there is no base.

    shared: names with one shape in both, with shared_parameters of the base's base_parameters elements; missing: only
    in the base; unknown: only in the model; respelled: shared names that the two files spell differently; prefix: what
    makes unknown names meet missing ones when it is put before ("+model.") or taken away ("-model."); integers: integer
    tensors that differ; non_finite: tensors with NaN or infinity in the model, left out of every figure.
    """

    model: str
    shared: int
    shared_parameters: int
    base_parameters: int
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    mismatched: tuple[Mismatch, ...]
    respelled: int
    prefix: str | None
    integers: tuple[str, ...]
    non_finite: tuple[str, ...]


@dataclass(frozen=True)
class VectorFigures:
    """One task vector, t - base, over a group of tensors; without a base the weights themselves.

    norm: its 2-norm; relative_norm: divided by the base's, None where the base is zero or missing; moved: share of
    elements that differ by more than storage rounds; mean_abs, max_abs: of the elements.
    """

    model: str
    elements: int
    norm: float
    relative_norm: float | None
    moved: float | None
    mean_abs: float | None
    max_abs: float


@dataclass(frozen=True)
class PairFigures:
    """Two task vectors over a group of tensors that both models have.

    cosine: of the vectors, None where one is zero; distance: ||a - b|| divided by the base's norm, or without a base by
    the root mean square of both norms; both_moved: elements that both moved; conflict: share of these whose signs
    differ; weighted_conflict: the same, each element weighted by |a||b|; standard_error: of weighted_conflict if signs
    were drawn independently (mean then 0.5). The last four are None without a base.
    """

    first: str
    second: str
    cosine: float | None
    distance: float | None
    both_moved: int | None
    conflict: float | None
    weighted_conflict: float | None
    standard_error: float | None


@dataclass(frozen=True)
class Group:
    """Figures of a layer, a section or everything. parameters: elements of the base in it that were compared."""

    name: str
    parameters: int
    vectors: tuple[VectorFigures, ...]
    pairs: tuple[PairFigures, ...]


@dataclass(frozen=True)
class VectorReport:
    """Several checkpoints against a base, or against each other where base is None. Layers are in the file's order.

    base_non_finite: tensors of the base with NaN or infinity, left out of every figure.
    """

    base: str | None
    base_non_finite: tuple[str, ...]
    models: tuple[str, ...]
    partners: tuple[Partners, ...]
    overall: Group
    sections: tuple[Group, ...]
    layers: tuple[Group, ...]
    judgements: tuple[Judgement, ...]
