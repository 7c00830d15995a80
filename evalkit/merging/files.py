"""Merge checkpoint files as a recipe says."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evalkit.checkpoints import CanonicalTensors, Checkpoint, Origin, read_checkpoint, spell, write_checkpoint
from evalkit.checkpoints.folders import CONFIG
from evalkit.checkpoints.mapping import MappedFiles
from evalkit.checkpoints.read_file import FORMATS
from evalkit.checkpoints.safe_archive import sha256_sound
from evalkit.checkpoints.writing import remove_leftovers
from evalkit.checkpoints.writing_folder import write_folder
from evalkit.errors import EvalkitError
from evalkit.files import digest
from evalkit.merging.adapted import AdaptedTensors, check_ties, is_adapter
from evalkit.merging.align import BASE, Sources, keeper
from evalkit.merging.base import find_method
from evalkit.merging.lora import read_adapter
from evalkit.merging.merge import make_sources
from evalkit.merging.plan import Plan, Result, make_plan
from evalkit.merging.recipe import CANONICAL, Recipe
from evalkit.merging.record import as_metadata, is_merged_folder, make_record, write_record
from evalkit.merging.report import Merged, MergeReport, Tally, carry_out
from evalkit.registry import unknown


@dataclass(frozen=True)
class Opened:
    """A recipe with its files open: nothing of the weights was read yet.

    paths: name -> what was named; checkpoints: name -> file, without the adapters; files: name -> every file that was
    opened.
    """

    recipe: Recipe
    plan: Plan
    paths: Mapping[str, Path]
    checkpoints: Mapping[str, Checkpoint]
    files: Mapping[str, tuple[Path, ...]]


@dataclass(frozen=True)
class MergedFile:
    """What `merge_files` wrote."""

    path: Path
    record: Mapping[str, Any]
    report: MergeReport


def open_recipe(recipe: Recipe) -> Opened:
    """Open the files of a recipe and think the merge through. Raises EvalkitError on everything that cannot work."""
    paths = ({BASE: recipe.base} if recipe.base is not None else {}) | {m.name: m.path for m in recipe.models}
    adapters = [name for name, path in paths.items() if is_adapter(path)]
    if adapters and (recipe.base is None or BASE in adapters):
        raise EvalkitError(
            f"'{adapters[0]}' is a LoRA adapter; name the checkpoint that it was trained on as the base."
        )
    _check_coefficients(recipe)
    checkpoints = {name: read_checkpoint(path) for name, path in paths.items() if name not in adapters}
    base = checkpoints[BASE].tensors if BASE in checkpoints else None
    whole = {name: checkpoint.tensors for name, checkpoint in checkpoints.items() if name != BASE}
    sources = make_sources(base, whole, recipe.canonical)
    adapted = {name: AdaptedTensors(sources[BASE], read_adapter(paths[name])) for name in adapters}
    settings = checkpoints[BASE].extra.get(CONFIG, {}) if adapters else {}
    for name, tensors in adapted.items():
        check_ties(sources[BASE], tensors, paths[name], settings)
    ordered = {name: adapted[name] if name in adapted else sources[name] for name in paths}
    plan = make_plan(
        ordered,
        {model.name: model.weights() for model in recipe.models},
        recipe.method,
        recipe.parameters,
        recipe.seed,
        recipe.unmatched,
    )
    files = {name: checkpoint.files for name, checkpoint in checkpoints.items()}
    files |= {name: tuple(sorted(paths[name].glob("adapter_*"))) for name in adapters}
    return Opened(recipe, plan, paths, checkpoints, files)


def _check_coefficients(recipe: Recipe) -> None:
    """Raise EvalkitError for a coefficient that the method would not look at."""
    idle = next((model for model in recipe.models if model.weight is not None), None)
    if idle is not None and find_method(recipe.method).by_layer:
        raise EvalkitError(
            f"'{idle.name}' has the coefficient {idle.weight:g}, but '{recipe.method}' takes coefficients by layer "
            "only; say it as a layer pattern, such as '*'."
        )


def merge_recipe(recipe: Recipe) -> tuple[Merged, list[dict[str, Any]]]:
    """Merge as a recipe says, in memory: canonical float32 weights with their report, and the parents' records."""
    opened = open_recipe(recipe)
    with _hashing(opened) as hashes:
        return carry_out(opened.plan), _parents(opened, hashes)


