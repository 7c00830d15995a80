"""Files that are whole or not there, text that is UTF-8, disk errors as one sentence, and which files there are."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError met while writing to `path` into an EvalkitError that says how to mend it."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise EvalkitError(
                f"No room left to write {path}: free some space, then run the same command again."
            ) from error
        if error.errno in _FORBIDDEN:
            raise EvalkitError(f"Not allowed to write {path}: choose a folder you may write to.") from error
        if error.errno in {errno.ENOTDIR, errno.EEXIST, errno.EISDIR}:
            raise EvalkitError(
                f"Cannot write {path}: a file stands where a folder is needed; choose another place."
            ) from error
        raise EvalkitError(f"Cannot write {path}: {error.strerror or error}.") from error


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader, or a rerun after a kill, sees the old content or the new, never a part.

    Raises EvalkitError when the disk is full or the folder cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, line ends as "\\n" and without a byte order mark.

    Raises EvalkitError when the file is in another encoding or cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise EvalkitError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8.") from error
    except OSError as error:
        raise EvalkitError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error


def writable_folder(path: Path) -> None:
    """Make a folder and see that a file can be written there. Raises EvalkitError where not."""
    with disk_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """sha256 of a JSON-able value, independent of key order."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def audio_files(folder: Path) -> list[Path]:
    """Every audio file below a folder, sorted by path."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())


def folder_of(path: Path) -> Path:
    """The folder that a checkpoint is, or lies in."""
    return path if path.is_dir() else path.parent
