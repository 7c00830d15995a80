"""Write a checkpoint as a Hugging Face folder: the weights, and what the folder that it is like has beside its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from evalkit.checkpoints.read_file import READ_FORMATS
from evalkit.checkpoints.writing import remove_leftovers, write_checkpoint
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
    not at all. overwrite: whether another folder may be replaced. Raises EvalkitError if it cannot be written.
    """
    remove_leftovers(out)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    with disk_errors(out):
        try:
            temporary.mkdir()
            for file in sorted(like.iterdir()):
                if file.is_file() and not file.name.endswith(LEFT) and file.stat().st_size <= LARGEST:
                    shutil.copyfile(file, temporary / file.name)
            write_checkpoint(temporary / WEIGHTS, tensors, metadata=metadata)
            if out.exists() and not overwrite:
                raise EvalkitError(f"{out} exists; choose another name.")
            if out.exists():
                old = out.with_name(f".{out.name}.{os.getpid()}.old.tmp")
                out.rename(old)
                temporary.rename(out)
                shutil.rmtree(old)
            else:
                temporary.rename(out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
