"""`evalkit sweep`: merge coefficients, layers, ranks, sampling options and voices, measured point by point."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from evalkit.cli import options as o
from evalkit.errors import BlockedError, CoverageError, EvalkitError


class Method(StrEnum):
    tpe = "tpe"
    nsga2 = "nsga2"


def sweep(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="SUBJECT [AXIS=SPEC]",
            help="A merge recipe (.yaml), a checkpoint or an adapter; and further axes, so that --grid can be followed "
            "by several.",
        ),
    ],
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            "--axes",
            metavar="AXIS=SPEC",
            help="An axis: 'alpha=0.5:1.0:0.1' (coefficient of the first model; beta of the second; or a model's "
            "name), 'sarah:decoder=0,1', 'density=0.2,0.5', 'rank=4,8' (or what stands as ${name} in the recipe), "
            "'set.temperature=0.5,1', 'voice=a.wav,b.wav', 'voice_s=3,6,12'. A search also takes ranges: "
            "'alpha=0..1.5'. Repeatable.",
        ),
    ] = None,
    search: Annotated[
        Method | None,
        typer.Option(
            "--search",
            help="Search instead of a grid: tpe for one objective, stops bad points early; nsga2 for several.",
        ),
    ] = None,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Points that a search tries.")] = 30,
    suite: o.SuiteOption = "smoke",
    primary: Annotated[
        str | None,
        typer.Option(
            "--primary",
            metavar="COLUMN",
            help="The column to choose by: pronunciation_accuracy where the suite has names, else dnsmos_ovrl.",
        ),
    ] = None,
    objectives: Annotated[
        list[str] | None,
        typer.Option("--objectives", metavar="COLUMN", help="Others for the Pareto front; default: the main ones."),
    ] = None,
    split: Annotated[
        float | None,
        typer.Option("--split", metavar="SHARE", help="Share of the items to choose on; the rest gives the figure."),
    ] = None,
    no_split: Annotated[
        bool, typer.Option("--no-split", help="Choose and measure on all items: the figure is then too good.")
    ] = False,
    rules: Annotated[Path | None, typer.Option("--rules", help="Choose among points that pass this gate.toml.")] = None,
    parents: Annotated[bool, typer.Option("--parents", help="Measure each model of the recipe alone too.")] = False,
    out: o.OutOption = Path("runs"),
    engine: o.EngineOption = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="An option of the engine or of a metric, the same at every point."
        ),
    ] = None,
    base: o.BaseOption = None,
    voice: o.VoiceOption = None,
    voice_text: o.VoiceTextOption = None,
    reference: o.ReferenceOption = None,
    judges: o.JudgesOption = o.JudgeChoice.auto,
    metrics: o.MetricsOption = None,
    items: o.ItemsOption = None,
    limit: o.LimitOption = None,
    repeats: o.RepeatsOption = 1,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the runs and of the search.")] = 0,
    time_limit: o.TimeLimitOption = 900.0,
    whisper: o.WhisperOption = None,
    device: o.DeviceOption = "auto",
    resampler: o.ResamplerOption = o.Resampler.soxr,
    cache: o.CacheOption = True,
    min_coverage: Annotated[
        float,
        typer.Option("--min-coverage", min=0.0, max=1.0, help="Points with a smaller share scored are not chosen."),
    ] = 1.0,
    as_json: o.JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing of single points.")] = False,
) -> None:
    """Measure a merge recipe or a checkpoint over a grid or a search, choose a point, and save it.

    The choice is made on one part of the suite, the figure quoted comes from the other. An interrupted sweep goes on
    when the same command is given again. Examples:

        evalkit sweep recipe.yaml --suite indian-names --grid alpha=0.5:1.0:0.1 beta=0.3,0.5,0.7,1.0

        evalkit sweep recipe.yaml --search tpe --trials 40 --axes alpha=0..1.5 beta=0..1.5

        evalkit sweep voice.pth --grid set.temperature=0.2,0.5,1 --repeats 3
    """
    from evalkit.decisions.sweep.preparing import Wanted
    from evalkit.decisions.sweep.sweeping import sweep as carry_out

    subject, more = _told_apart(arguments)
    if no_split and split is not None:
        raise EvalkitError("--split and --no-split contradict each other; leave one out.")
    of_engine, of_metrics = o.told_apart(settings or [])
    wanted = Wanted(
        subject=subject,
        axes=(*(grid or ()), *more),
        speaking=o.speaking(suite, engine, of_engine, base, voice, voice_text, items, repeats, seed, time_limit),
        options=o.run_options(
            out, reference, judges, metrics, device, None, limit, of_metrics, whisper, resampler, cache
        ),
        search=search.value if search else "grid",
        trials=trials,
        primary=primary,
        objectives=o.comma_separated(objectives),
        split=None if no_split else 0.5 if split is None else split,
        rules=rules,
        parents=parents,
        min_coverage=min_coverage,
    )
    swept = carry_out(wanted, (lambda sentence: None) if quiet else o.say)
    _show(swept.content, as_json)
    _conclude(swept.content)


def _told_apart(arguments: list[str]) -> tuple[Path, list[str]]:
    """The subject, wherever it stands among the axes that follow --grid."""
    axes = [argument for argument in arguments if "=" in argument and not Path(argument).exists()]
    subjects = [argument for argument in arguments if argument not in axes]
    if len(subjects) != 1:
        found = " and ".join(subjects) if subjects else "nothing"
        raise EvalkitError(f"Name one recipe, checkpoint or adapter to sweep; this names {found}.")
    return Path(subjects[0]), axes


def _show(content: dict[str, Any] | Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps(content, ensure_ascii=False, indent=1))
        return
    import sys

    from rich.console import Console

    from reports.sweep_text import sentences, terminal_sweep

    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False, markup=False)
    console.print(terminal_sweep(content))
    for line in sentences(content):
        console.print(line, soft_wrap=True)
    if content["winner"]:
        console.print(content["winner"]["command"], soft_wrap=True, style="bold")
    console.print(f"Report: {content['folder']}/report.html", soft_wrap=True)


def _conclude(content: Any) -> None:
    if content["choice"] is not None:
        return
    blocked = [point for point in content["points"] if point["status"] == "blocked"]
    if blocked:
        raise BlockedError(
            f"No point passes the rules {content['rules']}: see {content['folder']}/report.html for what each lacks."
        )
    raise CoverageError(
        f"No point could be scored whole, so none is chosen: see {content['folder']}/report.html, or give "
        "--min-coverage."
    )
