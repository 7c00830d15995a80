"""Plugins found through entry points: lazy, loud on a clash, helpful on a miss."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from evalkit.errors import EvalkitError


@dataclass(frozen=True)
class Registry:
    """Names of one entry-point group. Nothing is imported until `load`."""

    group: str
    noun: str  # what one entry is called in messages: "engine", "suite"

    def entries(self) -> dict[str, EntryPoint]:
        """Every registered name. Raises EvalkitError if two packages register the same one."""
        found: dict[str, EntryPoint] = {}
        for entry in entry_points(group=self.group):
            earlier = found.setdefault(entry.name, entry)
            if earlier.value != entry.value:
                raise EvalkitError(
                    f"Two plugins register the {self.noun} '{entry.name}': {_origin(earlier)} and {_origin(entry)}; "
                    "uninstall one of them."
                )
        return found

    def names(self) -> list[str]:
        return sorted(self.entries())

    def load(self, name: str) -> Any:
        """Import and return what `name` stands for. Raises EvalkitError on an unknown name or a broken plugin."""
        entries = self.entries()
        if name not in entries:
            raise EvalkitError(unknown(self.noun, name, entries))
        try:
            return entries[name].load()
        except Exception as error:  # whatever a plugin's module does wrong while it is imported
            raise EvalkitError(
                f"The {self.noun} '{name}' ({_origin(entries[name])}) does not import: {error}"
            ) from error


def unknown(noun: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a misspelt name: "Unknown suite 'indian-name': did you mean 'indian-names'?"."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names) or 'none'}."
    return f"Unknown {noun} '{name}': {hint}"


def _origin(entry: EntryPoint) -> str:
    package = f" of {entry.dist.name}" if entry.dist else ""
    return f"{entry.value}{package}"


ENGINES = Registry("evalkit.engines", "engine")
MERGERS = Registry("evalkit.mergers", "merge method")
METRICS = Registry("evalkit.metrics", "metric")
SUITES = Registry("evalkit.suites", "suite")
