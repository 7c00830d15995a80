"""For every test."""

import signal
from pathlib import Path

import pytest

# A test run that was started in the background inherits an ignored Ctrl-C, and would hand it on to the processes that
# the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _no_shared_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Scores that a user's own runs left must not answer for the code under test."""
    pytest.MonkeyPatch().setenv("EVALKIT_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
