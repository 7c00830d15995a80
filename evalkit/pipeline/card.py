"""`<checkpoint>.toml` beside a checkpoint: what belongs to it and is not in its weights."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.checkpoints import stem
from evalkit.errors import EvalkitError

KEYS = {"reference", "description", "voice", "voice_text"}


@dataclass(frozen=True)
class Card:
    """path: of the card; reference: clips of the speaker; voice, voice_text: as --voice and --voice-text take them."""

    path: Path | None = None
    reference: Path | None = None
    voice: str | None = None
    voice_text: str | None = None


def read_card(checkpoint: Path | None) -> Card:
    """The card of a checkpoint, an empty one where there is none. Raises EvalkitError for a bad one.

    Paths in it are relative to it; a mix of voices (`a.pt:0.7,b.pt:0.3`) is one path after the other; a voice without
    a dot in it that is no file is a name.
    """
    if checkpoint is None:
        return Card()
    named = checkpoint if checkpoint.name not in ("", "..") else checkpoint.resolve()  # "." is a folder too
    path = named.with_name(f"{stem(named)}.toml")
    if not path.is_file():
        return Card()
    content = _content(path)
    reference, voice = content.get("reference"), content.get("voice")
    return Card(
        path,
        path.parent / reference if reference else None,
        ",".join(_place(path.parent, part.strip()) for part in voice.split(",")) if voice else None,
        content.get("voice_text"),
    )


def _place(folder: Path, voice: str) -> str:
    """A file beside the card, or a name that the engine knows ("emily")."""
    return str(folder / voice) if "." in voice or (folder / voice).exists() else voice


def _content(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise EvalkitError(f"{path} is not valid TOML ({error}): mend it or remove it.") from error
    extra = content.keys() - KEYS
    if extra:
        raise EvalkitError(f"{path} has the unknown key '{min(extra)}': known are {', '.join(sorted(KEYS))}.")
    if wrong := [key for key, value in content.items() if not isinstance(value, str)]:
        raise EvalkitError(f"{path}: '{wrong[0]}' must be text in quotes.")
    return content
