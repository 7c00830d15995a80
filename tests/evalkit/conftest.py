"""Fixtures of the tests of the commands: a fixture voice, and a way to call evalkit in process."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import VOICES, Call
from typer.testing import CliRunner, Result


@pytest.fixture
def evalkit() -> Call:
    """Call the command in process: `evalkit("run", path, "--suite", "smoke")`."""

    def call(*arguments: object) -> Result:
        from evalkit.cli.main import app

        return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="evalkit")

    return call


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    return VOICES / "merged.pth"
