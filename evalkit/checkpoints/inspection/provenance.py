"""The record of a merge that lies beside a checkpoint, or inside it: how the file was made, as its maker says."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.checkpoints.inspection.report import File, Judgement, Provenance
from evalkit.checkpoints.safe_files import regular_size
from evalkit.checkpoints.safe_json import BYTES_LIMIT, json_object
from evalkit.errors import EvalkitError

# What `evalkit.merging.record` writes.
FORMAT = "evalkit.merge/1"
SUFFIX = ".merge.json"  # after the whole file name
METADATA_KEY = "evalkit_merge"  # of a safetensors file
TOPIC = "record"
DEPTH_LIMIT = 32  # a recipe nests four deep


def find_record(
    path: Path, files: Sequence[File], extra: Mapping[str, Any]
) -> tuple[Provenance | None, tuple[Judgement, ...]]:
    """The record beside a checkpoint, else the one in its metadata; with what is wrong with it.

    files, extra: the checkpoint's. A record that cannot be read is a caution, no error: it is no part of the weights.
    """
    here = path.absolute()  # "." has no name, and a link's record lies beside the link
    sidecar = here.with_name(f"{here.name}{SUFFIX}")
    source = sidecar.name if os.path.lexists(sidecar) else "the file's metadata"
    if source != sidecar.name and METADATA_KEY not in extra:
        return None, ()
    try:
        text = _read(sidecar) if source == sidecar.name else str(extra[METADATA_KEY]).encode()
        record = json_object(text, "The record", sidecar)
        json.dumps(record, allow_nan=False)
    except (EvalkitError, OSError, ValueError):
        record = {}
    if record.get("format") != FORMAT or not _shallow(record):
        says = f"The record of a merge in {source} cannot be read or is not of the form {FORMAT}; do not rely on it."
        return None, (Judgement("caution", TOPIC, says),)
    recorded = _mapping(record.get("result")).get("sha256")
    matches = None if recorded is None or len(files) != 1 else recorded == files[0].sha256
    found = Provenance(source, record, matches)
    if matches is False:
        says = (
            f"The record in {source} is of another file: it names sha256 {str(recorded)[:12]}, this file has "
            f"{files[0].sha256[:12]}; the checkpoint was changed or replaced after the merge."
        )
        return found, (Judgement("caution", TOPIC, says),)
    return found, ()


def _read(sidecar: Path) -> bytes:
    if regular_size(sidecar) > BYTES_LIMIT:
        raise ValueError("larger than any record")
    return sidecar.read_bytes()


def _shallow(value: object, levels: int = DEPTH_LIMIT) -> bool:
    """Whatever shows the record goes down level by level: a hostile one must not exhaust the stack."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_shallow(item, levels - 1) for item in inner)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
