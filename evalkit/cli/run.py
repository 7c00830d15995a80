"""`evalkit run`: synthesise a suite with a checkpoint and score it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli import options as o


def run(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="The checkpoint: .pth, .pt, .safetensors or a folder; a LoRA adapter; or a merge recipe (.yaml)."
        ),
    ],
    suite: Annotated[str, typer.Option("--suite", help="Name of a suite, or a folder or .jsonl file.")] = "smoke",
    out: o.OutOption = Path("runs"),
    engine: Annotated[
        str | None, typer.Option("--engine", help="Engine to load it with; by default told from its layout.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="An option of the engine ('speed=1.2') or of a metric ('dnsmos.windows=all'); repeatable.",
        ),
    ] = None,
    base: Annotated[
        Path | None, typer.Option("--base", help="The base of a LoRA adapter, if it is not where the adapter says.")
    ] = None,
    reference: o.ReferenceOption = None,
    judges: o.JudgesOption = o.JudgeChoice.auto,
    metrics: o.MetricsOption = None,
    items: Annotated[
        list[str] | None,
        typer.Option("--items", help="Only items with these ids or tags, wildcards allowed: 'in-0*', 'kind:place'."),
    ] = None,
    limit: o.LimitOption = None,
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, help="Speak every item N times, each with its own seed.")
    ] = 1,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the run.")] = 0,
    whisper: o.WhisperOption = None,
    device: o.DeviceOption = "auto",
    resampler: o.ResamplerOption = o.Resampler.soxr,
    cache: o.CacheOption = True,
    baseline: o.BaselineOption = None,
    min_coverage: o.CoverageOption = 1.0,
    as_json: o.JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Synthesise a suite of sentences with CHECKPOINT and score the audio.

    An interrupted run goes on where it stopped when the same command is given again. Example:

        evalkit run merged.pth --suite indian-names --reference sarah/
    """
    from evalkit.cli.show import conclude, progress_bar
    from evalkit.pipeline.run import run_checkpoint

    of_metrics = [setting for setting in settings or [] if "." in setting.partition("=")[0]]
    of_engine = [setting for setting in settings or [] if setting not in of_metrics]
    chosen = o.run_options(
        out, reference, judges, metrics, device, baseline, limit, of_metrics, whisper, resampler, cache
    )
    with progress_bar(quiet) as announce:
        finished = run_checkpoint(
            checkpoint, suite, chosen, announce, engine, of_engine, repeats, seed, o.comma_separated(items), base
        )
    conclude(finished, min_coverage, as_json)