def merge_files(recipe: Recipe, out: Path, text: str | None = None, overwrite: bool = False) -> MergedFile:
    """Merge as a recipe says and write the result, with a record of where it comes from.

    text: the recipe as it was written, to keep its comments. The peak of memory is about the size of the result:
    parents are mapped, and read tensor by tensor. Raises EvalkitError on bad input, and if `out` exists and may not be
    overwritten or is one of the parents; then nothing is written.
    """
    opened = open_recipe(recipe)
    layout = _Layout.of(opened)
    remove_leftovers(out)
    _check_target(out, opened, layout, overwrite)
    pages = MappedFiles.of(path for paths in opened.files.values() for path in paths)
    with _hashing(opened) as hashes:
        tally = Tally(opened.plan)
        written: dict[str, Tensor] = {}
        heads: dict[str, dict[str, Tensor]] = {}  # what others are tied to, and so written as the same object
        for result in tally.watch():
            names = layout.spelled(result)
            if result.key in opened.plan.ties:
                names = dict(zip(names, heads[opened.plan.ties[result.key]].values(), strict=True))
            elif result.key in opened.plan.ties.values():
                heads[result.key] = names
            written |= names
            _release(opened.plan.sources, result.key, pages)
        written = layout.ordered(written)
        report = tally.report()
        record = make_record(recipe, text, _parents(opened, hashes), report)
    if layout.makes_folder(out):
        write_folder(out, written, layout.file.path, as_metadata(record), overwrite)
    elif out.suffix == ".safetensors":
        write_checkpoint(out, written, metadata=as_metadata(record))
    else:
        write_checkpoint(
            out,
            written,
            sections=layout.sections(written),
            wrapper=layout.wrapper,
            before=lambda sha256, size: write_record(record, out, sha256, size),
        )
    return MergedFile(out, record, report)


