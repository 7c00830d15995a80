"""Every registered engine is held to the conformance suite; one with an environment of its own through the worker."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from evalkit.engines import EngineSpec
from evalkit.engines.base import ExampleEngine
from evalkit.engines.conformance import assert_conforms, prepare
from evalkit.engines.environments import look
from evalkit.engines.hosting import place_of, start, stop
from evalkit.engines.remote import RemoteEngine
from evalkit.engines.tinytts.engine import TinyTTS
from evalkit.errors import EvalkitError
from evalkit.registry import ENGINES

SPECS: dict[str, EngineSpec] = {name: ENGINES.load(name).spec for name in ENGINES.names()}
ISOLATED = [name for name, spec in SPECS.items() if spec.environment is not None]
HERE = [name for name in SPECS if name not in ISOLATED]


def test_engines_are_registered_under_their_own_names() -> None:
    assert {name: spec.name for name, spec in SPECS.items()} == {name: name for name in SPECS}


@pytest.mark.parametrize("name", HERE)
def test_it_conforms_in_this_process(name: str, tmp_path: Path) -> None:
    cls = ENGINES.load(name)
    if not isinstance(cls, type) or not issubclass(cls, ExampleEngine):
        pytest.skip(f"{name} has no example of itself")
    example = cls.example(tmp_path, 0)
    try:
        prepare(start(name), example)
    except EvalkitError as error:
        if "not installed" in str(error):
            pytest.skip(str(error))
        raise
    assert_conforms(lambda: prepare(start(name), example), example)


@pytest.mark.engines
@pytest.mark.parametrize("name", ISOLATED)
def test_it_conforms_in_its_environment(name: str, tmp_path: Path) -> None:
    environment = SPECS[name].environment
    assert environment is not None
    if look(environment).state != "ready":
        pytest.skip(f"the environment '{environment.name}' is not made: evalkit engines add {name}")
    assert place_of(SPECS[name]).python is not None
    engine = start(name)
    try:
        example = engine.example(tmp_path, 0)
    finally:
        stop(engine)
    assert_conforms(lambda: prepare(start(name), example), example)


def test_the_worker_changes_nothing(tmp_path: Path) -> None:
    example = TinyTTS.example(tmp_path, 0)
    target = ENGINES.entries()["tinytts"].value
    assert_conforms(lambda: RemoteEngine(TinyTTS.spec, target, Path(sys.executable)), example)
