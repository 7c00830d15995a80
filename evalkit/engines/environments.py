"""Engines' own environments: where they lie, how one is made, and whether it is what it should be."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from filelock import FileLock

from evalkit.engines.base import Environment
from evalkit.errors import EvalkitError
from evalkit.files import disk_errors, sha256_file, write_atomically

MARKER = "evalkit.json"  # written last: an environment without it was never finished
TAIL = 600  # characters of an installer's complaint

State = Literal["ready", "outdated", "missing"]
Say = Callable[[str], None]


def environments_folder() -> Path:
    """EVALKIT_ENGINES, or `evalkit/engines` in the user's data folder."""
    if named := os.environ.get("EVALKIT_ENGINES"):
        return Path(named).absolute()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "evalkit" / "engines"


def environment_folder(name: str) -> Path:
    return environments_folder() / name


def python_of(environment: Environment) -> Path:
    return environment_folder(environment.name) / "bin" / "python"


def requirements_of(environment: Environment) -> Path:
    """The file of pinned requirements. Raises EvalkitError if the plugin that names it does not have it."""
    module, _, name = environment.requirements.partition(":")
    spec = importlib.util.find_spec(module)
    places = [*(spec.submodule_search_locations or [])] if spec else []
    for place in places:
        if (Path(place) / name).is_file():
            return Path(place) / name
    raise EvalkitError(
        f"The requirements '{environment.requirements}' of the environment '{environment.name}' "
        "are not where the engine says; reinstall its package."
    )


@dataclass(frozen=True)
class Found:
    """An environment on disk: ready, made from other requirements than now, or missing."""

    state: State
    folder: Path
    made: str = ""  # date


def look(environment: Environment) -> Found:
    folder = environment_folder(environment.name)
    try:
        marker = json.loads((folder / MARKER).read_text())
        same = marker["requirements_sha256"] == sha256_file(requirements_of(environment))
        made = str(marker["made"])
    except (OSError, ValueError, KeyError, TypeError):
        return Found("missing", folder)
    if not python_of(environment).exists():  # its base interpreter was removed
        return Found("missing", folder)
    return Found("ready" if same else "outdated", folder, made)


def fits_here(environment: Environment) -> bool:
    """Whether this very environment has the engine's packages at the versions it was tested with."""
    try:
        return all(version(package) == wanted for package, wanted in environment.packages.items())
    except PackageNotFoundError:
        return False


def make(environment: Environment, python: str = sys.executable, say: Say = print) -> Found:
    """Make an environment anew from its pinned requirements; what was there is replaced when the new one is whole.

    With uv where it can be found: then environments share their files on disk. Raises EvalkitError with the installer's
    own words if that fails; the old environment is then still there.
    """
    requirements = requirements_of(environment)
    folder = environment_folder(environment.name)
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{environment.name}.lock"):
        unfinished = folder.with_name(f".{environment.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            for step, command in _commands(unfinished, requirements, python):
                say(step)
                _run(command, environment.name)
            record = {
                "environment": environment.name,
                "requirements_sha256": sha256_file(requirements),
                "made": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            write_atomically(unfinished / MARKER, json.dumps(record, indent=1) + "\n")
            with disk_errors(folder):
                _delete(folder)
                unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return look(environment)


def remove(environment: Environment) -> bool:
    """Delete an environment; False if there was none."""
    folder = environment_folder(environment.name)
    there = folder.exists()
    with disk_errors(folder):
        _delete(folder)
    return there


def _delete(folder: Path) -> None:
    """Of a link to an environment elsewhere, the link alone."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def _commands(folder: Path, requirements: Path, python: str) -> Sequence[tuple[str, list[str]]]:
    """(what is done, command). The list of requirements is complete, so dependencies are not resolved again."""
    inside = str(folder / "bin" / "python")
    if uv := _uv():
        return (
            (
                "making the environment with uv",
                [*uv, "venv", "--quiet", "--relocatable", "--python", python, str(folder)],
            ),
            (
                f"installing {_count(requirements)} packages",
                [*uv, "pip", "install", "--quiet", "--no-deps", *_index(), "--python", inside, "-r", str(requirements)],
            ),
        )
    return (
        (
            "making the environment with venv (uv is faster and shares files: pip install uv)",
            [python, "-m", "venv", str(folder)],
        ),
        (
            f"installing {_count(requirements)} packages",
            [
                inside,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "-r",
                str(requirements),
            ],
        ),
    )


def _uv() -> list[str]:
    """How to call uv: installed beside evalkit, or on the path; [] if there is none."""
    if importlib.util.find_spec("uv") is not None:
        return [sys.executable, "-m", "uv"]
    found = shutil.which("uv")
    return [found] if found else []


def _index() -> list[str]:
    """pip's own index for uv, which does not read pip's configuration: a company's mirror is set there."""
    if any(name in os.environ for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL")):
        return []
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    url = asked.stdout.strip()
    return ["--default-index", url] if asked.returncode == 0 and url else []


def _count(requirements: Path) -> int:
    lines = requirements.read_text().splitlines()
    return sum(1 for line in lines if line.strip() and not line.lstrip().startswith(("#", "-")))


def _run(command: Sequence[str], name: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())[-TAIL:]
        raise EvalkitError(f"The environment '{name}' could not be made ({Path(command[0]).name} said: {said}).")
