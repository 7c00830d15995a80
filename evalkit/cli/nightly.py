"""`evalkit nightly`: models x suites x engines, a verdict for each, and the site that shows them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.cli import options as o

if TYPE_CHECKING:
    from evalkit.nightly.nights import Night
    from evalkit.nightly.schema import File


def nightly(
    config: Annotated[Path, typer.Argument(show_default=False, help="The nightly.toml: models, suites, rules.")],
    night: Annotated[
        str | None,
        typer.Option("--night", help="Name of the night; by default the open one, or the date on which it began."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, say what would run and be pruned, and do nothing.")
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the history and the pages again from the nights, and run nothing.")
    ] = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
) -> None:
    """Evaluate every model on every suite, judge each by the gate, and write a site with the history.

    Interrupted, it goes on where it stopped when the same command is given again. A job that fails is reported, and the
    others run. Exit status 1: a gate blocked; 3: a job failed, or coverage fell short. Example:

        evalkit nightly nightly.toml
    """
    from evalkit.nightly.config import read_config

    file = read_config(config)
    if rebuild:
        _rebuild(file, as_json)
    elif dry_run:
        _dry_run(config, file, night, as_json)
    else:
        _run(config, file, night, as_json, quiet)


def _run(config: Path, file: File, label: str | None, as_json: bool, quiet: bool) -> None:
    from evalkit.cli.show import progress_bar
    from evalkit.nightly.carrying_out import carry_out
    from evalkit.nightly.ending import exit_error

    with progress_bar(quiet) as announce:
        done = carry_out(config, file, label, announce, o.say)
    _print(done, file, as_json)
    if error := exit_error(done, file.out):
        raise error


def _print(night: Night, file: File, as_json: bool) -> None:
    from evalkit.nightly.site import card, rank

    if as_json:
        _json(night)
        return
    import sys

    from rich.console import Console

    from reports.nightly_text import night_table

    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(night_table({**night, "cards": sorted(map(card, night["jobs"]), key=rank)}))
    page = file.out / "nights" / f"{night['night']}.html"
    console.print(f"Report: {page}", highlight=False, soft_wrap=True)


def _dry_run(config: Path, file: File, label: str | None, as_json: bool) -> None:
    from evalkit.cli.show import print_rows
    from evalkit.nightly.ending import planned

    said = planned(config, file, label)
    if as_json:
        _json(said)
        return
    print_rows(f"Night {said['night']} would have", said["jobs"], False)
    if said["pruned"]:
        print_rows("The audio of these runs would be pruned", said["pruned"], False)
    for sentence in said["notices"]:
        o.say(sentence)


def _rebuild(file: File, as_json: bool) -> None:
    from evalkit.nightly.ending import rebuilt

    said = rebuilt(file)
    for sentence in said["notices"]:
        o.say(sentence)
    if as_json:
        _json(said)
    else:
        typer.echo(f"The history has {said['rows']} rows of {said['nights']} nights; the pages were made again.")


def _json(value: Any) -> None:
    import json

    typer.echo(json.dumps(value, ensure_ascii=False, indent=1))
