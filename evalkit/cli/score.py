"""`evalkit score`: score audio that exists already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli import options as o


def score(
    audio: Annotated[Path, typer.Argument(help="A folder of audio, or a CSV with the column 'audio'.")],
    suite: Annotated[
        str | None, typer.Option("--suite", help="Suite whose items the files are named after (in-001.flac).")
    ] = None,
    out: o.OutOption = Path("runs"),
    reference: o.ReferenceOption = None,
    judges: o.JudgesOption = o.JudgeChoice.auto,
    metrics: o.MetricsOption = None,
    limit: o.LimitOption = None,
    settings: o.SetOption = None,
    whisper: o.WhisperOption = None,
    device: o.DeviceOption = "auto",
    resampler: o.ResamplerOption = o.Resampler.soxr,
    cache: o.CacheOption = True,
    baseline: o.BaselineOption = None,
    min_coverage: o.CoverageOption = 1.0,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
) -> None:
    """Score AUDIO through the same path as a run.

    A folder takes the text of a.wav from a.txt beside it. A CSV may have the columns id, text, spoken, reference and
    tags beside 'audio'. Columns that need a text or a reference nobody gave are absent, and the table says why. With
    --suite every item needs a file: one that has none counts against the coverage, like one that cannot be read.
    """
    from evalkit.cli.show import conclude, progress_bar
    from evalkit.pipeline.existing import plan_existing
    from evalkit.pipeline.run import score_files
    from evalkit.suites import load_suite

    chosen_suite = load_suite(suite) if suite else None
    planned, content = plan_existing(audio, chosen_suite.items if chosen_suite else ())
    chosen = o.run_options(
        out, reference, judges, metrics, device, baseline, limit, settings or [], whisper, resampler, cache
    )
    name = audio.resolve().name if audio.is_dir() else audio.stem
    with progress_bar(quiet) as announce:
        finished = score_files(name, planned, content, chosen, announce, o.say, chosen_suite)
    conclude(finished, min_coverage, as_json)
