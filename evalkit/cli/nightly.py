"""`evalkit nightly`."""

from __future__ import annotations


def nightly() -> None:
    """To be written."""
    raise NotImplementedError
