"""What a merged checkpoint says of its origin: the recipe, the parents and the counts, beside it or inside it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from evalkit import __version__
from evalkit.checkpoints.inspection.provenance import FORMAT, METADATA_KEY, SUFFIX
from evalkit.checkpoints.writing_folder import WEIGHTS
from evalkit.files import write_json
from evalkit.merging.recipe import Recipe
from evalkit.merging.report import MergeReport


def record_path(checkpoint: Path) -> Path:
    """Where the record of a `.pth` lies: `merged.pth.merge.json` beside `merged.pth`."""
    return checkpoint.with_name(f"{checkpoint.name}{SUFFIX}")


def make_record(
    recipe: Recipe, text: str | None, parents: Sequence[Mapping[str, Any]], report: MergeReport
) -> dict[str, Any]:
    """The record without its result. text: the recipe as it was written, comments and all."""
    listed = asdict(report)
    sections = listed.pop("sections")
    for name in ("method", "options", "folded", "respelled"):
        listed.pop(name)
    return {
        "format": FORMAT,
        "evalkit": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "recipe": recipe.content(),
        "recipe_text": text,
        "parents": list(parents),
        "counts": report.counts(),
        "folded": {name: len(keys) for name, keys in report.folded.items()},
        "sections": sections,
        "tensors": listed,
    }


def as_metadata(record: Mapping[str, Any]) -> dict[str, str]:
    """The record as a safetensors file carries it."""
    return {METADATA_KEY: json.dumps(record, ensure_ascii=False), "format": "pt"}


def is_merged_folder(folder: Path) -> bool:
    """True for a folder of nothing but files whose weights carry the record of a merge."""
    if not all(entry.is_file(follow_symlinks=False) for entry in os.scandir(folder)):
        return False
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            return METADATA_KEY in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def write_record(record: Mapping[str, Any], checkpoint: Path, sha256: str, size: int) -> None:
    """Write the record of a checkpoint of this sha256 and size that is about to get its name.

    Written first, so that whoever is interrupted in between leaves a record whose sha256 is not the file's, never a
    file with no record.
    """
    result = {"file": checkpoint.name, "sha256": sha256, "bytes": size}
    write_json(record_path(checkpoint), {**record, "result": result})
