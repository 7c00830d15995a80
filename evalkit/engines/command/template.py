"""The template of a command: `mytts --text {text} --out {wav}`, split into words without a shell."""

from __future__ import annotations

import shlex
import string
from collections.abc import Mapping
from dataclasses import dataclass

from evalkit.checkpoints.safe_keys import shown
from evalkit.errors import EvalkitError
from evalkit.registry import unknown

EXAMPLE = "--engine 'command: mytts --text {text} --out {wav}'"

PLACEHOLDERS: Mapping[str, str] = {
    "text": "the sentence",
    "text_file": "a UTF-8 file with the sentence",
    "wav": "the file to write",
    "seed": "a whole number, another for every repeat of an item",
    "voice": "what --voice names",
    "cwd": "the folder that evalkit was started in",
}


Word = tuple[tuple[str, str], ...]  # rows of (literal text, placeholder or "")


@dataclass(frozen=True)
class Template:
    """A command as words."""

    words: tuple[Word, ...]

    @property
    def used(self) -> frozenset[str]:
        return frozenset(name for word in self.words for _, name in word if name)

    def filled(self, values: Mapping[str, str]) -> list[str]:
        """The words with every placeholder replaced. A value is never split, nor read for placeholders again."""
        return ["".join(text + (values[name] if name else "") for text, name in word) for word in self.words]


def parse_template(text: str) -> Template:
    """Split as a POSIX shell would, then find the placeholders of every word; `{{` is a brace.

    Raises EvalkitError for an empty template, an open quotation or brace, and a placeholder that is not known.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise EvalkitError(f"The command cannot be split into words ({error}): close the quotation.") from error
    if not words:
        raise EvalkitError(f"Say which program speaks: {EXAMPLE}.")
    return Template(tuple(_parse_word(word) for word in words))


def _parse_word(word: str) -> Word:
    try:
        parts = list(string.Formatter().parse(word))
    except ValueError as error:
        raise EvalkitError(f"The command's word '{shown(word)}': {error}; write {{{{ for a brace.") from error
    for _, name, form, conversion in parts:
        if name is not None and (name not in PLACEHOLDERS or form or conversion):
            asked = name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            raise EvalkitError(unknown("placeholder", f"{{{shown(asked)}}}", [f"{{{n}}}" for n in PLACEHOLDERS]))
    return tuple((text, name or "") for text, name, _, _ in parts)
