"""An example's settings and assets, handed to an engine before it loads weights."""

from __future__ import annotations

from typing import TypeVar

from evalkit.engines.base import Engine, EngineSpec, Example, Setup, SetUpEngine
from evalkit.engines.setting_up import resolve
from evalkit.files import folder_of

E = TypeVar("E", bound=Engine)


def prepare(engine: E, example: Example) -> E:
    """Call `set_up` with the example's settings and assets, where the engine has it; returns the same engine.

    Raises EvalkitError for settings and assets that do not resolve, and whatever `set_up` raises.
    """
    if isinstance(engine, SetUpEngine):
        engine.set_up(setup_of(engine.spec, example))
    return engine


def setup_of(spec: EngineSpec, example: Example) -> Setup:
    """Every option with its value, and the assets that are named or lie beside the checkpoint."""
    checkpoint = example.checkpoint
    near = () if checkpoint is None else (folder_of(checkpoint),)
    return resolve(spec, example.settings, near)
