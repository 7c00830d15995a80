"""What is swept over: a merge recipe that may hold placeholders, or a checkpoint as it is."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalkit.checkpoints import stem
from evalkit.checkpoints.read_file import RECIPES
from evalkit.decisions.sweep.axes import Axis, Value, shown
from evalkit.errors import EvalkitError
from evalkit.files import disk_errors, folder_of
from evalkit.merging.adapted import is_adapter
from evalkit.merging.recipe import LARGEST, Recipe, make_recipe, parse_yaml

PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_.-]*)\}")
GREEK = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa")


@dataclass(frozen=True)
class Subject:
    """path: as it was given; content: of a recipe, before its placeholders are filled; None for a checkpoint.

    base: of an adapter, if not the one it names.
    """

    path: Path
    content: Mapping[str, Any] | None = None
    base: Path | None = None

    @property
    def name(self) -> str:
        return stem(self.path)

    def models(self) -> list[str]:
        """Names of the recipe's models, as an axis may call them."""
        found = []
        for model in (self.content or {}).get("models", ()):
            name, path = model.get("name"), model.get("path")
            found.append(str(name) if name else stem(Path(str(path))) if path else "")
        return found

    def placeholders(self) -> list[str]:
        """Names between `${` and `}`, in their order."""
        texts = _texts(self.content) if self.content is not None else ()
        return list(dict.fromkeys(name for text in texts for name in PLACEHOLDER.findall(text)))

    def recipe(self, values: Mapping[Axis, Value], adapters: Mapping[int, Path] | None = None) -> Recipe:
        """The recipe with these values in it. adapters: model's place -> the folder that stands in for it.

        Raises EvalkitError where the result is no recipe.
        """
        assert self.content is not None, "a checkpoint has no recipe"
        fillings = {axis.name: value for axis, value in values.items() if axis.kind == "placeholder"}
        content = _filled(copy.deepcopy(dict(self.content)), fillings)
        for axis, value in values.items():
            if axis.kind == "coefficient":
                content["models"][axis.model]["weight"] = value
            elif axis.kind == "layer":
                content["models"][axis.model]["layers"] = _with_layer(
                    content["models"][axis.model].get("layers") or {}, axis.target, value
                )
            elif axis.kind == "parameter":
                content["parameters"] = {**(content.get("parameters") or {}), axis.target: value}
        recipe = make_recipe(content, str(self.path))
        folder = self.path.parent
        models = [model.model_copy(update={"path": folder / model.path}) for model in recipe.models]
        for place, path in (adapters or {}).items():
            models[place] = models[place].model_copy(update={"path": path})
        base = None if recipe.base is None else folder / recipe.base
        return recipe.model_copy(update={"models": tuple(models), "base": base})


def read_subject(path: Path, base: Path | None = None) -> Subject:
    """Raises EvalkitError for what is not there or no recipe; whether it can be merged is seen later."""
    if path.suffix.lower() in RECIPES:
        if base is not None:
            raise EvalkitError(f"--base {base}: {path} is a recipe, which names its base itself; leave it out.")
        return Subject(path, _read(path))
    if not path.exists():
        raise EvalkitError(f"There is no {path}; name a merge recipe (.yaml), a checkpoint or an adapter's folder.")
    return Subject(path, None, base)


def near(recipe: Recipe) -> tuple[Path, ...]:
    """Folders in which an engine's other files may lie, the base's first."""
    places = (recipe.base, *(model.path for model in recipe.models))
    return tuple(dict.fromkeys(folder_of(place) for place in places if place is not None))


def truncated(recipe: Recipe, place: int, rank: int, folder: Path) -> Path:
    """The recipe's adapter cut to a rank by its largest singular values, written into a folder that is returned.

    Raises EvalkitError for an adapter of a smaller rank, and one that is more than low-rank updates.
    """
    from evalkit.merging.lora import read_adapter
    from evalkit.merging.lora_svd import compress
    from evalkit.merging.lora_update import require_plain
    from evalkit.merging.lora_write import write_adapter

    path = recipe.models[place].path
    adapter = read_adapter(path)
    require_plain(adapter, "cut to a rank")
    own = max(update.rank for update in adapter.updates.values())
    if not 1 <= rank <= own:
        raise EvalkitError(f"The adapter {path} has rank {own}; an axis 'rank' takes whole numbers from 1 to {own}.")
    if rank == own:
        return path
    target = folder / f"{stem(path)}-rank{rank}"
    if not is_adapter(target):
        updates, kept = {}, {}
        for module, update in adapter.updates.items():
            updates[module], kept[module] = (update, 1.0) if update.rank <= rank else compress(update, rank)
        write_adapter(target, replace(adapter, updates=updates, kept=kept), "")
    return target


def own_rank(path: Path) -> int:
    from evalkit.merging.lora import read_adapter

    return max(update.rank for update in read_adapter(path).updates.values())


def _read(path: Path) -> Mapping[str, Any]:
    """As `read_recipe`, before anything is checked: a placeholder stands where a number belongs."""
    try:
        if not path.is_file():
            raise EvalkitError(f"The recipe {path} does not exist; check the path.")
        if path.stat().st_size > LARGEST:
            raise EvalkitError(f"The recipe {path} is larger than a megabyte; is it a recipe?")
        with disk_errors(path):
            text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise EvalkitError(f"The recipe {path} cannot be read as text ({error}).") from error
    content = parse_yaml(text, path)
    if not isinstance(content, dict):
        raise EvalkitError(f"The recipe {path} is not a mapping of names to values; see evalkit merge --help.")
    _check_form(content, path)
    return content


def _check_form(content: Mapping[str, Any], path: Path) -> None:
    """As much as axes need to find their places; the rest is checked when the placeholders are filled."""
    models = content.get("models")
    if not isinstance(models, list) or not models or not all(isinstance(model, dict) for model in models):
        raise EvalkitError(f"The recipe {path} is wrong at 'models': list each model with its path.")
    for place, model in enumerate(models):
        if not isinstance(model.get("layers") or {}, dict):
            raise EvalkitError(f"The recipe {path} is wrong at 'models.{place}.layers': write PATTERN: COEFFICIENT.")
    if not isinstance(content.get("parameters") or {}, dict):
        raise EvalkitError(f"The recipe {path} is wrong at 'parameters': write NAME: VALUE.")


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _texts(value)
    elif isinstance(content, str):
        yield content


def _filled(content: Any, values: Mapping[str, Value]) -> Any:
    """A text that is one placeholder and nothing else becomes the value itself, a number then."""
    if isinstance(content, Mapping):
        return {_filled(key, values): _filled(value, values) for key, value in content.items()}
    if isinstance(content, list):
        return [_filled(value, values) for value in content]
    if not isinstance(content, str):
        return content
    whole = PLACEHOLDER.fullmatch(content)
    if whole and whole[1] in values:
        return values[whole[1]]
    return PLACEHOLDER.sub(lambda found: shown(values[found[1]]) if found[1] in values else found[0], content)


def _with_layer(layers: Mapping[str, Any], pattern: str, value: Value) -> dict[str, Any]:
    """A pattern that is there keeps its place; another goes first, as the first that matches counts."""
    return {**layers, pattern: value} if pattern in layers else {pattern: value, **layers}
