"""`evalkit calibrate`: measure how often a judge is right, and set its thresholds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from evalkit.cli import options as o
from evalkit.errors import EvalkitError


def calibrate(
    judge: Annotated[str, typer.Argument(help="Registry entry of the judge, such as pronunciation.wav2vec2.")],
    clips: Annotated[
        Path | None,
        typer.Option(
            "--clips", help="Folder of clips with an index.jsonl that says what is spoken; default: those of the suite."
        ),
    ] = None,
    settings: o.SetOption = None,
    device: o.DeviceOption = "auto",
    as_json: o.JsonOption = False,
) -> None:
    """Measure JUDGE on clips whose right answer is known and keep the result beside its weights.

    Every later run with these weights takes its thresholds from there and says how often the judge is right.
    """
    from evalkit.suites.builtin import indian_names

    file = _calibrate(judge, clips or indian_names / "calibration", settings or [], device)
    measured: dict[str, Any] = {"file": str(file), **json.loads(file.read_text(encoding="utf-8"))}
    if as_json:
        typer.echo(json.dumps(measured, indent=2, ensure_ascii=False))
        return
    for variants, data in measured["variants"].items():
        accuracy = data["accuracy"]["accuracy"]
        low, high = accuracy["ci95"]
        typer.echo(
            f"variants={variants}: right on {accuracy['value']:.1%} of {accuracy['clips']} clips "
            f"(95 % interval {low:.1%} to {high:.1%}), threshold {data['threshold']:g} nats per frame."
        )
    typer.echo(f"Kept in {file}.")


def _calibrate(judge: str, clips: Path, settings: list[str], device: str) -> Path:
    """The file that the judge keeps its calibration in."""
    from evalkit.pipeline.engine_setup import pick_device
    from evalkit.registry import METRICS
    from metrics.options import parse_settings

    cls = METRICS.load(judge)
    if not hasattr(cls, "calibrate"):
        raise EvalkitError(f"The metric '{judge}' has nothing to calibrate here: what it decides by comes with it.")
    prefix = f"{judge}."
    try:
        given = [setting.removeprefix(prefix) for setting in settings]
        options = parse_settings(f"the metric '{judge}'", cls.spec.options, given, prefix)
        if problem := cls.unavailable(**options):
            raise EvalkitError(f"The metric '{judge}' cannot run here: it {problem}.")
        return Path(cls(device=pick_device(device), **options).calibrate(clips))
    except ValueError as error:
        raise EvalkitError(str(error)) from error
