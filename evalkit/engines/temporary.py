"""Temporary folders that do not outlive a kill: the next process that makes one removes those whose owner is gone."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "evalkit-worker-"
LOCK, MAKING = ".lock", ".making"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is removed at the end, or, after a kill -9, by whoever asks for the next one.

    Its owner holds a lock in it, which the system lets go with the process; a number of the process would not do, since
    containers that share the folder for temporary files do not share their processes.
    """
    _sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = os.open(folder / MAKING, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / MAKING).rename(folder / LOCK)  # held before anybody can try it
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _sweep(place: Path) -> None:
    """Remove folders that nobody holds. One without a lock file is being made at this moment."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, or gone meanwhile
            lock = os.open(folder / LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
