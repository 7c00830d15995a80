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
    suite: Annotated[str, typer.Option("--suite", help="Name of a suite, or a folder or .jsonl file.")] = "smoke",
    out: o.OutOption = Path("runs"),
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            help="Engine to load it with, by default told from its layout; or what speaks without a checkpoint: "
            "espeak-ng, 'command: mytts --text {text} --out {wav}', 'http://127.0.0.1:8000', 'audio: folder/'.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="An option or a file of the engine ('speed=1.2', 'vocab=vocab.txt') or an option of a metric "
            "('dnsmos.windows=all'); repeatable.",
        ),
    ] = None,
    base: Annotated[
        Path | None, typer.Option("--base", help="The base of a LoRA adapter, if it is not where the adapter says.")
    ] = None,
    voice: Annotated[
        str | None,
        typer.Option("--voice", help="Whose voice: a clip, a style pack, codes; by default the reference clip."),
    ] = None,
    voice_text: Annotated[
        str | None,
        typer.Option("--voice-text", help="What is said in it, or a .txt file; default: clip.txt beside it."),
    ] = None,
    phonemes_from: Annotated[
        Path | None,
        typer.Option("--phonemes-from", help="Run folder whose phonemes are spoken, whatever the front end makes."),
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
    latency: Annotated[
        bool, typer.Option("--latency", help="Speak one utterance at a time and time it: first chunk, RTF, total.")
    ] = False,
    time_limit: Annotated[
        float, typer.Option("--time-limit", min=1.0, help="Seconds that one utterance may take in an engine's worker.")
    ] = 900.0,
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
    from evalkit.pipeline.speaking import Speaking
    from evalkit.pipeline.voices import VoiceChoice

    of_engine, of_metrics = o.told_apart(settings or [])
    chosen = o.run_options(
        out, reference, judges, metrics, device, baseline, limit, of_metrics, whisper, resampler, cache
    )
    speaking = Speaking(
        suite=suite,
        engine=engine,
        settings=tuple(of_engine),
        base=base,
        voice=VoiceChoice(voice, voice_text),
        phonemes_from=phonemes_from,
        items=o.comma_separated(items),
        repeats=repeats,
        seed=seed,
        utterance_s=time_limit,
        latency=latency,
    )
    with progress_bar(quiet) as announce:
        finished = run_checkpoint(checkpoint, speaking, chosen, announce, o.say)
    conclude(finished, min_coverage, as_json)
