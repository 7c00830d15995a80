"""Everything that `evalkit inspect` says, as one JSON-able value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit import __version__
from evalkit.checkpoints.inspection.compare import Open, compare_vectors, open_checkpoint
from evalkit.checkpoints.inspection.naming import unique_names
from evalkit.checkpoints.inspection.single import Read, inspect_checkpoint
from evalkit.checkpoints.reading import read_checkpoint


def inspect_all(
    checkpoints: Sequence[Path], base: Path | None = None, read: Read = read_checkpoint, opener: Open = open_checkpoint
) -> dict[str, Any]:
    """Inspect each checkpoint, and compare them where there are several or a base.

    `checkpoints`: an Inspection each, the base first; `vectors`: a VectorReport, or None for one checkpoint alone.
    read, opener: what opens a checkpoint to look at it, and to compare it.
    Raises EvalkitError if one cannot be read.
    """
    paths = [*checkpoints, *([base] if base else [])]
    names = unique_names(paths)
    inspections = [asdict(inspect_checkpoint(path, name, read)) for path, name in zip(paths, names, strict=True)]
    return {
        "evalkit": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "checkpoints": [*inspections[len(checkpoints) :], *inspections[: len(checkpoints)]],
        "vectors": asdict(compare_vectors(base, checkpoints, opener)) if len(paths) > 1 else None,
    }
