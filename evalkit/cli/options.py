"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from evalkit.pipeline.job import Options


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
