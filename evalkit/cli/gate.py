"""`evalkit gate`."""

from __future__ import annotations


def gate() -> None:
    """To be written."""
    raise NotImplementedError
