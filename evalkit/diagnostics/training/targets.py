"""The files that a user names for a diagnosis to write: none is the training set, part of it, or another of them."""

from __future__ import annotations

import tempfile
from collections.abc import Container, Mapping
from pathlib import Path

from evalkit.diagnostics.corpus.lhotse import CUTS, RECORDINGS, SUPERVISIONS
from evalkit.errors import EvalkitError
from evalkit.files import disk_errors

_OURS = (".jsonl", ".md")  # of manifests and diagnoses


def dropped_beside(fix: Path) -> Path:
    """Where the clips that `--fix` leaves out are listed."""
    return fix.with_suffix(".dropped.jsonl")


def check_targets(named: Mapping[str, Path], source: Path, own: Container[Path] = ()) -> None:
    """named: what it is for -> file; source: the training set, a file or a folder; own: what the diagnosis keeps.

    Raises EvalkitError for two that are one file, for what `check_target` refuses, for one of `own`, and for a place
    where nothing can be written. Folders that are missing are made.
    """
    known: dict[Path, str] = {}
    for name, path in named.items():
        if (other := known.setdefault(path.resolve(), name)) != name:
            raise EvalkitError(
                f"{other} and {name} would both be written to {path}: name another file for one of them."
            )
        if path.resolve() in own:
            raise EvalkitError(f"{path} is a file that the diagnosis keeps for itself: name another file.")
        check_target(path, source)
    for path in named.values():
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path.parent).close()


def check_manifest(out: Path, source: Path | None) -> None:
    """`check_target`, and the name under which a manifest is read again."""
    if out.suffix != ".jsonl":
        raise EvalkitError(f"{out}: the manifest is JSON lines; give it a name that ends in .jsonl.")
    check_target(out, source)


def check_target(out: Path, source: Path | None) -> None:
    """Raises EvalkitError for a folder, and for a file that is the training set, may be part of it, or be taken for it.

    A set that is a folder keeps every file in it, and gets new ones only under names that no set has. Beside a set that
    is a file, manifests and Markdown of an earlier diagnosis may be replaced, and nothing else.
    """
    if out.is_dir():
        raise EvalkitError(f"{out} is a folder: name a file.")
    if source is None or not source.exists():
        return
    if out.exists() and out.samefile(source):
        raise EvalkitError(f"{out} is the training set itself: name another file.")
    folder = source if source.is_dir() else source.parent
    if not out.resolve().is_relative_to(folder.resolve()):
        return
    if source.is_dir() and out.exists():
        raise EvalkitError(f"{out} is there already, inside the training set: name another file, or remove it first.")
    if not source.is_dir() and not out.exists():
        return
    if out.name == "metadata.jsonl" or any(kind in out.name for kind in (CUTS, RECORDINGS, SUPERVISIONS)):
        raise EvalkitError(f"{out} would be read as the list of the training set: give it another name.")
    if out.suffix not in _OURS:
        raise EvalkitError(f"{out} may be part of the training set: name a file that ends in {' or '.join(_OURS)}.")
