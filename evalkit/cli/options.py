"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


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
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def comma_separated(values: list[str] | None) -> tuple[str, ...]:
    """`["a,b", "c"]` -> ("a", "b", "c")."""
    return tuple(name.strip() for value in values or [] for name in value.split(",") if name.strip())
