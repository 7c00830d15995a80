"""A CSV as people write it, refused where a reader could only guess which number belongs to which column."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from evalkit.errors import EvalkitError

Line = tuple[int, dict[str, str | None]]  # number in the file, and column -> text; None where the line ends before


def read_csv(path: Path) -> tuple[list[str], list[Line]]:
    """Columns and lines. Columns without a name, as trailing commas make them, are left out if nothing stands there.

    Raises EvalkitError for a file that is no table, two columns of one name, a line with more cells than the first
    (decimal commas above all), and text under no name.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            cells = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvalkitError(f"{path} cannot be read as a table ({error}): give a CSV in UTF-8.") from error
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise EvalkitError(f"{path} line 1: two columns are called '{twice}'; rename one, or take it out.")
    return [name for name in header if name], [(number, _line(path, number, header, row)) for number, row in cells]


def _line(path: Path, number: int, header: Sequence[str], row: Sequence[str]) -> dict[str, str | None]:
    surplus = row[len(header) :]
    if surplus:
        raise EvalkitError(
            f"{path} line {number}: there are {len(row)} cells under {len(header)} columns; write decimals with a "
            "point, and put a cell with a comma in it in quotes."
        )
    found: dict[str, str | None] = {}
    for place, name in enumerate(header):
        text = row[place] if place < len(row) else None
        if name:
            found[name] = text
        elif text and text.strip():
            raise EvalkitError(f"{path} line {number}: '{text}' stands in a column without a name; name it in line 1.")
    return found