@dataclass(frozen=True)
class _Layout:
    """Whose names, nesting and types the result has. source None: canonical ones, in float32."""

    plan: Plan
    source: CanonicalTensors | None
    file: Checkpoint
    dtype: torch.dtype | None

    @classmethod
    def of(cls, opened: Opened) -> _Layout:
        recipe, plan = opened.recipe, opened.plan
        name = recipe.layout or keeper(recipe.unmatched, list(plan.sources)) or next(iter(plan.sources))
        if name not in (CANONICAL, *opened.checkpoints):
            raise EvalkitError(unknown("layout", name, [CANONICAL, *opened.checkpoints]))
        dtype = getattr(torch, recipe.dtype) if recipe.dtype else None
        if name == CANONICAL:
            return cls(plan, None, next(iter(opened.checkpoints.values())), dtype)
        return cls(plan, plan.sources[name], opened.checkpoints[name], dtype)

    @property
    def is_folder(self) -> bool:
        return self.source is not None and self.file.path.is_dir()

    def makes_folder(self, out: Path) -> bool:
        """Whether the result is written as a folder: where the layout is one's, and `out` is not called like a file."""
        return self.is_folder and not out.suffix

    @property
    def wrapper(self) -> tuple[str, ...]:
        return () if self.source is None else self.file.wrapper

    def sections(self, keys: Mapping[str, Tensor]) -> tuple[str, ...]:
        """The top-level dicts of the result, those of copied tensors included; none for a flat layout."""
        if not self.file.sections:
            return ()
        found = dict.fromkeys(key.partition(".")[0] for key in keys)
        return tuple(dict.fromkeys((*(name for name in self.file.sections if name in found), *found)))

    def spelled(self, result: Result) -> dict[str, Tensor]:
        """The tensor under the names of the layout, or of a checkpoint that has it if the layout lacks it."""
        if self.source is None:
            plain = Origin((result.key,), result.tensor.shape, result.tensor.dtype)
            return spell(result.key, result.tensor, plain, (result.tensor,), self.dtype)
        source = self.source if result.key in self.source else self._holder(result)
        origin, like = source.origins[result.key], source.stored(result.key)
        stored = self.plan.sources[result.equals].stored(result.key) if result.equals and origin.folded else ()
        return spell(result.key, result.tensor, origin, like, self.dtype, stored)

    def ordered(self, written: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the order of the file whose layout it is; what it does not have comes last."""
        first = [key for key in self.file.tensors if key in written]
        return {key: written[key] for key in dict.fromkeys((*first, *written))}

    def _holder(self, result: Result) -> CanonicalTensors:
        return next(tensors for tensors in self.plan.sources.values() if result.key in tensors)


def _check_target(out: Path, opened: Opened, layout: _Layout, overwrite: bool) -> None:
    """Refuse, before any work, to write where it would fail or destroy something."""
    if out.suffix not in FORMATS and not layout.makes_folder(out):
        folder = ", or has no suffix where the layout is a folder's" if not out.suffix else ""
        raise EvalkitError(f"Cannot write {out}: a checkpoint ends in {', '.join(FORMATS)}{folder}.")
    if not out.parent.is_dir():
        raise EvalkitError(f"Cannot write {out}: the folder {out.parent} does not exist; make it first.")
    if not layout.makes_folder(out) and any(
        path.is_dir() and path.samefile(out.parent) for path in opened.paths.values()
    ):
        raise EvalkitError(
            f"Cannot write {out}: it would lie among the weights of the parent {out.parent}; choose another folder."
        )
    if not os.path.lexists(out):
        return
    inputs = [path for name, paths in opened.files.items() for path in (*paths, opened.paths[name])]
    places = {place for path in inputs for place in (path.resolve(), path.parent.resolve() / path.name)}
    if out.exists() and any(step.samefile(out) for place in places for step in (place, *place.parents)):
        raise EvalkitError(f"Cannot write {out}: it is one of the parents, or holds one; choose another name.")
    if not overwrite:
        raise EvalkitError(f"{out} exists; choose another name, or give --force to replace it.")
    if out.is_dir() and not out.is_symlink() and not (layout.makes_folder(out) and is_merged_folder(out)):
        raise EvalkitError(
            f"Cannot replace {out}: it is a folder, and not one that evalkit merge made; choose another name, or "
            "remove it yourself."
        )


def _release(sources: Sources, key: str, pages: MappedFiles) -> None:
    for tensors in sources.values():
        if key in tensors and not isinstance(tensors, AdaptedTensors):
            for part in tensors.stored(key):
                pages.release(part)


@contextmanager
def _hashing(opened: Opened) -> Iterator[Mapping[Path, Future[str]]]:
    """The sha256 of every file, computed, and its checksums checked, beside the merge."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="sha256")
    try:
        yield {path: pool.submit(sha256_sound, path) for paths in opened.files.values() for path in paths}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _parents(opened: Opened, hashes: Mapping[Path, Future[str]]) -> list[dict[str, Any]]:
    """name, path and sha256 of every checkpoint, the base first; of several files also the sha256 of each."""
    return [_parent(name, path, opened.files[name], hashes) for name, path in opened.paths.items()]


def _parent(name: str, path: Path, files: Sequence[Path], hashes: Mapping[Path, Future[str]]) -> dict[str, Any]:
    sums = {file.name: hashes[file].result() for file in files}
    record: dict[str, Any] = {"name": name, "path": str(path)}
    if len(sums) == 1:
        return record | {"sha256": next(iter(sums.values()))}
    return record | {"sha256": digest(sums), "files": sums}
