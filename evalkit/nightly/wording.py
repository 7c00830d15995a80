"""Sentences for pages that anybody may read: without the paths of the machine, and without passwords in addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SECRET = re.compile(r"://[^/\s@]+@")
_ABSOLUTE = re.compile(r"(?<![\w:/.])/(?:[^\s/'\"(),;]+/)+([^\s/'\"(),;]+)")


def without_paths(value: Any, folder: Path) -> Any:
    """Any JSON-able value with the paths in its texts relative to `folder`, or cut to the last name outside it."""
    if isinstance(value, str):
        if "/" not in value:
            return value
        return _ABSOLUTE.sub(r"…/\1", _SECRET.sub("://…@", value.replace(f"{folder.absolute()}/", "")))
    if isinstance(value, Mapping):
        return {key: without_paths(inner, folder) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(inner, folder) for inner in value]
    return value
