"""Everything that `evalkit inspect` says, as one JSON-able value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit import __version__
from evalkit.checkpoints.inspection.compare import compare_vectors
from evalkit.checkpoints.inspection.naming import unique_names
from evalkit.checkpoints.inspection.single import inspect_checkpoint


def inspect_all(checkpoints: Sequence[Path], base: Path | None = None) -> dict[str, Any]:
    """Inspect each checkpoint, and compare them where there are several or a base.

    `checkpoints`: an Inspection each, the base first; `vectors`: a VectorReport, or None for one checkpoint alone.
    Raises EvalkitError if one cannot be read.
    """
    paths = [*checkpoints, *([base] if base else [])]
    names = unique_names(paths)
    inspections = [asdict(inspect_checkpoint(path, name)) for path, name in zip(paths, names, strict=True)]
    return {
        "evalkit": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "checkpoints": [*inspections[len(checkpoints) :], *inspections[: len(checkpoints)]],
        "vectors": asdict(compare_vectors(base, checkpoints)) if len(paths) > 1 else None,
    }
