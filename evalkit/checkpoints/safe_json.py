"""JSON from strangers: an object of bounded size and depth in which every key stands once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError

# Some 100 bytes describe a tensor, and models have at most tens of thousands.
BYTES_LIMIT = 8 * 2**20
# Each comma or bracket is at most one Python object of some 100 bytes.
VALUES_LIMIT = 2**19


def json_object(data: bytes, what: str, path: Path) -> dict[str, Any]:
    """The object that JSON text holds. what: "The header of the checkpoint", for messages, which name the path too.

    Raises EvalkitError for anything but one JSON object, a key that stands twice, and sizes that no model needs.
    """
    if len(data) > BYTES_LIMIT or data.count(b",") + data.count(b"{") + data.count(b"[") > VALUES_LIMIT:
        raise EvalkitError(f"{what} {path} is larger than that of any model; it is damaged or hostile.")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            raise EvalkitError(f"{what} {path} names something twice; write the file again.")
        return result

    try:
        found = json.loads(data, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise EvalkitError(f"{what} {path} is damaged or not JSON; copy it again.") from error
    if not isinstance(found, dict):
        raise EvalkitError(f"{what} {path} holds a {type(found).__name__}, not an object; write it again.")
    return found
