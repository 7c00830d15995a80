"""`evalkit select`: which checkpoint of a training to take, or which clip to clone a voice from."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.cli import options as o
from evalkit.errors import BlockedError, CoverageError, EvalkitError, some

if TYPE_CHECKING:
    from evalkit.pipeline.job import Options


def select(
    checkpoints: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CKPT...",
            show_default=False,
            help="Checkpoints of one training, or folders of them; the step is read from the name (step-00050).",
        ),
    ] = None,
    suite: o.SuiteOption = "smoke",
    losses: Annotated[
        Path | None,
        typer.Option("--losses", help="What the training logged: .csv, .jsonl, trainer_state.json or TensorBoard."),
    ] = None,
    loss: Annotated[
        list[str] | None,
        typer.Option("--loss", help="Which losses; default: the training loss, and a validation loss if there is one."),
    ] = None,
    primary: Annotated[
        str, typer.Option("--primary", help="Column, corpus figure or metric that checkpoints are ranked by.")
    ] = "dnsmos_ovrl",
    margin: Annotated[
        list[str] | None,
        typer.Option("--margin", metavar="COLUMN=VALUE", help="Smaller differences matter to nobody: dnsmos_ovrl=0.1."),
    ] = None,
    rules: Annotated[
        Path | None, typer.Option("--rules", help="Only checkpoints that pass this gate (.toml) are ranked.")
    ] = None,
    stages: Annotated[
        int | None, typer.Option("--stages", min=1, help="Stages of growing size; default: as suit the items, 1 to 4.")
    ] = None,
    keep: Annotated[float, typer.Option("--keep", help="Share of the checkpoints that goes on after a stage.")] = 0.5,
    references: Annotated[
        Path | None,
        typer.Option("--references", help="Instead of checkpoints: rank the clips of this folder as voices to clone."),
    ] = None,
    out: o.OutOption = Path("runs"),
    engine: o.EngineOption = None,
    settings: o.SettingsOption = None,
    base: o.BaseOption = None,
    voice: o.VoiceOption = None,
    voice_text: o.VoiceTextOption = None,
    reference: o.ReferenceOption = None,
    judges: o.JudgesOption = o.JudgeChoice.auto,
    metrics: o.MetricsOption = None,
    items: o.ItemsOption = None,
    limit: o.LimitOption = None,
    repeats: o.RepeatsOption = 1,
    seed: o.SeedOption = 0,
    time_limit: o.TimeLimitOption = 900.0,
    whisper: o.WhisperOption = None,
    device: o.DeviceOption = "auto",
    resampler: o.ResamplerOption = o.Resampler.soxr,
    cache: o.CacheOption = True,
    baseline: o.BaselineOption = None,
    min_coverage: Annotated[
        float,
        typer.Option("--min-coverage", min=0.0, max=1.0, help="A checkpoint with fewer utterances scored is out."),
    ] = 1.0,
    html: Annotated[Path | None, typer.Option("--html", help="Write the page to this file as well.")] = None,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
) -> None:
    """Choose among the checkpoints of one training, and say where its loss no longer tells how it sounds.

    Bad checkpoints stop after a few items. Interrupted, it goes on when the same command is given again. Example:

        evalkit select runs/train/ --suite general --losses runs/train/trainer_state.json
    """
    of_engine, of_metrics = o.told_apart(settings or [])
    chosen = o.run_options(
        out, reference, judges, metrics, device, baseline, limit, of_metrics, whisper, resampler, cache
    )
    if references is not None:
        if checkpoints:
            raise EvalkitError("--references ranks clips: leave the checkpoints out, or the option.")
        _references(references, chosen, html, as_json, quiet)
        return
    if not checkpoints:
        raise EvalkitError("Name the checkpoints of a training, or a folder of them; or clips, with --references.")
    from evalkit.cli.show import progress_bar
    from evalkit.decisions.answers import margins_from
    from evalkit.decisions.select.checkpoints import read_training
    from evalkit.decisions.select.prepare import Wish
    from evalkit.decisions.select.selecting import render
    from evalkit.decisions.select.selecting import select as choose
    from evalkit.files import write_atomically
    from reports.selection_text import terminal_selection

    speaking = o.speaking(suite, engine, of_engine, base, voice, voice_text, items, repeats, seed, time_limit)
    wish = Wish(primary, rules, stages, keep, losses, tuple(loss or ()), margins_from(margin or []), min_coverage)
    say = (lambda sentence: None) if quiet else o.say
    training = read_training(checkpoints)
    selection = choose(training, speaking, chosen, wish, lambda: progress_bar(quiet), say)
    if html is not None:
        write_atomically(html, render(selection.result, html.absolute().parent, out))
    _show(selection.result, selection.folder / "report.html", as_json, terminal_selection)
    _conclude(selection.result)


def _references(clips: Path, options: Options, html: Path | None, as_json: bool, quiet: bool) -> None:
    from evalkit.cli.show import progress_bar
    from evalkit.decisions.select.references import links, rank_references
    from evalkit.files import write_atomically
    from reports.references_page import render_references, terminal_references

    with progress_bar(quiet) as announce:
        ranked = rank_references(clips, options, announce)
    if html is not None:
        write_atomically(html, render_references(ranked.result, links(ranked.result, html.absolute().parent)))
    _show(ranked.result, ranked.folder / "report.html", as_json, terminal_references)


def _show(result: Mapping[str, Any], page: Path, as_json: bool, terminal: Any) -> None:
    if as_json:
        print(json.dumps(result, ensure_ascii=False, indent=1))
        return
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 160)
    for part in terminal(result):
        console.print(part)
    console.print(f"Page: {page}", highlight=False, soft_wrap=True)


def _conclude(result: Mapping[str, Any]) -> None:
    """Raises where the result stands, and yet not everything went well."""
    failed = [one for one in result["checkpoints"] if one["state"] == "failed"]
    if failed:
        raise CoverageError(
            f"{len(failed)} of {len(result['checkpoints'])} checkpoints could not be evaluated "
            f"({some([one['name'] for one in failed])}); {failed[0]['name']}: {failed[0]['reason']}"
        )
    if result["chosen"] is None:
        raise BlockedError("No checkpoint passed the gate.")
