"""Shared by the tests of the commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

FIXTURES = Path(__file__).parents[2] / "fixtures"
VOICES = FIXTURES / "voices"

Call = Callable[..., Result]

# Metrics without a judge: fast enough for tests of the pipeline itself.
QUICK = "signal,pauses,energy,wada_snr"
