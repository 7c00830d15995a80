"""`clips.parquet`: a row per clip of the set, made of what was listed and what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evalkit.diagnostics.training.measuring import MEASURES, Files

MEMORY = "512MB"  # beyond it duckdb works on disk
_LISTED = {
    "id": "VARCHAR",
    "speaker": "VARCHAR",
    "where": "VARCHAR",
    "start_s": "DOUBLE",
    "key": "VARCHAR",
    "problem": "VARCHAR",
    "text": "VARCHAR",
    "words": "BIGINT",
}
_MEASURED = {
    "key": "VARCHAR",
    "seconds": "DOUBLE",
    "sample_rate": "BIGINT",
    "channels": "BIGINT",
    **dict.fromkeys(MEASURES, "DOUBLE"),
    "fingerprint": "UINTEGER[]",
    "embedding": "BIGINT",
    "missing": "JSON",
}


@contextmanager
def database(folder: Path) -> Iterator[Any]:
    """A duckdb connection with little memory, whose temporary files go into the diagnosis' folder."""
    import duckdb

    connection = duckdb.connect(
        config={"memory_limit": MEMORY, "threads": 2, "temp_directory": str(folder / ".duckdb")}
    )
    try:
        yield connection
    finally:
        connection.close()


def write_clips(files: Files) -> None:
    """Join the list of clips with what was measured of their contents, in the order of the set.

    Of clips with the same content the first is the original; the others name it in `copy_of`.
    """
    rate = "CASE WHEN speech_s > 0 AND words > 0 THEN words / speech_s END"
    content = "CASE WHEN listed.key = '' THEN place::VARCHAR ELSE listed.key END"  # "": nothing could be read
    temporary = files.clips.with_suffix(".tmp")
    with database(files.folder) as connection:
        connection.execute(
            f"""
            COPY (
              WITH listed AS (SELECT *, row_number() OVER () AS place FROM {_read(files.listed, _LISTED)}),
                   measured AS (SELECT * FROM {_read(files.measured, _MEASURED)})
              SELECT listed.id, speaker, "where", start_s, listed.key, problem, text, words,
                     seconds, sample_rate, channels, {", ".join(MEASURES)},
                     {rate} AS speaking_rate, fingerprint, embedding, missing,
                     CASE WHEN place > first_value(place) OVER same THEN first_value(listed.id) OVER same END AS copy_of
              FROM listed LEFT JOIN measured ON listed.key = measured.key AND problem IS NULL
              WINDOW same AS (PARTITION BY {content} ORDER BY place)
              ORDER BY place
            ) TO '{_quoted(temporary)}' (FORMAT parquet, ROW_GROUP_SIZE 20000)
            """
        )
    temporary.replace(files.clips)


def _read(path: Path, columns: dict[str, str]) -> str:
    """A table function over JSON lines; nothing is guessed from the first of them."""
    types = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
    return f"read_json('{_quoted(path)}', format = 'newline_delimited', columns = {{{types}}})"


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def problems(files: Files, most: int) -> tuple[int, list[dict[str, Any]]]:
    """How many clips have a problem, and the first of them with `id`, `where` and `problem`."""
    with database(files.folder) as connection:
        count = connection.execute(
            f"SELECT count(*) FROM '{_quoted(files.clips)}' WHERE problem IS NOT NULL"
        ).fetchone()[0]
        rows: Sequence[Any] = connection.execute(
            f"SELECT id, \"where\", problem FROM '{_quoted(files.clips)}' WHERE problem IS NOT NULL LIMIT {most}"
        ).fetchall()
    return int(count), [dict(zip(("id", "where", "problem"), row, strict=True)) for row in rows]
