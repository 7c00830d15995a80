"""`evalkit compare`: what differs between runs, how sure that is, and what to listen to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.cli import options as o
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from evalkit.decisions.scores import Scores


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="BASELINE OTHER [OTHER...]",
            help="Folders of finished runs, or CSV tables of scores; each is compared with the first.",
            show_default=False,
        ),
    ],
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Where the page goes; by default into the folder of the last run."),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write the tables as Markdown too, for the page of a CI job.")
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--columns", help="Only these columns (repeat, or separate by commas).")
    ] = None,
    margins: Annotated[
        list[str] | None,
        typer.Option(
            "--margin", metavar="COLUMN=VALUE", help="Differences smaller than this matter to nobody (repeatable)."
        ),
    ] = None,
    groups: Annotated[
        list[str] | None,
        typer.Option(
            "--group",
            metavar="NAME=TAG,TAG",
            help="Mean and variance over the means of these tags: unseen=speaker:1401,speaker:1212 (repeatable).",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare although passports, suites or references differ; marks the result.")
    ] = False,
    as_json: o.JsonOption = False,
) -> None:
    """Compare runs of a suite with the first of them: better, worse, equivalent, or cannot tell.

    Paired by item, with intervals, a test corrected for the number of columns, and a page with the items that changed
    most, to be heard side by side. Example:

        evalkit compare runs/2026-11-28-base-… runs/2026-11-28-merged-…
    """
    from evalkit.decisions.answers import margins_from
    from evalkit.decisions.comparison import compare as compare_scores
    from evalkit.decisions.groups import groups_from
    from evalkit.decisions.scores import open_scores

    if len(runs) < 2:
        raise EvalkitError("Give two runs at least: the baseline first, then what is compared with it.")
    chosen, named = margins_from(margins or []), groups_from(groups or [])
    opened = [open_scores(path) for path in runs]
    page = html or _page_path(opened)
    result = compare_scores(opened[0], opened[1:], chosen, named, force, o.comma_separated(columns))
    unknown = [name for name in chosen.keys() - margins_from([]).keys() if name not in result["columns"]]
    if unknown:
        raise EvalkitError(f"--margin {unknown[0]}: no such column in both; there are {', '.join(result['columns'])}.")
    _write(result, opened, page, markdown)
    _show(result, page, markdown, as_json)


def _page_path(opened: Sequence[Scores]) -> Path | None:
    """In the folder of the last run that has one; None where all are tables."""
    folders = [scores.folder for scores in opened[1:] if scores.folder]
    return folders[-1] / f"comparison-with-{Path(opened[0].run).stem}.html" if folders else None


def _write(result: Mapping[str, Any], opened: Sequence[Scores], page: Path | None, markdown: Path | None) -> None:
    from evalkit.files import write_atomically
    from reports.comparison_page import render_comparison
    from reports.comparison_text import render_comparison_markdown

    if page is not None:
        write_atomically(page, render_comparison(result, [scores.folder for scores in opened], page.parent))
    if markdown is not None:
        write_atomically(markdown, render_comparison_markdown(result))


def _show(result: Mapping[str, Any], page: Path | None, markdown: Path | None, as_json: bool) -> None:
    import json
    import sys

    if as_json:
        print(json.dumps(result, ensure_ascii=False, indent=1, allow_nan=False))
        return
    from rich.console import Console

    from reports.comparison_text import comparison_terminal

    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(comparison_terminal(result))
    for name, path in (("Page", page), ("Markdown", markdown)):
        if path is not None:
            console.print(f"{name}: {path}", markup=False, highlight=False, soft_wrap=True)
