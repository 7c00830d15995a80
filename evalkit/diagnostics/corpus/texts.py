"""Text of a training set: a file that is not UTF-8 is one sentence, and what is shown can always be written."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from evalkit.errors import EvalkitError


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """A UTF-8 text, plain or gzipped; line ends are kept. Raises EvalkitError for what is no such text."""
    try:
        with (
            io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8-sig", newline="")
        ) as file:
            yield file
    except UnicodeDecodeError as error:
        raise EvalkitError(
            f"{path} is not UTF-8 (byte 0x{error.object[error.start]:02x}): save it as UTF-8, with an editor or iconv."
        ) from error
    except (OSError, EOFError) as error:
        raise EvalkitError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}).") from error


def read_text(path: Path) -> str:
    """All of a small text; bytes that are not UTF-8 are replaced. Raises EvalkitError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise EvalkitError(f"{path} cannot be read ({error.strerror or error}): make it readable.") from error


def writable(text: str) -> str:
    r"""The text with what UTF-8 cannot hold written out, as `\udce9` of a file's name in Latin-1."""
    return text.encode("utf-8", "backslashreplace").decode()
