"""For every test."""

import signal

import pytest

collect_ignore = ["plugin_package"]  # a package of its own, whose tests need it installed

# A test run that was started in the background inherits an ignored Ctrl-C, and would hand it on to the processes that
# the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _nothing_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Scores of a user's runs must not answer for the code under test, nor judges that a user fetched for ours."""
    patch = pytest.MonkeyPatch()
    patch.setenv("EVALKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.setenv("EVALKIT_JUDGES", str(tmp_path_factory.mktemp("judges")))
    patch.delenv("EVALKIT_JUDGES_LOCK", raising=False)


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
