"""Write a checkpoint as a Hugging Face folder: the weights, and what the folder that it is like has beside its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from torch import Tensor

from evalkit.checkpoints.read_file import READ_FORMATS
from evalkit.checkpoints.writing import ASIDE, remove, remove_leftovers, temporary_beside, write_checkpoint
from evalkit.errors import EvalkitError
from evalkit.files import disk_errors

WEIGHTS = "model.safetensors"
# Weights of any kind stay behind: they would be the parent's.
LEFT = (*READ_FORMATS, ".gguf", ".onnx", ".h5", ".msgpack", ".index.json", ".merge.json")
LARGEST = 64 * 2**20  # bytes of a tokenizer, generously


def write_folder(
    out: Path, tensors: Mapping[str, Tensor], like: Path, metadata: Mapping[str, str], overwrite: bool
) -> None:
    """Write `model.safetensors` with a copy of `like`'s configuration and tokenizer.

    The settings belong to the model: NeuTTS reads from `config.json` how it wants its text. The folder appears whole or
    not at all. overwrite: whether what is there may be replaced, whatever it is. Raises EvalkitError if it cannot be
    written.
    """
    with whole_folder(out, overwrite) as folder, disk_errors(out):
        for file in sorted(like.iterdir()):
            if file.is_file() and not file.name.endswith(LEFT) and file.stat().st_size <= LARGEST:
                shutil.copyfile(file, folder / file.name)
        write_checkpoint(folder / WEIGHTS, tensors, metadata=metadata)


@contextmanager
def whole_folder(out: Path, overwrite: bool = False) -> Iterator[Path]:
    """A new, empty folder that becomes `out` at the end of the block, or is gone if the block raises.

    overwrite: whether a folder, file or link of this name may be replaced; after a failure it has its name again, and
    after a kill `remove_leftovers` gives it back. Raises EvalkitError if the folder cannot be made.
    """
    remove_leftovers(out)
    temporary = temporary_beside(out)
    with disk_errors(out):
        temporary.mkdir()
    try:
        yield temporary
        with disk_errors(out):
            _take_place(temporary, out, overwrite)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _take_place(temporary: Path, out: Path, overwrite: bool) -> None:
    if not os.path.lexists(out):
        temporary.rename(out)
        return
    if not overwrite:
        raise EvalkitError(f"{out} exists; choose another name.")
    old = temporary.with_name(temporary.name.removesuffix(".tmp") + ASIDE)
    out.rename(old)
    try:
        temporary.rename(out)
    except BaseException:
        old.rename(out)
        raise
    with suppress(OSError):  # the next attempt removes it
        remove(old)
