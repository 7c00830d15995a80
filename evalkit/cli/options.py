"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from evalkit.pipeline.job import Options
    from evalkit.pipeline.speaking import Speaking


class JudgeChoice(StrEnum):
    auto = "auto"
    bundled = "bundled"
    standard = "standard"


OutOption = Annotated[Path, typer.Option("--out", help="Folder that run folders go into.")]
ReferenceOption = Annotated[
    Path | None, typer.Option("--reference", help="Clip of the speaker it should sound like, or a folder of clips.")
]
JudgesOption = Annotated[
    JudgeChoice, typer.Option("--judges", help="auto: the standard judge where it is installed, else the bundled one.")
]
MetricsOption = Annotated[
    list[str] | None, typer.Option("--metrics", help="Only these metrics (repeat, or separate by commas).")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N items.")]
BaselineOption = Annotated[
    Path | None, typer.Option("--baseline", help="Run folder to compare with: adds the paired differences.")
]
CoverageOption = Annotated[
    float,
    typer.Option("--min-coverage", min=0.0, max=1.0, help="Exit with 3 if a smaller share of utterances was scored."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="An option of a metric: 'dnsmos.windows=all' (repeatable)."),
]
WhisperOption = Annotated[
    str | None,
    typer.Option("--whisper", metavar="MODEL", help="Judge WER by this Whisper model: 'base.en', or a .pt file."),
]
CacheOption = Annotated[
    bool, typer.Option("--cache/--no-cache", help="Take scores of the same audio that were computed before.")
]

# How a suite is spoken, in every command that speaks one.
SuiteOption = Annotated[str, typer.Option("--suite", help="Name of a suite, or a folder or .jsonl file.")]
EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine",
        help="Engine to load it with, by default told from its layout; or what speaks without a checkpoint: "
        "espeak-ng, 'command: mytts --text {text} --out {wav}', 'http://127.0.0.1:8000', 'audio: folder/'.",
    ),
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="An option or a file of the engine ('speed=1.2', 'vocab=vocab.txt') or an option of a metric "
        "('dnsmos.windows=all'); repeatable.",
    ),
]
BaseOption = Annotated[
    Path | None, typer.Option("--base", help="The base of a LoRA adapter, if it is not where the adapter says.")
]
VoiceOption = Annotated[
    str | None,
    typer.Option("--voice", help="Whose voice: a clip, a style pack, codes; by default the reference clip."),
]
VoiceTextOption = Annotated[
    str | None,
    typer.Option("--voice-text", help="What is said in it, or a .txt file; default: clip.txt beside it."),
]
ItemsOption = Annotated[
    list[str] | None,
    typer.Option("--items", help="Only items with these ids or tags, wildcards allowed: 'in-0*', 'kind:place'."),
]
RepeatsOption = Annotated[
    int, typer.Option("--repeats", min=1, help="Speak every item N times, each with its own seed.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of the run.")]
TimeLimitOption = Annotated[
    float, typer.Option("--time-limit", min=1.0, help="Seconds that one utterance may take in an engine's worker.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]


class Resampler(StrEnum):
    soxr = "soxr"
    device = "device"


ResamplerOption = Annotated[
    Resampler,
    typer.Option(
        "--resampler", help="soxr: as published scores have it. device: faster on a GPU, scores move a little."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def run_options(
    out: Path,
    reference: Path | None,
    judges: JudgeChoice,
    metrics: list[str] | None,
    device: str,
    baseline: Path | None,
    limit: int | None,
    settings: list[str],
    whisper: str | None,
    resampler: Resampler,
    cache: bool,
) -> Options:
    """What `run` and `score` share, as the API takes it. settings: of metrics."""
    from evalkit.pipeline.job import Options

    judged_by = ("wer.whisper",) if whisper else ()
    chosen_model = [f"wer.model={whisper}"] if whisper else []
    return Options(
        out,
        reference,
        judges.value,
        comma_separated(metrics),
        device,
        baseline,
        limit,
        (*settings, *chosen_model),
        resampler.value,
        judged_by,
        cache,
    )


def speaking(
    suite: str,
    engine: str | None,
    settings: list[str],
    base: Path | None,
    voice: str | None,
    voice_text: str | None,
    items: list[str] | None,
    repeats: int,
    seed: int,
    time_limit: float,
    phonemes_from: Path | None = None,
    latency: bool = False,
) -> Speaking:
    """How a suite is spoken, as the API takes it. settings: of the engine."""
    from evalkit.pipeline.speaking import Speaking
    from evalkit.pipeline.voices import VoiceChoice

    return Speaking(
        suite,
        engine,
        tuple(settings),
        base,
        VoiceChoice(voice, voice_text),
        phonemes_from,
        comma_separated(items),
        repeats,
        seed,
        time_limit,
        latency,
    )


def comma_separated(values: list[str] | None) -> tuple[str, ...]:
    """`["a,b", "c"]` -> ("a", "b", "c")."""
    return tuple(name.strip() for value in values or [] for name in value.split(",") if name.strip())


def told_apart(settings: list[str]) -> tuple[list[str], list[str]]:
    """Settings of the engine ("speed=1.2") and of metrics ("dnsmos.windows=all")."""
    of_metrics = [setting for setting in settings if "." in setting.partition("=")[0]]
    return [setting for setting in settings if setting not in of_metrics], of_metrics


def say(sentence: str) -> None:
    """Tell the user something while a command works."""
    typer.echo(f"evalkit: {sentence}", err=True)
