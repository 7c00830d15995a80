"""`evalkit engines`: what speaks, where it runs, and whether it works."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.cli import options as o
from evalkit.errors import EvalkitError
from evalkit.registry import ENGINES, unknown

if TYPE_CHECKING:
    from evalkit.engines import Asset, EngineSpec, Environment, Option

engines = typer.Typer(
    no_args_is_help=True,
    help="The engines that speak: which there are, environments for those that cannot share one, and a check of each.",
)

Name = Annotated[str, typer.Argument(help="Name of an engine; see evalkit engines list.")]
Names = Annotated[list[str] | None, typer.Argument(help="Names of engines; by default all of them.")]


@engines.command("list")
def list_(as_json: o.JsonOption = False) -> None:
    """List the engines, what they can do and where they run."""
    from evalkit.cli.show import print_rows

    print_rows("engines", [row(ENGINES.load(name).spec) for name in ENGINES.names()], as_json, left_out=TOO_WIDE)


TOO_WIDE = ("options", "files", "front end", "version", "layouts")


def row(spec: EngineSpec) -> dict[str, Any]:
    from evalkit.engines.hosting import place_of

    return {
        "engine": spec.name,
        "runs in": place_of(spec).describe(),
        "checkpoint": {"tensors": "weights", "file": " ".join(spec.suffixes), "none": "none"}[spec.weights],
        "voice": (spec.voice or "a clip of the speaker") if spec.needs_voice else spec.voice or "one",
        "batch": f"{spec.max_batch}, {'exact' if spec.batch_exact else 'not exact'}" if spec.max_batch > 1 else "1",
        "streams": "yes" if spec.streaming else "no",
        "random": "by seed" if spec.stochastic else "no",
        "options": [f"{name}={option.default}" for name, option in spec.options.items()],
        "files": list(spec.assets),
        "layouts": [layout.name for layout in spec.layouts],
        "front end": spec.front_end,
        "version": spec.version,
    }


@engines.command("show")
def show(name: Name, as_json: o.JsonOption = False) -> None:
    """Show what an engine takes: options, files beside the weights, and what they are for."""
    from evalkit.cli.show import print_rows
    from evalkit.engines.hosting import place_of

    spec: EngineSpec = ENGINES.load(name).spec
    place = place_of(spec)
    rows = [
        _fact("version", spec.version, spec.front_end),
        _fact("runs in", place.describe(), place.problem or ""),
        _fact("sample rate", f"{spec.sample_rate} Hz" if spec.sample_rate else "of what it speaks", ""),
        _fact("checkpoint", row(spec)["checkpoint"], ", ".join(layout.name for layout in spec.layouts)),
        _fact("--voice", "required" if spec.needs_voice else "optional" if spec.voice else "none", spec.voice),
        *(
            _fact(f"--set {n}={option.default}", _range(option), option.description)
            for n, option in spec.options.items()
        ),
        *(
            _fact(f"--set {n}=PATH", "required" if asset.required else "optional", _asset(asset))
            for n, asset in spec.assets.items()
        ),
    ]
    print_rows(name, rows, as_json)


def _fact(what: str, value: str, meaning: str) -> dict[str, Any]:
    return {"what": what, "value": value, "meaning": meaning}


def _range(option: Option) -> str:
    if option.choices:
        return ", ".join(choice or "(empty)" for choice in option.choices)
    bounds = [
        f"from {option.low}" if option.low is not None else "",
        f"to {option.high}" if option.high is not None else "",
    ]
    return " ".join(bound for bound in bounds if bound) or type(option.default).__name__


def _asset(asset: Asset) -> str:
    near = f"; beside the checkpoint as {' or '.join(asset.names)}" if asset.names else ""
    hub = f"; {asset.hub[1]} of {asset.hub[0]} if it was downloaded before" if asset.hub else ""
    return f"{asset.description}{near}{hub}"


@engines.command("add")
def add(
    names: Annotated[list[str], typer.Argument(help="Names of engines; see evalkit engines list.")],
    python: Annotated[
        str | None, typer.Option("--python", help="Interpreter to make it with; by default evalkit's own.")
    ] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Only those that are not ready yet.")] = False,
) -> None:
    """Make the environment of an engine from its pinned requirements, with uv where it can be found."""
    from evalkit.engines.environments import look, make

    wanted = {name: _environment(name) for name in names}
    for name, environment in wanted.items():
        if missing and look(environment).state == "ready":
            _say(f"{name}: is ready")
            continue
        found = make(environment, python or sys.executable, say=partial(_say_of, name))
        _say(f"{name}: ready in {found.folder}; try it with evalkit engines doctor {name}")


@engines.command("remove")
def remove(name: Name) -> None:
    """Delete the environment of an engine."""
    from evalkit.engines.environments import remove as delete

    print(f"{name}: {'removed' if delete(_environment(name)) else 'there was no environment'}")


@engines.command("python", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def python_(context: typer.Context, name: Name) -> None:
    """Run the Python of an engine's environment, which also sees evalkit, with the arguments that follow.

    Example: evalkit engines python neutts-gguf -m evalkit.engines.neutts.gguf_write backbone/ out.gguf
    """
    import os
    import subprocess

    from evalkit.engines.hosting import place_of
    from evalkit.engines.source import source_folder

    spec: EngineSpec = ENGINES.load(name).spec
    _environment(name)
    place = place_of(spec)
    if place.problem:
        raise EvalkitError(f"{place.problem}.")
    with source_folder(ENGINES.entries()[name].value) as source:
        command = [str(place.python or sys.executable), *context.args]
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(source)}, check=False)
    raise typer.Exit(done.returncode)


@engines.command("doctor")
def doctor(
    names: Names = None,
    full: Annotated[
        bool, typer.Option("--full", help="Every check of the conformance suite; minutes for some engines.")
    ] = False,
    as_json: o.JsonOption = False,
) -> None:
    """Let engines speak with small random weights, and say what is wrong and how to mend it."""
    from evalkit.cli.show import print_rows

    chosen = names or ENGINES.names()
    for name in chosen:
        if name not in ENGINES.names():
            raise EvalkitError(unknown("engine", name, ENGINES.names()))
    rows = [row for name in chosen for row in _examine(name, full)]
    print_rows("engines doctor", rows, as_json)
    # An engine that nobody asked for by name may be missing; one that was asked for must work.
    bad = [row["engine"] for row in rows if row["state"] == "broken" or (names and row["state"] == "missing")]
    if bad:
        raise typer.Exit(2)


def _examine(name: str, full: bool) -> list[dict[str, Any]]:
    from evalkit.engines.hosting import place_of

    spec = ENGINES.load(name).spec
    place = place_of(spec)
    if place.problem:
        return [_finding(name, "missing", "start", place.problem)]
    with tempfile.TemporaryDirectory(prefix="evalkit-doctor-") as folder:
        try:
            return _try(name, Path(folder), full)
        except EvalkitError as error:
            return [_finding(name, "broken", "start", str(error))]
        except Exception as error:  # whatever a package does wrong
            return [_finding(name, "broken", "speak", f"{type(error).__name__}: {error}")]


def _try(name: str, folder: Path, full: bool) -> list[dict[str, Any]]:
    from evalkit.engines.conformance import check, prepare
    from evalkit.engines.hosting import start, stop

    engine = start(name)
    try:
        if not hasattr(engine, "example"):
            return [_finding(name, "ok", "start", "it starts; it has no example of itself to speak with")]
        example = engine.example(folder, 0)
    finally:
        stop(engine)
    findings = check(lambda: prepare(start(name), example), example, only=() if full else QUICK)
    return [
        _finding(name, "ok" if one.ok or one.ok is None else "broken", one.check, one.detail)
        for one in findings
        if full or not one.ok
    ] or [_finding(name, "ok", "speak", f"it speaks: {len(example.texts)} sentences of its own example")]


QUICK = ("audio",)


def _finding(engine: str, state: str, check: str, finding: str) -> dict[str, Any]:
    return {"engine": engine, "state": state, "check": check, "finding": finding}


def _environment(name: str) -> Environment:
    spec: EngineSpec = ENGINES.load(name).spec
    if spec.environment is None:
        raise EvalkitError(f"The engine '{name}' needs no environment of its own: it runs where evalkit runs.")
    return spec.environment


def _say(text: str) -> None:
    print(text, flush=True)


def _say_of(name: str, step: str) -> None:
    _say(f"{name}: {step}")
