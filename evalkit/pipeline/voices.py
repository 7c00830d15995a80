"""Whose voice a run speaks with: named by the user, by the checkpoint's card, or the reference clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.engines import Engine, Voice
from evalkit.errors import EvalkitError
from evalkit.files import read_text
from evalkit.pipeline.card import read_card


@dataclass(frozen=True)
class VoiceChoice:
    """reference: what --voice takes; text: what is said in it, or a file that holds that."""

    reference: str | None = None
    text: str | None = None


NO_CHOICE = VoiceChoice()


def prepare_voice(
    engine: Engine, given: VoiceChoice, checkpoint: Path | None, references: Sequence[Path]
) -> Voice | None:
    """The engine's voice, or None where it needs none and none was named.

    Without --voice, the card `<checkpoint>.toml` may name one (`voice`, `voice_text`), else the first reference clip
    is taken where a voice is a clip; the clip's text may lie beside it (`clip.txt` of `clip.wav`). Raises EvalkitError
    if a voice is needed and there is none, or its text is not known, or the engine takes none, and for an empty name.
    """
    spec = engine.spec
    _check(given)
    card = read_card(checkpoint)
    named = given.reference or (card.voice if spec.needs_voice or spec.voice else None)
    if named is None and spec.needs_voice and spec.voice_is_clip and references:
        named = str(references[0])
    if named is None:
        if not spec.needs_voice:
            if given.text is not None:
                hint = ", or name the voice with --voice" if spec.voice else ""
                raise EvalkitError(
                    f"--voice-text is what is said in a voice, and '{spec.name}' is given none: leave it out{hint}."
                )
            return None
        raise EvalkitError(
            f"The engine '{spec.name}' needs a voice, {spec.voice or 'a clip of the speaker'}: name it with --voice."
        )
    if not spec.needs_voice and not spec.voice and spec.weights != "none":
        raise EvalkitError(f"The engine '{spec.name}' has one voice, which is in its weights: leave --voice out.")
    text = _text(given.text or (card.voice_text if given.reference is None else None), Path(named))
    if text is None and spec.needs_voice_text and Path(named).is_file():  # else the engine knows it by its name
        raise EvalkitError(
            f"The engine '{spec.name}' must know what is said in the voice {named}: give --voice-text 'WORDS', "
            f"or write them into {Path(named).with_suffix('.txt')}."
        )
    return engine.prepare_voice(Path(named), text)  # an engine without weights says itself which voices it has


def _check(given: VoiceChoice) -> None:
    if given.reference is not None and not Path(given.reference.strip()).name:
        raise EvalkitError(f"--voice '{given.reference}' names no voice: name one, or leave it out.")
    if given.text is not None and not given.text.strip():
        raise EvalkitError("--voice-text is empty: give the words that are said in the voice, or leave it out.")


def _text(given: str | None, clip: Path) -> str | None:
    """The words as given, out of the file that is given, or out of the file beside the clip."""
    beside = clip.with_suffix(".txt")
    if given is None:
        return read_text(beside).strip() if beside.is_file() else None
    if given.endswith(".txt"):
        if not Path(given).is_file():
            raise EvalkitError(f"--voice-text {given}: the file cannot be read, as there is none.")
        return read_text(Path(given)).strip()
    return given
