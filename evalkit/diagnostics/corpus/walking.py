"""The folders of a training set and the files in them, in an order that does not change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

OWN = "measured.jsonl"  # in every folder that a diagnosis leaves


def walk(root: Path) -> Iterator[tuple[Path, list[str] | None]]:
    """Each folder with the sorted names of its files, `root` first; None for the files of a folder that cannot be read.

    Hidden folders are passed over, and those that a diagnosis left, with what they hold. Links are followed, but not
    back to a folder that they lie in. A link that leads nowhere is a file. One folder's names are held at a time.
    """
    return _walk(root, frozenset())


def _walk(place: Path, above: frozenset[tuple[int, int]]) -> Iterator[tuple[Path, list[str] | None]]:
    try:
        about = place.stat()
        with os.scandir(place) as entries:
            files, folders = _sorted(entries)
    except OSError:
        yield place, None
        return
    here = (about.st_dev, about.st_ino)
    if here in above or (above and OWN in files):
        return
    yield place, files
    for name in folders:
        yield from _walk(place / name, above | {here})


def _sorted(entries: Iterator[os.DirEntry[str]]) -> tuple[list[str], list[str]]:
    files, folders = [], []
    for entry in entries:
        link = entry.is_symlink()
        if os.path.isdir(entry.path) if link else entry.is_dir():
            if not entry.name.startswith("."):
                folders.append(entry.name)
        elif (os.path.isfile(entry.path) or not os.path.exists(entry.path)) if link else entry.is_file():
            files.append(entry.name)
    return sorted(files), sorted(folders)
