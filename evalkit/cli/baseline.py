"""`evalkit baseline`."""

from __future__ import annotations

import typer

baseline = typer.Typer(no_args_is_help=True, help="Accept a run as the one that later runs are compared with.")


@baseline.command("accept")
def accept() -> None:
    """To be written."""
    raise NotImplementedError
