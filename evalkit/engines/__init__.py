"""TTS engines: the protocol and the built-in plugins."""

from evalkit.engines.base import Engine, EngineSpec, Layout, Request, Speech, StreamingEngine, Voice
from metrics.options import Option

__all__ = ["Engine", "EngineSpec", "Layout", "Option", "Request", "Speech", "StreamingEngine", "Voice"]
