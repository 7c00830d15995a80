"""Open nothing but regular files: a pipe would hang, a device would never end."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from evalkit.errors import EvalkitError


def is_folder(path: Path) -> bool:
    """True for a folder, False for anything else that exists. Raises EvalkitError where nothing can be reached."""
    return stat.S_ISDIR(_status(path).st_mode)


def regular_size(path: Path) -> int:
    """Bytes of a regular file or of what a link to one points at (model caches are made of links).

    Raises EvalkitError for what is missing, empty, or no regular file; nothing is opened.
    """
    status = _status(path)
    if stat.S_ISDIR(status.st_mode):
        raise EvalkitError(f"The checkpoint {path} is a folder, not a file; name a file.")
    if not stat.S_ISREG(status.st_mode):
        raise EvalkitError(f"The checkpoint {path} is a pipe, socket or device, not a regular file; name a file.")
    if status.st_size == 0:
        raise EvalkitError(f"The checkpoint {path} is empty (0 bytes); copy or train it again.")
    return status.st_size


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError as error:
        if path.is_symlink():
            raise EvalkitError(f"The checkpoint {path} is a link to a file that is gone; fetch it again.") from error
        raise EvalkitError(f"The checkpoint {path} does not exist; check the path.") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise EvalkitError(f"The checkpoint {path} cannot be read: {reason}; check the path.") from error
