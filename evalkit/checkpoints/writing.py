"""Write a checkpoint so that the file is either the old one or the whole new one."""

from __future__ import annotations

import glob
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from evalkit.checkpoints.layouts import section_of
from evalkit.checkpoints.reading import FORMATS
from evalkit.errors import EvalkitError
from evalkit.files import sha256_file

ASIDE = ".old.tmp"  # ends the name of what was moved aside to be replaced


def write_checkpoint(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    sections: Sequence[str] = (),
    wrapper: Sequence[str] = (),
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, str] | None = None,
    before: Callable[[str, int], None] | None = None,
) -> None:
    """Write tensors (full key -> tensor) atomically, in the format that the suffix names.

    sections: the top-level dicts of a nested `.pth`; every key must then start with one of them. Empty: a flat state
    dict. wrapper: names of the dicts around it, outermost first. safetensors are always flat, and only they hold
    metadata. dtype: what floating tensors are stored as; None keeps each one's own. before: called with the sha256
    and the size of the file when it is on the disk, before it gets its name. Raises EvalkitError if the folder is
    missing, unwritable or full, or if the keys do not fit the sections.
    """
    if path.suffix not in FORMATS:
        raise EvalkitError(f"Cannot write {path}: a checkpoint ends in {', '.join(FORMATS)}.")
    if not tensors:
        raise EvalkitError(f"Cannot write {path}: there are no tensors to write.")
    flat = {key: _own(tensor, dtype) for key, tensor in tensors.items()}
    nested: Mapping[str, Any] = _nest(flat, sections, path) if sections and FORMATS[path.suffix] == "pth" else flat
    for name in reversed(wrapper):
        nested = {name: nested}
    remove_leftovers(path)
    temporary = temporary_beside(path)
    try:
        if FORMATS[path.suffix] == "pth":
            with temporary.open("xb") as file:  # given a path, torch would store its random name inside the file
                torch.save(nested, file)
        else:
            temporary.touch(exist_ok=False)
            mode = temporary.stat().st_mode
            save_file(_untied(flat), temporary, dict(metadata) if metadata else None)
            temporary.chmod(mode)  # save_file leaves a file that only its owner can read
        _settle(temporary, before)
        temporary.replace(path)
        _sync(path.parent)  # makes the rename itself durable
    except (OSError, RuntimeError, SafetensorError) as error:  # torch reports a failed write as RuntimeError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        raise EvalkitError(f"Cannot write {path}: {reason}; check that the folder exists and has space.") from error
    finally:
        with suppress(OSError):  # the error above is the one to show
            temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """A name that nothing has, in the same folder, because a rename is atomic only within one file system."""
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed left of an attempt to write `path`, a file or a folder.

    One that was killed between moving the old `path` aside and moving the new one there left no `path`: the old one
    gets its name back.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        writer = left.name.removeprefix(f".{path.name}.").partition(".")[0]
        if writer.isdecimal() and not _is_alive(int(writer)):
            with suppress(OSError):
                if left.name.endswith(ASIDE) and not os.path.lexists(path):
                    left.rename(path)
                else:
                    remove(left)


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, a file, or a link, but not what a link points at."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 is not delivered; it only asks
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _settle(complete: Path, before: Callable[[str, int], None] | None) -> None:
    """Wait until a complete file is on the disk, and hash it meanwhile if `before` wants to know."""
    disk = ThreadPoolExecutor(1)
    try:
        synced = disk.submit(_sync, complete)
        digest = sha256_file(complete) if before is not None else ""
        synced.result()
    finally:
        disk.shutdown(wait=False)  # Ctrl-C does not wait for the disk
    if before is not None:
        before(digest, complete.stat().st_size)


def _own(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """The tensor with storage of its own: of a slice, torch.save would store everything that it is a slice of."""
    tensor = tensor.detach().cpu()
    if dtype is not None and tensor.is_floating_point():
        tensor = tensor.to(dtype)
    whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return tensor.contiguous() if whole else tensor.clone(memory_format=torch.contiguous_format)


def _nest(tensors: Mapping[str, Tensor], sections: Sequence[str], path: Path) -> dict[str, dict[str, Tensor]]:
    nested: dict[str, dict[str, Tensor]] = {section: {} for section in sections}
    for key, tensor in tensors.items():
        section = section_of(key)
        if section not in nested or section == key:
            raise EvalkitError(f"Cannot write {path}: '{key}' belongs to none of the sections {', '.join(sections)}.")
        nested[section][key.removeprefix(f"{section}.")] = tensor
    return nested


def _untied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, each with memory of its own, as safetensors require."""
    seen: set[int] = set()
    result = {}
    for key, tensor in tensors.items():
        result[key] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    return result


def _sync(path: Path) -> None:
    """Have a file or a folder written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
