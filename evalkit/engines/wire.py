"""Requests, speeches and specs as JSON has them, for an engine in another process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from evalkit.engines.base import EngineSpec, Example, Request, Speech, Voice

# What an engine may know better about itself than its class does: all that is not a structure.
_STRUCTURES = ("layouts", "options", "assets", "environment")
LIVE = tuple(field.name for field in fields(EngineSpec) if field.name not in _STRUCTURES)


def spec_out(spec: EngineSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in LIVE}


def spec_in(declared: EngineSpec, live: Mapping[str, Any]) -> EngineSpec:
    """The declared spec with what the engine in use says of itself."""
    known: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in live.items()}
    return replace(declared, **known)


def request_out(request: Request) -> dict[str, Any]:
    """A voice crosses as its digest; what it is made of stays where it was prepared."""
    return {
        "id": request.id,
        "text": request.text,
        "seed": request.seed,
        "voice": request.voice.digest if request.voice else None,
        "phonemes": request.phonemes,
        "options": dict(request.options),
        "readings": dict(request.readings),
    }


def request_in(given: Mapping[str, Any], voices: Mapping[str, Voice]) -> Request:
    voice = voices[given["voice"]] if given["voice"] is not None else None
    return Request(**{**given, "voice": voice})


def speech_out(speech: Speech) -> dict[str, Any]:
    """All but the audio."""
    names = ("id", "status", "reason", "phonemes", "seconds")
    return {**{name: getattr(speech, name) for name in names}, "details": dict(speech.details)}


def speeches_in(given: Sequence[Mapping[str, Any]], clips: Sequence[Tensor]) -> list[Speech]:
    return [Speech(audio=clip, **speech) for speech, clip in zip(given, clips, strict=True)]


def example_out(example: Example) -> dict[str, Any]:
    return {**asdict(example), "checkpoint": str(example.checkpoint) if example.checkpoint else None}


def example_in(given: Mapping[str, Any]) -> Example:
    return Example(
        Path(given["checkpoint"]) if given["checkpoint"] else None,
        tuple(given["texts"]),
        given["voice"],
        given["voice_text"],
        tuple(given["settings"]),
    )
