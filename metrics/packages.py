"""Files and versions of installed packages, found without importing the packages."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path


def package_file(package: str, relative: str) -> Path:
    """Path of a file inside an installed top-level package, for example `("resemblyzer", "pretrained.pt")`.

    Raises ValueError if the package is not installed or has no such file.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"The package {package} is not installed; it holds {relative}.")
    for folder in spec.submodule_search_locations:
        path = Path(folder) / relative
        if path.is_file():
            return path
    raise ValueError(f"The installed package {package} has no file {relative}; install the version that evalkit names.")


def missing_packages(packages: tuple[str, ...], extra: str) -> str | None:
    """None if every import name is installed, else the sentence for `Metric.unavailable`."""
    absent = [package for package in packages if find_spec(package) is None]
    if not absent:
        return None
    noun = "package" if len(absent) == 1 else "packages"
    return f"needs the {noun} {', '.join(absent)}: pip install 'evalkit[{extra}]'"


def sha256(path: Path) -> str:
    """Hex digest of a file's content; computed once as long as its size and modification time stay the same."""
    status = path.stat()
    return _sha256(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions(*names: str) -> dict[str, str]:
    """Installed version per distribution name, for `Passport.packages`.

    Raises importlib.metadata.PackageNotFoundError for one that is not installed.
    """
    return {name: version(name) for name in names}
