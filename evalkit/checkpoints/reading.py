"""Read a checkpoint, a file or a folder, into flat, named tensors. Nothing in it is ever executed."""

from __future__ import annotations

import re
from pathlib import Path

from evalkit.checkpoints.folders import read_folder
from evalkit.checkpoints.read_file import FORMATS, Checkpoint, read_file
from evalkit.checkpoints.safe_files import is_folder
from evalkit.errors import EvalkitError

__all__ = ["FORMATS", "Checkpoint", "read_checkpoint"]

SHARD = re.compile(r"-\d{5}-of-(?P<shards>\d{5})$")


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a `.pth`, `.pt`, `.bin`, `.ckpt` or `.safetensors` file, or a folder as Hugging Face lays it out.

    A file holds nested dicts of sections, a flat state dict, or either in a wrapper. Of an F5-TTS training file the
    averaged weights are read, as F5-TTS does, and `extra` says so. Tied tensors stay tied; `.safetensors` and what
    torch has saved since version 1.6 is mapped into memory, not read.

    Raises EvalkitError, in one sentence, for what is missing, damaged, holds no tensors or tensors that are not dense,
    describes more than the file holds, or is a pickle that asks for anything but tensors and plain containers (the
    sentence names the global; nothing was executed).
    """
    if is_folder(path):
        return read_folder(path)
    shard = SHARD.search(path.stem)
    if shard and int(shard["shards"]) > 1:
        raise EvalkitError(
            f"The checkpoint {path} is one of {int(shard['shards'])} shards; name the folder that holds them all."
        )
    return read_file(path)
