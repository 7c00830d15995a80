"""Recipes of base, sarah and sumit in a folder, for tests of merging files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evalkit.checkpoints import CanonicalTensors, fingerprint, read_checkpoint
from evalkit.merging.recipe import Recipe, make_recipe

VOICES = Path(__file__).parents[2] / "fixtures" / "voices"
SARAH_AND_SUMIT = {"sarah": 0.6, "sumit": 1.0}


def recipe(folder: Path, weights: dict[str, Any] = SARAH_AND_SUMIT, suffix: str = ".pth", **fields: Any) -> Recipe:
    models = [{"path": str(folder / f"{name}{suffix}"), "weight": weight} for name, weight in weights.items()]
    return make_recipe({"base": str(folder / f"base{suffix}"), "models": models, **fields}, "of the test")


def voices(weights: dict[str, Any] = SARAH_AND_SUMIT, **fields: Any) -> Recipe:
    return recipe(VOICES, weights, **fields)


def canonical(path: Path) -> CanonicalTensors:
    return CanonicalTensors(read_checkpoint(path).tensors)


def print_of(path: Path) -> str:
    return fingerprint(read_checkpoint(path).tensors)
