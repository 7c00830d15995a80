"""The suite as a manifest names it, and as it makes a run another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalkit.suites import Item, Suite
from evalkit.suites.model import content_sha256

NO_VERSION = "-"  # of what audio is of that is of no suite


def suite_record(suite: Suite, items: int) -> dict[str, Any]:
    """`manifest["suite"]`. items: how many of it are in the run."""
    return {"name": suite.name, "version": suite.version, "sha256": suite.sha256, "items": items}


def suite_identity(record: Mapping[str, Any]) -> list[str]:
    """What of `manifest["suite"]` makes another run; which items are spoken stands beside it."""
    return [record["name"], record["version"], record["sha256"]]


def of_no_suite(items: Sequence[Item]) -> Suite:
    """What audio is of that has no suite: its ids, texts and entities, whatever it sounds like and is tagged with."""
    untagged = tuple(replace(item, tags=()) for item in items)
    return Suite("audio", NO_VERSION, "Audio that existed.", untagged, content_sha256(untagged))
