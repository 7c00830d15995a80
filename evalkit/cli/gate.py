"""`evalkit gate`: may this run replace its baseline?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli import options as o
from evalkit.errors import BlockedError, EvalkitError

if TYPE_CHECKING:
    from evalkit.decisions.scores import Scores


def gate(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run, or a CSV of scores.", show_default=False)],
    rules: Annotated[
        Path | None, typer.Option("--rules", help="File of rules (TOML); by default the suite's own gate.toml.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="RUN",
            help="Run folder, id of a run beside this one, or a CSV of scores; by default the accepted one.",
        ),
    ] = None,
    label: Annotated[str, typer.Option("--label", help="Which accepted baseline.")] = "default",
    strict: Annotated[
        bool, typer.Option("--strict", help="Block what cannot be told, and what has nothing to compare with.")
    ] = False,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the rules as JUnit XML to this file.")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write the verdict as Markdown to this file.")
    ] = None,
    as_json: o.JsonOption = False,
) -> None:
    """Hold RUN against rules and its baseline: exit status 0 if it may pass, 1 if it is blocked. Example:

    evalkit gate runs/2026-11-28-merged-indian-names-8a8bacb9 --markdown gate.md
    """
    from evalkit.decisions.gate.judging import judge
    from evalkit.decisions.gate.rules import read_rules, starter_rules
    from evalkit.decisions.scores import open_scores
    from evalkit.files import write_atomically, write_json
    from evalkit.runs.baselines import VERDICT
    from reports.gate_text import render_gate_markdown, render_junit

    scores = open_scores(run)
    if rules is None and (scores.manifest is None or scores.manifest["engine"] is None):
        raise EvalkitError(f"{run} is of no suite, so no rules come with it: give a file of them with --rules.")
    chosen = read_rules(rules) if rules is not None else starter_rules(_suite(scores))
    result = judge(scores, chosen, _baseline(run, scores, baseline, label), strict)
    if scores.folder is not None:
        write_json(scores.folder / VERDICT, result)
    if junit is not None:
        write_atomically(junit, render_junit([result]))
    if markdown is not None:
        write_atomically(markdown, render_gate_markdown([result]))
    if as_json:
        print(json.dumps(result, ensure_ascii=False, indent=1))
    else:
        _print(result)
    if result["verdict"] == "blocked":
        raise BlockedError(result["sentence"])


def _baseline(run: Path, scores: Scores, given: str | None, label: str) -> Scores | None:
    """The run to compare with; None where none was given and none accepted."""
    from evalkit.decisions.scores import open_scores
    from evalkit.runs.baselines import DEFAULT_LABEL, accepted, baseline_folder

    beside = run.resolve().parent
    if given is not None:
        places = [Path(given), beside / given]
        found = next((place for place in places if place.exists()), None)
        if found is None:
            raise EvalkitError(f"There is no baseline {given}, neither as a path nor as a run in {beside}.")
        return open_scores(found)
    if scores.manifest is None:
        return None
    entry = accepted(beside, label, _suite(scores))
    if entry is None and label != DEFAULT_LABEL:
        raise EvalkitError(
            f"No run of the suite '{_suite(scores)}' in {beside} was accepted under the label '{label}'; "
            "see `evalkit baseline list`."
        )
    return None if entry is None else open_scores(baseline_folder(beside, entry))


def _suite(scores: Scores) -> str:
    return str(scores.manifest["suite"]["name"]) if scores.manifest is not None else ""


def _print(result: dict[str, object]) -> None:
    from rich.console import Console

    from reports.gate_text import gate_table

    Console(width=None if sys.stdout.isatty() else 140).print(gate_table(result))
