"""The running evalkit as a folder that another interpreter can import from."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evalkit.engines.temporary import temporary_folder

PACKAGES = ("evalkit", "metrics")


@contextmanager
def source_folder(target: str = "") -> Iterator[Path]:
    """A temporary folder with links to evalkit's own packages, and to a plugin's, for PYTHONPATH.

    Both ends of a worker's pipe then run the very same code, however it was installed, and the environment's packages
    are not mixed with those beside evalkit. target: "module:Class" of the engine; its top package is linked too.
    """
    names = dict.fromkeys([*PACKAGES, *([target.partition(":")[0].partition(".")[0]] if target else [])])
    with temporary_folder() as folder:
        for name in names:
            place = _place(name)
            if place is not None:
                (folder / place.name).symlink_to(place)
        yield folder


def _place(name: str) -> Path | None:
    """Folder of a package, or file of a module."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve()
    return Path(spec.origin).resolve() if spec.origin else None
