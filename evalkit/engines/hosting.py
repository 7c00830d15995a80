"""Where an engine runs: in this process, or in an environment of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.engines.base import Closing, Engine, EngineSpec
from evalkit.engines.environments import fits_here, look, python_of
from evalkit.engines.remote import UTTERANCE_S, RemoteEngine
from evalkit.errors import EvalkitError
from evalkit.registry import ENGINES


@dataclass(frozen=True)
class Place:
    """python: interpreter of the environment to run in, None for this process; problem: why it can run nowhere."""

    python: Path | None = None
    problem: str | None = None

    def describe(self) -> str:
        if self.problem:
            return "nowhere"
        return "this process" if self.python is None else f"environment {self.python.parents[1].name}"


def place_of(spec: EngineSpec) -> Place:
    """An environment that was made for the engine comes first: there a crash costs an item and not the run."""
    if spec.environment is None:
        return Place()
    found = look(spec.environment)
    if found.state == "ready":
        return Place(python_of(spec.environment))
    if fits_here(spec.environment):
        return Place()
    if found.state == "outdated":
        why = f"The environment of the engine '{spec.name}' was made from other requirements"
    else:
        package, version = next(iter(spec.environment.packages.items()))
        why = f"The engine '{spec.name}' needs {package} {version}, in an environment of its own"
    return Place(problem=f"{why}: evalkit engines add {spec.name}")


def start(name: str, device: str = "cpu", utterance_s: float = UTTERANCE_S, python: Path | None = None) -> Any:
    """An engine by its registered name, ready to be set up: an Engine in process, or a RemoteEngine, which is one too.

    python: another interpreter to run it with, which has the engine's packages and torch. Raises EvalkitError when
    the engine's packages are not there.
    """
    cls: Any = ENGINES.load(name)
    place = Place(python) if python is not None else place_of(cls.spec)
    if place.problem:
        raise EvalkitError(f"{place.problem}.")
    if place.python is None:
        return cls(device=device)
    return RemoteEngine(cls.spec, ENGINES.entries()[name].value, place.python, device, utterance_s)


def stop(engine: Engine) -> None:
    if isinstance(engine, Closing):
        engine.close()
