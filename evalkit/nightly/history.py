"""`history.parquet`: every figure of every night, a row per night, model, suite, engine and column.

Written whole by pyarrow, asked by duckdb. It holds nothing that the files of the nights do not: a file that is lost or
damaged is made again from them, and that is said.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.files import write_atomically
from evalkit.nightly.entries import DONE, WAITING
from evalkit.nightly.nights import Night, Nights

TREND = 60  # nights that a sparkline shows

TEXT = ("night", "key", "label", "suite", "engine", "state", "run", "verdict", "fingerprint", "column")
MEANING = ("unit", "better", "metric", "passport")
NUMBERS = ("mean", "low", "high", "coverage")

Row = dict[str, Any]

INDEX = """
with
rows as (select * from read_parquet($history)),
nights as (
  select night, any_value(began) as began, count(distinct key) as jobs,
    count(distinct key) filter (state = 'failed') as failed,
    count(distinct key) filter (verdict = 'blocked') as blocked
  from rows group by night
),
recent as (
  select key, "column", night, began, run, mean, low, high, passport, verdict, unit, better, metric,
    count(*) over (partition by key, "column") as nights
  from rows where "column" is not null
  qualify row_number() over (partition by key, "column" order by began desc, night desc) <= $trend
),
series as (
  select key, "column", any_value(nights) as nights, arg_max(unit, began) as unit, arg_max(better, began) as better,
    arg_max(metric, began) as metric,
    list({night: night, run: run, mean: mean, low: low, high: high, passport: passport, verdict: verdict}
         order by began, night) as points
  from recent group by key, "column"
)
select
  (select list(nights order by began desc, night desc) from nights) as nights,
  (select list(series order by key, "column") from series) as series
"""
"""Everything that the index needs, in one query: the nights with their counts, and each series' last points."""


class History:
    """The table of one site."""

    def __init__(self, out: Path) -> None:
        self.path = out / "history.parquet"

    def replace_night(self, night: Night) -> None:
        """Put a night's rows in, in place of those that it had. Raises EvalkitError for a damaged file."""
        import pyarrow as pa
        import pyarrow.compute as pc

        new = _table(rows_of(night))
        if self.path.exists():
            old = self._read()
            new = pa.concat_tables([old.filter(pc.not_equal(old["night"], night["night"])), new])
        self._write(new)

    def rebuild(self, nights: Iterable[Night]) -> int:
        """Make the file from the nights' own; returns how many rows it has."""
        table = _table([row for night in nights for row in rows_of(night)])
        self._write(table)
        return int(table.num_rows)

    def index(self, trend: int = TREND) -> dict[str, Any]:
        """{"nights": newest first, with counts; "series": per job and column, the last `trend` points, oldest first}.

        Raises EvalkitError for a file that is missing or damaged.
        """
        import duckdb

        if not self.path.is_file():
            raise EvalkitError(f"{self.path} is missing: evalkit nightly … --rebuild makes it from the nights.")
        try:
            with duckdb.connect() as connection:
                found = connection.execute(INDEX, {"history": str(self.path), "trend": trend}).fetchone()
        except duckdb.Error as error:
            raise self._damaged(error) from error
        nights, series = found or (None, None)
        return {"nights": nights or [], "series": series or []}

    def series(self, key: str) -> list[Row]:
        """Every figure of a job, oldest first."""
        return self._ask('where key = $key and "column" is not null order by began, night, "column"', key=key)

    def runs(self, but: str = "") -> list[Row]:
        """{"night", "began", "key", "state", "run", "verdict"} of every job of every night but one, oldest first."""
        what = "distinct night, began, key, state, run, verdict"
        return self._ask("where night != $but order by began, night, key", what, but=but)

    def _ask(self, rest: str, what: str = "*", **values: str) -> list[Row]:
        import duckdb

        if not self.path.is_file():
            return []
        query = f"select {what} from read_parquet($history) {rest}"
        try:
            with duckdb.connect() as connection:
                table = connection.execute(query, {"history": str(self.path), **values})
                names = [column[0] for column in table.description or ()]
                return [dict(zip(names, row, strict=True)) for row in table.fetchall()]
        except duckdb.Error as error:
            raise self._damaged(error) from error

    def check(self, nights: Nights) -> str | None:
        """What is wrong with the file: it is missing though there were nights, lacks one, or cannot be read."""
        try:
            known = set(self._read()["night"].to_pylist()) if self.path.exists() else set()
        except EvalkitError:
            return f"{self.path.name} is damaged"
        lacking = [label for label in nights.labels() if label not in known and _finished(nights, label)]
        if not lacking:
            return None
        return f"{self.path.name} {f'lacks the night {lacking[0]}' if self.path.exists() else 'is missing'}"

    def set_aside(self) -> None:
        """Keep a file that is made again under another name: somebody may want to look at it."""
        if self.path.exists():
            self.path.replace(self.path.with_name(f"{self.path.name}.before"))

    def _read(self) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(self.path)
            return table.select(_schema().names).cast(_schema())
        except (OSError, KeyError, pa.ArrowException) as error:
            raise self._damaged(error) from error

    def _write(self, table: Any) -> None:
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        write_atomically(self.path, buffer.getvalue())

    def _damaged(self, error: Exception) -> EvalkitError:
        reason = str(error).splitlines()[0]
        return EvalkitError(
            f"{self.path} cannot be read as a history ({reason}): evalkit nightly … --rebuild makes it again."
        )


def began_of(night: Night) -> datetime:
    """When a night began, in UTC and without saying so, as the table has it."""
    return datetime.fromisoformat(night["started"]).astimezone(UTC).replace(tzinfo=None)


def rows_of(night: Night) -> list[Row]:
    """The rows of a night: one per column, or one without a column for a job that failed."""
    began = began_of(night)
    return [row for entry in night["jobs"] if entry["state"] != WAITING for row in _rows(night["night"], began, entry)]


def _rows(night: str, began: datetime, entry: Mapping[str, Any]) -> list[Row]:
    shared = {name: entry.get(name) for name in TEXT} | {"night": night, "began": began, "column": None}
    if entry["state"] != DONE:
        return [shared]
    shared["coverage"] = entry["coverage"]["share"]
    return [
        {
            **shared,
            "column": name,
            **{key: one[key] for key in MEANING},
            "mean": one["mean"],
            "low": one["ci95"][0] if one["ci95"] else None,
            "high": one["ci95"][1] if one["ci95"] else None,
            "n": one["n"],
        }
        for name, one in entry["columns"].items()
    ] or [shared]


def _finished(nights: Nights, label: str) -> bool:
    try:
        return nights.read(label)["ended"] is not None
    except EvalkitError:
        return False


def _table(rows: Sequence[Row]) -> Any:
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows), schema=_schema())


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema(
        [
            *((name, pa.string()) for name in TEXT),
            *((name, pa.string()) for name in MEANING),
            ("began", pa.timestamp("us")),  # UTC; with a zone duckdb would ask for pytz
            *((name, pa.float64()) for name in NUMBERS),
            ("n", pa.int64()),
        ]
    )
