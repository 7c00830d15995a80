"""Names of tensors that can be shown, stored and counted."""

from __future__ import annotations

from pathlib import Path

from evalkit.errors import EvalkitError

# The longest names in use have some 150 characters.
KEY_LIMIT = 512
# Kokoro has 548 tensors, a StyleTTS2 training file some 6,000, a shard of a large language model a few hundred.
TENSORS_LIMIT = 2**15
SHOWN_LENGTH = 80


def check_key(key: str, path: Path) -> None:
    """Raise EvalkitError for a key that is too long, or has characters that would garble a terminal or a table."""
    if len(key) > KEY_LIMIT:
        raise EvalkitError(
            f"The checkpoint {path} has a name of more than {KEY_LIMIT} characters ('{shown(key)}'); shorten it."
        )
    if not key.isprintable():
        raise EvalkitError(f"The checkpoint {path} has control characters in the name '{shown(key)}'; rename it.")


def check_count(count: int, path: Path) -> None:
    """Raise EvalkitError for more tensors than any one file of a model holds."""
    if count > TENSORS_LIMIT:
        raise EvalkitError(
            f"The checkpoint {path} holds more than {TENSORS_LIMIT} tensors; split it into shards with an index."
        )


def shown(name: object, length: int = SHOWN_LENGTH) -> str:
    """A name from a file, or what a library says of it, fit for one line: control characters escaped, the end cut."""
    text = str(name)[: length + 1]
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return text if len(text) <= length else f"{text[:length]}..."
