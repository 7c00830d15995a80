"""What checkpoints and layers are called in tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from evalkit.checkpoints.layouts import section_of
from evalkit.checkpoints.read_file import stem


def layer_of(key: str) -> str:
    """The layer of a canonical key: up to its first number, else its first two components; a tensor's own name is none.

    `decoder.blocks.3.ff.weight` -> `decoder.blocks.3`; `predictor.lstm.weight_ih_l0` -> `predictor.lstm`. No file says
    where its layers are, so this is a rule over names alone.
    """
    parts = key.split(".")[:-1]
    numbered = next((place for place, part in enumerate(parts) if part.isdigit()), None)
    return ".".join(parts[: 2 if numbered is None else numbered + 1]) or section_of(key)


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Stems; with the folder's name before those that are equal, and the whole path where that is equal too."""
    names = [stem(path) for path in paths]
    for longer in (lambda path: f"{path.resolve().parent.name}/{stem(path)}", str):
        seen = Counter(names)
        names = [name if seen[name] == 1 else longer(path) for name, path in zip(names, paths, strict=True)]
    seen = Counter(names)  # one file twice: told apart by place
    return [name if seen[name] == 1 else f"{name}#{place}" for place, name in enumerate(names, 1)]
