"""The checkpoints of one training, in the order of their steps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evalkit.checkpoints import stem
from evalkit.checkpoints.folders import INDEX, NAMES
from evalkit.checkpoints.read_file import READ_FORMATS
from evalkit.errors import EvalkitError, some
from evalkit.merging.adapted import is_adapter
from evalkit.registry import ENGINES

Unit = Literal["step", "epoch", "place"]

# "step-00050", "checkpoint-1000", "epoch_3", "epoch=3-step=1500" (Lightning, where the step says more)
_NAMED = re.compile(r"(?:^|[^a-z])(steps?|checkpoint|ckpt|iter(?:ation)?s?|updates?|epochs?|ep)[^a-z0-9]*(\d+)", re.I)
_EPOCHS = ("ep", "epoch", "epochs")
_SHARD = re.compile(r"-\d+-of-\d+$")
_LEFTOVERS = ("optimizer", "scheduler", "rng_state", "scaler", "training_args")  # what trainers save beside weights


@dataclass(frozen=True)
class Candidate:
    """name: unique among the candidates; step: None where no name says it."""

    name: str
    path: Path
    step: int | None


@dataclass(frozen=True)
class Training:
    """Candidates in the order of training. unit: of the steps; "place": no names say them, the order given counts."""

    candidates: tuple[Candidate, ...]
    unit: Unit
    notice: str | None = None

    def at(self, candidate: Candidate) -> int:
        """Where on the axis a candidate stands."""
        if self.unit == "place" or candidate.step is None:
            return self.candidates.index(candidate) + 1
        return candidate.step


def read_training(paths: Sequence[Path]) -> Training:
    """What the arguments of `evalkit select` name; a folder of checkpoints stands for those in it.

    Raises EvalkitError for what does not exist, an empty folder, and a checkpoint that is named twice.
    """
    found = [path for given in paths for path in _expanded(given)]
    twice = [str(path) for path, count in Counter(path.resolve() for path in found).items() if count > 1]
    if twice:
        raise EvalkitError(f"{some(twice)}: named twice; name every checkpoint once.")
    steps, unit = _steps([stem(path) for path in found])
    named = zip(_names(found), found, steps, strict=True)
    candidates = [Candidate(name, path, step) for name, path, step in named]
    if unit == "place":
        why = "no step is in the name of every checkpoint, or two share one: they count in the order given."
        return Training(tuple(candidates), unit, f"Steps: {why}" if len(candidates) > 1 else None)
    return Training(tuple(sorted(candidates, key=lambda one: one.step or 0)), unit)


def step_of(name: str) -> tuple[int, Unit] | None:
    """The step in a name, and whether it counts steps or epochs; the last number of a name that says neither."""
    said = [(word.lower(), int(number)) for word, number in _NAMED.findall(name)]
    steps = [number for word, number in said if word not in _EPOCHS]
    if steps:
        return steps[-1], "step"
    if said:
        return said[-1][1], "epoch"
    numbers = re.findall(r"\d+", name)
    return (int(numbers[-1]), "step") if numbers else None


def _steps(names: Sequence[str]) -> tuple[list[int | None], Unit]:
    found = [step_of(name) for name in names]
    known = [one for one in found if one is not None]
    units = {unit for _, unit in known}
    if len(known) < len(names) or len(units) != 1 or len({step for step, _ in known}) < len(names):
        return [None] * len(names), "place"
    return [step for step, _ in known], units.pop()


def _expanded(path: Path) -> list[Path]:
    if not path.exists():
        raise EvalkitError(f"The checkpoint {path} does not exist.")
    if path.is_file() or _is_one(path):
        return [path]
    inside = sorted(one for one in path.iterdir() if _is_one(one))
    if not inside:
        raise EvalkitError(f"The folder {path} holds no checkpoints: name files, or folders such as checkpoint-1000/.")
    return inside


def _is_one(path: Path) -> bool:
    """True for a file of weights, and for a folder that is one checkpoint: an adapter, or as Hugging Face saves it.

    A folder in which several files of weights lie side by side is a folder of checkpoints.
    """
    if path.is_file():
        return path.suffix.lower() in _suffixes() and not path.stem.startswith((".", *_LEFTOVERS))
    if not path.is_dir():
        return False
    if is_adapter(path) or any((path / name).is_file() for name in NAMES):
        return True
    weights = [one for one in path.iterdir() if one.is_file() and _is_one(one) and not _SHARD.search(one.stem)]
    indices = [one for one in path.iterdir() if one.name.endswith(INDEX)]
    unnamed = len(weights) == 1 and step_of(weights[0].stem) is None  # the folder's name says the step
    return len(indices) == 1 or (unnamed and step_of(path.name) is not None)


def _suffixes() -> set[str]:
    """What evalkit reads, and what the engines' own runtimes do (.gguf)."""
    own = (suffix for name in ENGINES.names() for suffix in ENGINES.load(name).spec.suffixes)
    return {*READ_FORMATS, *own}


def _names(paths: Sequence[Path]) -> list[str]:
    """The checkpoints' names; with as many folders before them as it takes to tell them apart."""
    for parts in range(1, 8):
        names = ["/".join([*path.resolve().parts[-parts:-1], stem(path)]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
