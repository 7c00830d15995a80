"""Running a script in an engine's own environment, for tests that need the engine's package."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from evalkit.engines.environments import environment_folder
from evalkit.engines.source import source_folder

LIMIT_S = 900


def python_of(name: str) -> Path:
    """The interpreter of an environment; skips the test where the environment was not made."""
    python = environment_folder(name) / "bin" / "python"
    if not python.exists():
        pytest.skip(f"the environment '{name}' is not made: evalkit engines add {name}")
    return python


def run_script(name: str, script: Path, *arguments: str) -> dict[str, Any]:
    """Run a script in an environment with evalkit's own source; returns the JSON that is the last line it prints."""
    with source_folder() as source:
        done = subprocess.run(
            [str(python_of(name)), str(script), *arguments],
            env={**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    assert done.returncode == 0, f"{script.name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
