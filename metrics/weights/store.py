"""Where the weights of a standard judge are on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class JudgeWeights:
    """Weights of one judge. path: a file, or a folder that holds `sha256`'s files (relative name -> hex digest)."""

    name: str  # "whisper:base.en", or the path that the user gave
    path: Path
    sha256: Mapping[str, str]
    revision: str | None = None


def judges_folder() -> Path:
    """EVALKIT_JUDGES, or `evalkit/judges` in the user's cache folder."""
    if given := os.environ.get("EVALKIT_JUDGES"):
        return Path(given)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "evalkit" / "judges"


def find(kind: str, name: str) -> JudgeWeights | None:
    """The weights of the judge `kind:name` ("whisper", "base.en"), or of the file or folder `name`; None if missing.

    Cheap: looks at the disk and reads no weights.
    """
    raise NotImplementedError


def require(kind: str, name: str) -> JudgeWeights:
    """Like `find`, with the digests checked.

    Raises ValueError with the `evalkit fetch` line if the weights are missing, or if a digest is not the recorded one.
    """
    raise NotImplementedError
