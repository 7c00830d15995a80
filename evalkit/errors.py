"""Errors that a user can mend: one sentence saying what is wrong, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 5  # names in a sentence


class EvalkitError(Exception):
    """Bad usage or bad input. The message is the whole of what the user sees; the exit status is 2."""

    exit_status = 2


class BlockedError(EvalkitError):
    """The gate said no. The exit status is 1."""

    exit_status = 1


class CoverageError(EvalkitError):
    """The work finished, but not every utterance could be scored. The exit status is 3."""

    exit_status = 3


def some(names: Sequence[str]) -> str:
    """Names for a sentence: the first few, and how many more there are."""
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
