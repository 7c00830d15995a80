"""Whose voice a run speaks with: named by the user, by the checkpoint's card, or the reference clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.engines import Engine, Voice
from evalkit.errors import EvalkitError
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
    if a voice is needed and there is none, or its text is not known, or the engine takes none.
    """
    spec = engine.spec
    card = read_card(checkpoint)
    named = given.reference or (card.voice if spec.needs_voice or spec.voice else None)
    if named is None and spec.needs_voice and spec.voice_is_clip and references:
        named = str(references[0])
    if named is None:
        if not spec.needs_voice:
            return None
        raise EvalkitError(
            f"The engine '{spec.name}' needs a voice, {spec.voice or 'a clip of the speaker'}: name it with --voice."
        )
    if not spec.needs_voice and not spec.voice:
        raise EvalkitError(f"The engine '{spec.name}' has one voice, which is in its weights: leave --voice out.")
    text = _text(given.text or (card.voice_text if given.reference is None else None), Path(named))
    if text is None and spec.needs_voice_text and Path(named).is_file():  # else the engine knows it by its name
        raise EvalkitError(
            f"The engine '{spec.name}' must know what is said in the voice {named}: give --voice-text 'WORDS', "
            f"or write them into {Path(named).with_suffix('.txt')}."
        )
    return engine.prepare_voice(Path(named), text)


def _text(given: str | None, clip: Path) -> str | None:
    """The words as given, out of the file that is given, or out of the file beside the clip."""
    beside = clip.with_suffix(".txt")
    if given is None:
        return beside.read_text().strip() if beside.is_file() else None
    if given.endswith(".txt"):
        try:
            return Path(given).read_text().strip()
        except OSError as error:
            raise EvalkitError(f"--voice-text {given}: the file cannot be read ({error.strerror}).") from error
    return given
