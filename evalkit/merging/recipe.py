"""Recipes: a merge as a YAML file that can be read, kept and repeated."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from evalkit.checkpoints import stem
from evalkit.checkpoints.safe_keys import shown
from evalkit.errors import EvalkitError
from evalkit.merging.align import BASE, ERROR
from evalkit.merging.weights import LayerWeights, Weight

INT, FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
LARGEST = 2**20  # bytes; a recipe is a page of text
CANONICAL = "canonical"

Dtype = Literal["float32", "float16", "bfloat16"]
# Strict: `yes` is no coefficient of 1, and text no number.
Number = Annotated[float, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(_Strict):
    """A parent: a checkpoint, or a LoRA adapter of the base."""

    path: Path
    name: str = ""  # how the recipe, the report and `unmatched` call it; the file's stem if not given
    weight: Number | None = None  # coefficient where no layer pattern matches; 1 if not given
    layers: dict[str, Number] = Field(default_factory=dict)  # pattern -> coefficient; the first that matches counts

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        if isinstance(given, dict) and not given.get("name") and isinstance(given.get("path"), str | Path):
            return {**given, "name": stem(Path(given["path"]))}
        return given

    def weights(self) -> Weight:
        return LayerWeights(1.0 if self.weight is None else self.weight, self.layers)


class Recipe(_Strict):
    """Everything that a merged checkpoint depends on, besides the bytes of its parents.

    layout: whose names, nesting and types the file has: "base", a model's name, or "canonical" (effective weights in
    float32 under evalkit's names). None: that of the checkpoint that unmatched tensors are kept from, else the base's,
    else the first model's. dtype: another type for floating tensors. canonical: false merges tensors as the files spell
    them.
    """

    version: Literal[1] = 1
    method: str = "task_arithmetic"
    base: Path | None = None
    models: tuple[Model, ...] = Field(min_length=1)
    parameters: dict[str, bool | int | float | str] = Field(default_factory=dict)
    seed: Whole = 0
    unmatched: str = ERROR
    canonical: Annotated[bool, Field(strict=True)] = True
    layout: str | None = None
    dtype: Dtype | None = None

    @field_validator("models")
    @classmethod
    def _distinct(cls, models: tuple[Model, ...]) -> tuple[Model, ...]:
        names = [model.name for model in models]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two models are called '{twice}'; give one of them another name")
        if BASE in names:
            raise ValueError(f"a model cannot be called '{BASE}', which is the base's own name; give it another one")
        return models

    def content(self) -> dict[str, Any]:
        """The recipe as JSON-able data, defaults included."""
        return self.model_dump(mode="json")


def read_recipe(path: Path) -> tuple[Recipe, str]:
    """The recipe in a YAML file, and its text. Paths in it are relative to its folder.

    Raises EvalkitError in one sentence for a file that is missing, no YAML, or says what a recipe cannot.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait forever
            raise EvalkitError(f"The recipe {path} is no file; name the .yaml itself.")
        if status.st_size > LARGEST:
            raise EvalkitError(f"The recipe {path} is larger than a megabyte; is it a recipe?")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise EvalkitError(f"The recipe {path} does not exist; check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise EvalkitError(f"The recipe {path} cannot be read as text ({error}).") from error
    recipe = make_recipe(parse_yaml(text, path), str(path))
    folder = path.parent
    models = tuple(model.model_copy(update={"path": folder / model.path}) for model in recipe.models)
    base = None if recipe.base is None else folder / recipe.base
    return recipe.model_copy(update={"models": models, "base": base}), text


def make_recipe(content: Any, origin: str) -> Recipe:
    """A recipe of parsed content. Raises EvalkitError naming the field that is wrong. origin: where it comes from."""
    if not isinstance(content, dict):
        raise EvalkitError(f"The recipe {origin} is not a mapping of names to values; see evalkit merge --help.")
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = shown(".".join(str(part) for part in first["loc"]) or "it")
        reason = first["msg"].removeprefix("Value error, ")
        raise EvalkitError(f"The recipe {origin} is wrong at '{place}': {reason}.") from error


def parse_yaml(text: str, path: Path) -> Any:
    """Plain data only, and no aliases: a short text with them can stand for terabytes.

    Numbers are those of YAML 1.2: `1:30` is text, not the 90 that YAML 1.1 makes of it, `010` is ten, `1e-3` a number.
    Raises EvalkitError for what is no YAML, and for a name that stands twice: only the last would count.
    """
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.events.AliasEvent):
                raise EvalkitError(f"The recipe {path} uses a YAML alias ('*{event.anchor}'); write its content out.")
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that is none
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or type(error).__name__
        raise EvalkitError(f"The recipe {path} is not YAML{where}: {problem}.") from error


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses names that stand twice, and reads numbers as YAML 1.2 does (10.3.2, core schema)."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (INT, FLOAT)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names: set[str] = set()
        for name, _ in node.value:
            if isinstance(name, yaml.ScalarNode):  # others are refused below: they cannot be looked up
                if name.value in names:
                    problem = f"'{shown(name.value)}' stands there twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, name.start_mark)
                names.add(name.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _whole(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


_Loader.add_implicit_resolver(INT, re.compile(r"[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    FLOAT,
    re.compile(
        r"(?:[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+.0123456789"),
)
_Loader.add_constructor(INT, _whole)
