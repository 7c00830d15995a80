"""The chosen point as files: a checkpoint with its recipe and record, the options of an engine, the line to type."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.checkpoints.read_file import FORMATS
from evalkit.decisions.sweep.axes import shown
from evalkit.decisions.sweep.evaluating import Records
from evalkit.decisions.sweep.points import Point
from evalkit.decisions.sweep.preparing import Prepared
from evalkit.files import write_atomically
from evalkit.merging.adapted import is_adapter
from evalkit.merging.files import merge_files
from evalkit.merging.recipe import CANONICAL, Recipe


@dataclass(frozen=True)
class Winner:
    """file: the merged checkpoint, None where nothing is merged; recipe: beside it; options: of `evalkit run`."""

    file: Path | None
    recipe: Path | None
    options: tuple[str, ...]
    command: str


def save_winner(prepared: Prepared, point: Point, records: Records) -> Winner:
    """Write the chosen point into the sweep's folder. Raises EvalkitError where the disk is full."""
    folder = prepared.folder
    speaking = prepared.maker.speaking(point, (), prepared.spec)
    options = [part for axis, value in point.by_axis().items() if axis.kind == "setting"
               for part in ("--set", f"{axis.target}={shown(value)}")]  # fmt: skip
    if any(axis.kind in ("voice", "voice_s") for axis in point.axes):
        options += ["--voice", str(speaking.voice.reference)]
    if any(axis.kind == "setting" for axis in point.axes):
        write_atomically(folder / "settings.toml", _settings(point))
    if prepared.subject.content is None:
        return Winner(None, None, tuple(options), _command(prepared.subject.path, prepared, options))
    recipe = _absolute(prepared.maker.recipe(point))
    text = _as_yaml(recipe, point)
    file = folder / f"winner{_suffix(recipe)}"
    known = records.find("winner", "file")
    if known is None or known["recipe"] != text or not file.exists():
        merge_files(recipe, file, text, overwrite=True)
        write_atomically(folder / "recipe.yaml", text)
        records.keep("winner", "file", {"recipe": text})
    return Winner(file, folder / "recipe.yaml", tuple(options), _command(file, prepared, options))


def _command(path: Path, prepared: Prepared, options: list[str]) -> str:
    return shlex.join(["evalkit", "run", str(path), "--suite", prepared.wanted.speaking.suite, *options])


def _suffix(recipe: Recipe) -> str:
    """That of the checkpoint whose layout the result has; none where that is a folder."""
    named = {model.name: model.path for model in recipe.models}
    whole = [path for path in named.values() if not is_adapter(path)]
    place = named.get(recipe.layout or "") or recipe.base or whole[0]
    if recipe.layout == CANONICAL:
        return ".pth"
    return "" if place.is_dir() else place.suffix if place.suffix in FORMATS else ".pth"


def _absolute(recipe: Recipe) -> Recipe:
    """With paths that hold wherever the recipe lies."""
    models = tuple(model.model_copy(update={"path": model.path.absolute()}) for model in recipe.models)
    base = None if recipe.base is None else recipe.base.absolute()
    return recipe.model_copy(update={"models": models, "base": base})


def _as_yaml(recipe: Recipe, point: Point) -> str:
    import yaml

    content: dict[str, Any] = {name: value for name, value in recipe.content().items() if value is not None}
    for model in content["models"]:
        for name in [name for name, value in model.items() if value is None or value == {}]:
            del model[name]
    written = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return f"# Chosen by evalkit sweep: {point.name.replace(chr(10), ' ')}\n{written}"


def _settings(point: Point) -> str:
    """As TOML, for whoever keeps settings in files; on the command line it is --set."""
    import json

    lines = [
        f"{axis.target} = {json.dumps(value, ensure_ascii=False)}"
        for axis, value in point.by_axis().items()
        if axis.kind == "setting"
    ]
    return "\n".join(lines) + "\n"
