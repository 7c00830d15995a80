"""Text for F5-TTS: characters (Chinese as pinyin) to rows of the vocabulary, and how long they are to be spoken.

The package has no model of duration. The reference clip's rate, in frames per UTF-8 byte of its text, is applied to
the new text (utils_infer.py:487-493), so weights cannot change the speaking rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError

SHORT_TEXT = 10  # bytes; a shorter text is spoken at SHORT_SPEED (utils_infer.py:480)
SHORT_SPEED = 0.3


@dataclass(frozen=True)
class Vocabulary:
    """index: symbol -> row of the text embedding, less the filler in front."""

    index: Mapping[str, int]

    @property
    def unknown(self) -> str:
        """What the package reads in place of a symbol that it does not know: the one with index 0, usually a space."""
        return next((symbol for symbol, row in self.index.items() if row == 0), "")


def read_vocabulary(path: Path | None) -> Vocabulary:
    """A vocab.txt, one symbol a line; without a path the package's own, of Emilia (infer/examples/vocab.txt)."""
    from importlib.resources import files

    from f5_tts.model.utils import get_tokenizer

    place = path or Path(str(files("f5_tts") / "infer" / "examples" / "vocab.txt"))
    try:
        index, _ = get_tokenizer(str(place), "custom")
    except (OSError, UnicodeDecodeError) as error:
        raise EvalkitError(f"The vocabulary {place} cannot be read: {error}.") from error
    if sorted(index.values()) != list(range(len(index))) or not index:
        raise EvalkitError(f"The vocabulary {place} is empty or has a symbol twice; it must have one symbol a line.")
    return Vocabulary(index)


def reference_text(text: str) -> str:
    """What is said in the clip, ended as the package ends it: ". " (utils_infer.py:363), and one more space (474)."""
    if not text.endswith((". ", "。")):
        text += " " if text.endswith(".") else ". "
    return text + " " if len(text[-1].encode()) == 1 else text


def symbols(text: str) -> list[str]:
    """The symbols that F5-TTS reads: characters, and pinyin syllables for Chinese."""
    from f5_tts.model.utils import convert_char_to_pinyin

    read: list[str] = convert_char_to_pinyin([text])[0]
    return read


def rows(read: Sequence[str], vocabulary: Vocabulary) -> Any:
    """Symbols to a long tensor [L]; an unknown one becomes 0, as in `list_str_to_idx` (utils.py:99)."""
    import torch

    return torch.tensor([vocabulary.index.get(symbol, 0) for symbol in read], dtype=torch.long)


def unknown_symbols(read: Sequence[str], vocabulary: Vocabulary) -> list[str]:
    """Each once, in order of appearance."""
    return list(dict.fromkeys(symbol for symbol in read if symbol not in vocabulary.index))


def frames_for(text: str, reference: str, reference_frames: int, speed: float) -> int:
    """Mel frames of the reference and the new text together, before CFM.sample's own lower bound."""
    size = len(text.encode())
    speed = SHORT_SPEED if size < SHORT_TEXT else speed
    return reference_frames + int(reference_frames / len(reference.encode()) * size / speed)
