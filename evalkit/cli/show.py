"""What the commands print: a progress bar while they work, a table at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from evalkit.errors import CoverageError

if TYPE_CHECKING:
    from rich.console import Console

    from evalkit.pipeline.run import Announce, Finished
    from evalkit.runs.folder import RunFolder

Count = Callable[[int], Callable[[int, float], None]]  # how many in all -> told how many are done, and their seconds


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Announce]:
    """Announces a run and then counts utterances and audio seconds. Silent when not on a terminal."""
    with _bar("utterances", quiet) as (console, count):

        def announce(folder: RunFolder, planned: int, done: int) -> Callable[[int, float], None]:
            if done and not quiet:
                console.print(
                    f"Resuming {folder.path}: {done} of {planned} utterances are done.", style="dim", highlight=False
                )
            return count(planned)

        yield announce


@contextmanager
def counting_bar(what: str, quiet: bool) -> Iterator[Count]:
    """Counts `what`, and the seconds of audio in them, up to a number that is told when it begins."""
    with _bar(what, quiet) as (_, count):
        yield count


@contextmanager
def _bar(what: str, quiet: bool) -> Iterator[tuple[Console, Count]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[audio]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
    )

    def count(total: int) -> Callable[[int, float], None]:
        task = bar.add_task(what, total=total, audio="")
        seconds = 0.0

        def advance(done: int, audio_s: float) -> None:
            nonlocal seconds
            seconds += audio_s
            elapsed = bar.tasks[task].elapsed or 0.0
            speed = f", {seconds / elapsed:.1f}x real time" if elapsed > 1 and seconds else ""
            bar.update(task, advance=done, audio=f"{_duration(seconds)} of audio{speed}")

        return advance

    with bar:
        yield console, count


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def conclude(finished: Finished, min_coverage: float, as_json: bool) -> None:
    """Print the result. Raises CoverageError when too few utterances could be scored."""
    if finished.cache_problem:
        print(f"evalkit: {finished.cache_problem}", file=sys.stderr)
    if as_json:
        print(json.dumps(finished.summary, ensure_ascii=False, indent=1))
    else:
        print_summary(finished)
    coverage = finished.summary["coverage"]
    if coverage["share"] < min_coverage:
        statuses = ", ".join(f"{count} {status}" for status, count in coverage["by_status"].items() if status != "ok")
        raise CoverageError(
            f"Only {coverage['ok']} of {coverage['planned']} utterances could be scored ({statuses}): "
            f"see {finished.folder.report_path}."
        )
    if coverage["metric_crashed"]:
        raise CoverageError(
            f"A metric failed on {coverage['metric_crashed']} utterance(s): see why in {finished.folder.report_path}."
        )


def print_summary(finished: Finished) -> None:
    from rich.console import Console

    from reports import terminal_table

    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(terminal_table(finished.summary))
    console.print(f"Report: {finished.folder.report_path}", highlight=False, soft_wrap=True)
    if finished.from_cache:
        console.print(
            f"{finished.from_cache} scores of the same audio were computed before (--no-cache computes them again).",
            style="dim",
            highlight=False,
        )


def print_rows(title: str, rows: list[dict[str, Any]], as_json: bool, left_out: Collection[str] = ()) -> None:
    """Print rows of equal keys as a table, without the columns `left_out`, or whole as JSON."""
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # As Text: names out of files may look like markup.
    table = Table(title=Text(title, "table.title"), title_justify="left", box=None, padding=(0, 2, 0, 0))
    shown = [name for name in (rows[0] if rows else ()) if name not in left_out]
    for name in shown:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row[name])) for name in shown))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
