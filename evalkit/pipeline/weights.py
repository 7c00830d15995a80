"""The weights that a run speaks with: a checkpoint, a LoRA adapter on its base, or a merge made in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from evalkit.checkpoints import canonical, read_checkpoint
from evalkit.checkpoints.read_file import RECIPES
from evalkit.checkpoints.safe_archive import sha256_sound
from evalkit.errors import EvalkitError
from evalkit.files import folder_of
from evalkit.merging.adapted import is_adapter
from evalkit.merging.files import merge_recipe
from evalkit.merging.lora_config import find_base
from evalkit.merging.recipe import Model, Recipe, read_recipe


@dataclass(frozen=True)
class Weights:
    """Canonical weights; folded: keys whose weight norm was folded; record: where they come from, for the manifest.

    near: folders in which an engine's other files may lie, such as a vocabulary: the checkpoint's, a merge's base's.
    """

    tensors: Mapping[str, Tensor]
    folded: tuple[str, ...]
    record: Mapping[str, Any]
    near: tuple[Path, ...]


@dataclass(frozen=True)
class Made:
    """Weights in memory under a name, to be evaluated as a checkpoint is.

    near: the checkpoint that they are made of, beside which a card and reference clips are looked for.
    """

    name: str
    weights: Weights
    near: Path | None = None


def read_weights(path: Path, base: Path | None = None) -> Weights:
    """Read what `evalkit run` was given: a checkpoint, an adapter's folder, or a recipe, which is merged in memory.

    base: of an adapter; by default the one it names. Raises EvalkitError if one is needed and not found, or given and
    not needed, and for everything that reading and merging refuse.
    """
    if is_adapter(path):
        return _merged(_adapter_recipe(path, base), "adapter")
    if base is not None:
        raise EvalkitError(f"--base {base}: {path} is no LoRA adapter; leave the base out.")
    if path.suffix.lower() in RECIPES:
        return _merged(read_recipe(path)[0], "recipe")
    checkpoint = read_checkpoint(path)
    if path.is_file():
        sha256_sound(path)  # a flipped bit would be a weight, and its scores the checkpoint's
    weights = canonical(checkpoint.tensors)
    return Weights(weights.tensors, weights.folded, {"format": checkpoint.format}, (folder_of(path),))


def _adapter_recipe(path: Path, base: Path | None) -> Recipe:
    found = base or find_base(path)
    if found is None:
        raise EvalkitError(f"{path} is a LoRA adapter whose base is not on this disk; name the base with --base.")
    return Recipe(base=found, models=(Model(path=path),))


def _merged(recipe: Recipe, kind: str) -> Weights:
    merged, parents = merge_recipe(recipe)
    folded = max(merged.report.folded.values(), key=len)
    merge = {"recipe": recipe.content(), "parents": parents, "counts": merged.report.counts()}
    near = tuple(dict.fromkeys(folder_of(place) for place in (recipe.base, *(m.path for m in recipe.models)) if place))
    return Weights(merged.tensors, folded, {"format": kind, "merge": merge}, near)
