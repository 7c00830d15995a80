"""The tables of an inspection as headings and text, for the terminal and the page alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.inspection_text import engine_text, layout_text, non_finite_text, printable, size_text
from reports.values import number, percent, signed

_DIGEST = 12  # characters of a fingerprint that tell checkpoints apart at a glance


@dataclass(frozen=True)
class TextTable:
    """rows: printable text, one per heading; numeric: headings whose cells are flush right."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[str] = frozenset()


def section_table(found: Mapping[str, Any]) -> TextTable:
    """Of one checkpoint."""
    rows = [
        (
            section["name"],
            f"{section['tensors']:,}",
            f"{section['parameters']:,}",
            ", ".join(f"{name} {count}" for name, count in section["dtypes"].items()),
        )
        for section in found["sections"]
    ]
    return _table("Sections", ("section", "tensors", "parameters", "types"), rows, ("tensors", "parameters"))


def summary_table(checkpoints: Sequence[Mapping[str, Any]]) -> TextTable:
    """A line for each checkpoint."""
    rows = [
        (
            found["name"],
            f"{found['format']}, {size_text(sum(file['bytes'] for file in found['files']))}",
            f"{found['parameters']:,}",
            engine_text(found),
            layout_text(found),
            non_finite_text(found["contents"]["non_finite"]),
            found["fingerprint"][:_DIGEST],
        )
        for found in checkpoints
    ]
    headings = ("checkpoint", "file", "parameters", "engine", "layout", "NaN or Inf", "fingerprint")
    return _table("Checkpoints", headings, rows, ("parameters",))


def vector_table(vectors: Mapping[str, Any]) -> TextTable:
    """A line for each model: how far it went as a whole, and how its names meet the base's."""
    rows = [
        (
            vector["model"],
            number(vector["relative_norm"], 3),
            number(vector["norm"], 2),
            percent(vector["moved"]),
            number(vector["mean_abs"], 5),
            number(vector["max_abs"], 4),
            str(partner["shared"]),
            str(len(partner["missing"]) + len(partner["unknown"])),
            str(partner["respelled"]),
            str(len(partner["mismatched"])),
        )
        for vector, partner in zip(vectors["overall"]["vectors"], vectors["partners"], strict=True)
    ]
    distance = ("relative norm", "norm", "moved", "mean |d|", "max |d|")
    names = ("shared", "no partner", "respelled", "misshapen")
    title = "Weights, without a base" if vectors["base"] is None else f"Task vectors from {vectors['base']}"
    return _table(title, ("model", *distance, *names), rows, (*distance, *names))


def pair_table(vectors: Mapping[str, Any]) -> TextTable:
    """A line for each pair of models."""
    rows = [
        (
            f"{pair['first']}, {pair['second']}",
            signed(pair["cosine"], 3),
            number(pair["distance"], 3),
            number(pair["conflict"], 3),
            number(pair["weighted_conflict"], 3),
            number(pair["standard_error"], 4),
        )
        for pair in vectors["overall"]["pairs"]
    ]
    numeric = ("cosine", "apart", "sign conflict", "weighted", "± by chance")
    return _table("Pairs", ("pair", *numeric), rows, numeric)


def _table(title: str, headings: tuple[str, ...], rows: Sequence[Sequence[str]], numeric: Sequence[str]) -> TextTable:
    shown = tuple(tuple(printable(cell) for cell in row) for row in rows)
    return TextTable(printable(title), headings, shown, frozenset(numeric))
