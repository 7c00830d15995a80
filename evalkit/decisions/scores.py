"""One side of a comparison: the rows of a finished run, or of a table of scores that somebody published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalkit.decisions.csv_table import Line, read_csv
from evalkit.decisions.summary import CORPUS, corpus_counts, coverage
from evalkit.errors import EvalkitError
from evalkit.registry import METRICS
from evalkit.runs.folder import open_run
from evalkit.runs.log import Row
from evalkit.runs.table import read_scores

SPEAKER = "speaker:"  # tag of an item
_OF_TABLES = ("item", "repeat", "status", "tags")  # columns of a CSV that are no scores
_OF_MANIFEST = {"suite": ("name", "version", "sha256"), "engine": (), "reference": (), "passports": ()}
_OF_SUMMARY = {"model": (), "coverage": ("planned", "ok", "share"), "columns": ()}


_POOLED = "_corpus"


def pooled(column: str) -> bool:
    """Whether this is a corpus figure ("wer_corpus") and no column of its own."""
    return column.endswith(_POOLED) and column.removesuffix(_POOLED) in CORPUS


@dataclass(frozen=True)
class Meaning:
    """What a column is: its unit, direction and metric, and what it says in words."""

    unit: str
    better: str
    metric: str
    description: str = ""


@dataclass(frozen=True)
class Scores:
    """name: of the model; run: id of the run, or name of the table; columns: in the order of the summary.

    manifest: None for a table, which has no passports. folder: where the rows' audio is, if anywhere.
    """

    name: str
    run: str
    rows: Sequence[Row]
    columns: Mapping[str, Meaning]
    coverage: Mapping[str, Any]
    manifest: Mapping[str, Any] | None = None
    folder: Path | None = None

    def values(self, column: str) -> dict[str, list[float]]:
        """Item -> values of its repeats; utterances without a value are left out."""
        found: dict[str, list[float]] = {}
        for row in self.rows:
            if row.get(column) is not None:
                found.setdefault(row["item"], []).append(row[column])
        return found

    def counts(self, column: str) -> dict[str, tuple[float, float]]:
        """Item -> errors and units of a corpus figure ("wer_corpus"), summed over its repeats; {} where it has none."""
        return corpus_counts(self.rows, column.removesuffix(_POOLED)) if pooled(column) else {}

    def tagged(self, tag: str) -> Scores:
        """The same side with only the items that have a tag."""
        return replace(self, rows=[row for row in self.rows if tag in row["tags"]])

    def corpora(self) -> dict[str, Meaning]:
        """The corpus figures that these rows have."""
        return {
            f"{name}{_POOLED}": Meaning("", "lower", self.columns[name].metric, corpus.description)
            for name, corpus in CORPUS.items()
            if name in self.columns and self.counts(f"{name}{_POOLED}")
        }

    def speakers(self) -> dict[str, str]:
        """Item -> speaker, of items that say it in a tag ("speaker:1401")."""
        said = {row["item"]: [tag for tag in row["tags"] if tag.startswith(SPEAKER)] for row in self.rows}
        return {item: tags[0].removeprefix(SPEAKER) for item, tags in said.items() if tags}


def open_scores(path: Path) -> Scores:
    """The folder of a finished run, or a CSV of scores.

    A CSV has the column `item`, optionally repeat, status and tags ("name:value" separated by blanks), and a column of
    numbers per score; an empty cell is a missing value. Raises EvalkitError on anything else.
    """
    if path.suffix.lower() == ".csv":
        return _from_table(path)
    folder = open_run(path)
    manifest, summary = folder.manifest(), folder.summary()
    _check_keys(folder.manifest_path, manifest, _OF_MANIFEST)
    _check_keys(folder.summary_path, summary, _OF_SUMMARY)
    for name in summary["columns"]:
        _check_keys(folder.summary_path, summary["columns"], {name: ("unit", "better", "metric")})
    columns = {
        name: Meaning(one["unit"], one["better"], one["metric"], one.get("description") or "")
        for name, one in summary["columns"].items()
    }
    rows = read_scores(folder.scores_path)
    return Scores(summary["model"], folder.path.name, rows, columns, summary["coverage"], manifest, folder.path)


def _check_keys(path: Path, content: Mapping[str, Any], keys: Mapping[str, Sequence[str]]) -> None:
    """Raises EvalkitError for a file of a run that is JSON, and not what a run writes."""
    for name, inner in keys.items():
        there = name in content and (not inner or isinstance(content[name], Mapping))
        missing = [one for one in inner if one not in content[name]] if there else [name]
        if missing:
            where = f" in '{name}'" if there else ""
            raise EvalkitError(
                f"{path} is damaged, it has no proper '{missing[0]}'{where}: move the run folder away and run again."
            )


def known_columns() -> dict[str, Meaning]:
    """Every column that an installed metric declares; none is loaded."""
    found: dict[str, Meaning] = {}
    for entry in METRICS.names():
        spec = METRICS.load(entry).spec
        for column in spec.columns:
            found.setdefault(column.name, Meaning(column.unit, column.better, spec.name, column.description))
    return found


def _from_table(path: Path) -> Scores:
    header, lines = read_csv(path)
    if "item" not in header:
        raise EvalkitError(f"{path} has no column 'item' in its first line: name one row per item.")
    names = [name for name in header if name not in _OF_TABLES]
    if not names or not lines:
        raise EvalkitError(f"{path} holds no scores: write a column of numbers per score and a line per item.")
    corpus = next((name for name in names if pooled(name)), None)
    if corpus is not None:
        raise EvalkitError(
            f"{path} line 1: '{corpus}' is a figure of a whole run and no score of an item; take the column out, or "
            f"call it '{corpus.removesuffix(_POOLED)}'."
        )
    known = known_columns()
    rows = [_row(path, line, names) for line in lines]
    _check_repeats(path, lines, rows)
    columns = {name: known.get(name, Meaning("", "neither", name)) for name in names}
    return Scores(path.stem, path.name, rows, columns, coverage(rows, len(rows)))


def _check_repeats(path: Path, lines: Sequence[Line], rows: Sequence[Row]) -> None:
    """Raises EvalkitError for two lines of one item that do not say that they are two takes of it."""
    first: dict[str, int] = {}
    for (number, _), row in zip(lines, rows, strict=True):
        before = first.setdefault(row["utterance"], number)
        if before != number:
            raise EvalkitError(
                f"{path} line {number}: the item '{row['item']}' stood in line {before} already; number takes of one "
                "item in a column 'repeat', or take one line out."
            )


def _row(path: Path, of_file: Line, names: Sequence[str]) -> Row:
    number, line = of_file
    item = (line.get("item") or "").strip()
    if not item:
        raise EvalkitError(f"{path} line {number}: the column 'item' is empty.")
    repeat = (line.get("repeat") or "").strip() or "0"
    values = {name: _number(path, number, name, line.get(name)) for name in names}
    return {
        "utterance": f"{item}.r{repeat}",
        "item": item,
        "repeat": repeat,
        "status": (line.get("status") or "").strip() or "ok",
        "tags": (line.get("tags") or "").split(),
        "audio": None,
        "text": None,
        "spoken": None,
        "details": {},
        "missing": {},
        **values,
    }


def _number(path: Path, number: int, name: str, text: str | None) -> float | None:
    if text is None or not text.strip():
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise EvalkitError(f"{path} line {number}: '{text}' in the column '{name}' is no number.") from error
    if value - value != 0:  # NaN or infinity
        raise EvalkitError(f"{path} line {number}: the column '{name}' is {text}; leave a missing value empty.")
    return value
