"""`evalkit inspect`: what a checkpoint is, and whether several can be merged, before GPU time is spent."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from evalkit.cli import options as o


class Layers(StrEnum):
    auto = "auto"
    all = "all"
    sections = "sections"


def inspect(
    checkpoints: Annotated[list[Path], typer.Argument(help="Checkpoints or LoRA adapters; several are compared.")],
    base: Annotated[
        Path | None, typer.Option("--base", help="What they were fine-tuned from: adds their task vectors.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write a page that needs nothing else.")
    ] = None,
    layers: Annotated[
        Layers, typer.Option("--layers", help="all, or folded into sections; auto shows up to 40.")
    ] = Layers.auto,
    as_json: o.JsonOption = False,
) -> None:
    """Say what is in CHECKPOINTS, and what would break a merge of them.

    The status is 0 whatever was found, 2 if a checkpoint cannot be read. Example:

        evalkit inspect sarah.pth sumit.pth --base base.pth --html vectors.html
    """
    import json

    from evalkit.checkpoints.inspection import inspect_all
    from evalkit.merging.inspecting import opener, read_any

    found = inspect_all(checkpoints, base, read_any, opener(base))
    if page is not None:
        _write_page(found, page)
    if as_json:
        print(json.dumps(found, allow_nan=False, indent=1))  # ASCII: names in the file may be no valid Unicode
    else:
        _print(found, layers.value, page)


def _write_page(found: dict[str, Any], page: Path) -> None:
    from evalkit.files import write_atomically
    from reports.inspection_page import render_inspection

    write_atomically(page, render_inspection(found))


def _print(found: dict[str, Any], layers: str, page: Path | None) -> None:
    import sys

    from rich.console import Console

    from reports.inspection_terminal import terminal_inspection

    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(terminal_inspection(found, console.width, layers), highlight=False)
    if page is not None:
        console.print(f"Page: {page}", markup=False, highlight=False, soft_wrap=True)
