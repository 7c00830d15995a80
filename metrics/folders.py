"""Where evalkit keeps on this machine what several runs share."""

from __future__ import annotations

import os
from pathlib import Path


def shared_folder(variable: str, name: str = "") -> Path:
    """The folder that an environment variable names, by default `evalkit/<name>` in the user's cache folder."""
    if given := os.environ.get(variable):
        return Path(given)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "evalkit" / name
