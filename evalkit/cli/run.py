"""`evalkit run`: synthesise a suite with a checkpoint and score it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli import options as o


def run(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(
            show_default=False,
            help="The checkpoint: .pth, .pt, .safetensors, .gguf or a folder; a LoRA adapter; or a merge recipe "
            "(.yaml). Left out with an engine that needs none.",
        ),
    ] = None,
    suite: o.SuiteOption = "smoke",
    out: o.OutOption = Path("runs"),
    engine: o.EngineOption = None,
    settings: o.SettingsOption = None,
    base: o.BaseOption = None,
    voice: o.VoiceOption = None,
    voice_text: o.VoiceTextOption = None,
    phonemes_from: Annotated[
        Path | None,
        typer.Option("--phonemes-from", help="Run folder whose phonemes are spoken, whatever the front end makes."),
    ] = None,
    reference: o.ReferenceOption = None,
    judges: o.JudgesOption = o.JudgeChoice.auto,
    metrics: o.MetricsOption = None,
    items: o.ItemsOption = None,
    limit: o.LimitOption = None,
    repeats: o.RepeatsOption = 1,
    seed: o.SeedOption = 0,
    latency: Annotated[
        bool, typer.Option("--latency", help="Speak one utterance at a time and time it: first chunk, RTF, total.")
    ] = False,
    time_limit: o.TimeLimitOption = 900.0,
    whisper: o.WhisperOption = None,
    device: o.DeviceOption = "auto",
    resampler: o.ResamplerOption = o.Resampler.soxr,
    cache: o.CacheOption = True,
    baseline: o.BaselineOption = None,
    min_coverage: o.CoverageOption = 1.0,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
) -> None:
    """Synthesise a suite of sentences with CHECKPOINT and score the audio.

    An interrupted run goes on where it stopped when the same command is given again. Example:

        evalkit run merged.pth --suite indian-names --reference sarah/
    """
    from evalkit.cli.show import conclude, progress_bar
    from evalkit.pipeline.run import run_checkpoint

    of_engine, of_metrics = o.told_apart(settings or [])
    chosen = o.run_options(
        out, reference, judges, metrics, device, baseline, limit, of_metrics, whisper, resampler, cache
    )
    speaking = o.speaking(
        suite, engine, of_engine, base, voice, voice_text, items, repeats, seed, time_limit, phonemes_from, latency
    )
    with progress_bar(quiet) as announce:
        finished = run_checkpoint(checkpoint, speaking, chosen, announce, o.say)
    conclude(finished, min_coverage, as_json)
