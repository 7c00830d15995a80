"""The `evalkit` command: what to call, and how an error becomes a sentence and an exit status."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

from evalkit import __version__
from evalkit.cli import (
    adapter,
    audit,
    baseline,
    calibrate,
    compare,
    diagnose,
    doctor,
    engines,
    fetch,
    gate,
    inspect,
    listing,
    merge,
    nightly,
    run,
    score,
    select,
    sweep,
)
from evalkit.errors import EvalkitError

INTERNAL_ERROR = 4
INTERRUPTED = 130


class _Group(TyperGroup):
    """Turns what a command raises into one sentence on standard error and the documented exit status."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EvalkitError as error:
            _say(str(error))
            raise typer.Exit(error.exit_status) from error
        except KeyboardInterrupt:
            _say("Interrupted. Everything finished so far is kept; give the same command again to go on.")
            sys.stdout.flush()
            os._exit(INTERRUPTED)  # a usual exit would first wait for every metric to end its batch


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Says whether a text-to-speech checkpoint got better: synthesises a suite, scores it, shows the evidence.",
    epilog="Exit status: 0 fine, 1 the gate said no, 2 bad usage or input, 3 coverage fell short, 4 internal error, "
    "130 interrupted.",
)
app.command("run")(run.run)
app.command("score")(score.score)
app.command("compare")(compare.compare)
app.command("gate")(gate.gate)
app.add_typer(baseline.baseline, name="baseline")
app.command("select")(select.select)
app.command("sweep")(sweep.sweep)
app.command("nightly")(nightly.nightly)
app.command("diagnose")(diagnose.diagnose)
app.command("merge")(merge.merge)
app.add_typer(adapter.adapter, name="adapter")
app.command("inspect")(inspect.inspect)
app.command("list")(listing.list_)
app.add_typer(engines.engines, name="engines")
app.command("fetch")(fetch.fetch)
app.command("calibrate")(calibrate.calibrate)
app.command("audit")(audit.audit)
app.command("doctor")(doctor.doctor)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"evalkit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> None:
    """Entry point of the console script."""
    for end in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(end) != signal.SIG_IGN:  # nohup ignores a hangup
            signal.signal(end, _interrupt)
    try:
        app(prog_name="evalkit")
    except Exception as error:
        import traceback

        traceback.print_exc()
        _say(f"Internal error ({type(error).__name__}): please report it with the lines above.")
        sys.exit(INTERNAL_ERROR)


def _say(message: str) -> None:
    print(f"evalkit: {message}", file=sys.stderr)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
