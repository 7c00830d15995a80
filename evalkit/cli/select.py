"""`evalkit select`."""

from __future__ import annotations


def select() -> None:
    """To be written."""
    raise NotImplementedError
