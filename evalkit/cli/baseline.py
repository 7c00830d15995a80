"""`evalkit baseline`: which run later runs are compared with."""

from __future__ import annotations

import getpass
import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli import options as o
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from evalkit.runs.baselines import Entry

baseline = typer.Typer(no_args_is_help=True, help="Accept a run as the one that later runs are compared with.")

LabelOption = Annotated[str, typer.Option("--label", help="Several baselines of a suite are told apart by labels.")]


@baseline.command("accept")
def accept(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", show_default=False)],
    why: Annotated[str, typer.Option("--why", help="The reason, for those who ask later.", show_default=False)],
    label: LabelOption = "default",
    who: Annotated[
        str | None, typer.Option("--who", help="Who accepts it; by default git's user.name, else the login.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also a run that the gate blocked.")] = False,
    as_json: o.JsonOption = False,
) -> None:
    """Make RUN the baseline of its suite, for the runs in the same folder.

    The acceptance is added to baselines.jsonl beside the runs; the last one counts and none is ever removed.
    """
    from evalkit.runs import baselines
    from evalkit.runs.folder import RunFolder

    entry = baselines.accept(RunFolder(run), label, _me() if who is None else who, why, force)
    if as_json:
        print(json.dumps(asdict(entry), ensure_ascii=False, indent=1))
    else:
        print(f"{entry.run} is now the baseline '{entry.label}' of {entry.suite} (accepted by {entry.who}).")


@baseline.command("list")
def list_(
    out: o.OutOption = Path("runs"),
    as_json: o.JsonOption = False,
) -> None:
    """Every acceptance, the oldest first, and which of them count."""
    from evalkit.cli.show import print_rows
    from evalkit.runs import baselines

    found = baselines.entries(out)
    if as_json:
        print_rows("", [{**asdict(one), **state} for one, state in _states(found, out)], as_json)
    elif not found:
        print(f"No run in {out} was accepted yet: `evalkit baseline accept RUN --why TEXT` accepts one.")
    else:
        print_rows(f"Baselines in {out}", [_line(one, state) for one, state in _states(found, out)], False)


@baseline.command("show")
def show(
    suite: Annotated[
        str | None, typer.Option("--suite", help="Of this suite; may be left out where one suite has a baseline.")
    ] = None,
    label: LabelOption = "default",
    out: o.OutOption = Path("runs"),
    as_json: o.JsonOption = False,
) -> None:
    """The baseline that counts: its run, who accepted it, when and why."""
    from evalkit.registry import unknown
    from evalkit.runs import baselines

    suites = sorted({one.suite for one in baselines.entries(out) if one.label == label})
    if suite is None and len(suites) > 1:
        raise EvalkitError(
            f"Several suites in {out} have a baseline '{label}': name one with --suite ({', '.join(suites)})."
        )
    if not suites:
        raise EvalkitError(f"No run in {out} was accepted under the label '{label}'; see `evalkit baseline list`.")
    name = suite if suite is not None else suites[0]
    entry = baselines.accepted(out, label, name)
    if entry is None:
        raise EvalkitError(f"{unknown('suite with a baseline', name, suites)}")
    folder = baselines.baseline_folder(out, entry)
    if as_json:
        print(json.dumps({**asdict(entry), "folder": str(folder)}, ensure_ascii=False, indent=1))
        return
    forced = " although the gate had blocked it" if entry.forced else ""
    print(folder)
    print(f"baseline '{entry.label}' of {entry.suite}, accepted by {entry.who} on {entry.when}{forced}: {entry.why}")


def _states(found: Sequence[Entry], out: Path) -> list[tuple[Entry, dict[str, bool]]]:
    """Whether an acceptance counts, and whether its run is still there."""
    last = {(one.label, one.suite): index for index, one in enumerate(found)}
    return [
        (one, {"counts": index == last[one.label, one.suite], "there": (out / one.run).is_dir()})
        for index, one in enumerate(found)
    ]


def _line(one: Entry, state: dict[str, bool]) -> dict[str, str]:
    said = ["counts" if state["counts"] else "replaced"]
    said += ["although blocked"] if one.forced else []
    said += [] if state["there"] else ["folder missing"]
    when = one.when.replace("T", " ")[:16]
    return {
        "suite": one.suite,
        "label": one.label,
        "run": one.run,
        "who": one.who,
        "when (UTC)": when,
        "why": one.why,
    } | {"state": ", ".join(said)}


def _me() -> str:
    try:
        found = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False, timeout=10)
        name = found.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        name = ""
    try:
        return name or getpass.getuser()
    except (KeyError, OSError) as error:
        raise EvalkitError("Neither git nor the system says who you are: say it with --who.") from error
