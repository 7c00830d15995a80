"""TTS engines: the protocol and the built-in plugins."""

from evalkit.engines.base import (
    Asset,
    Engine,
    EngineSpec,
    Environment,
    Example,
    Layout,
    Request,
    Setup,
    Speech,
    StreamingEngine,
    Voice,
)
from metrics.options import Option

__all__ = [
    "Asset",
    "Engine",
    "EngineSpec",
    "Environment",
    "Example",
    "Layout",
    "Option",
    "Request",
    "Setup",
    "Speech",
    "StreamingEngine",
    "Voice",
]
