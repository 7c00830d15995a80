"""Importing the packages opens no socket, loads no model and none of the heavy packages."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROBE = """
import json, socket, sys
opened = []
def refuse(*arguments, **named):
    opened.append(repr(arguments))
    raise OSError("no network in this test")
class Socket(socket.socket):
    def __init__(self, *arguments, **named):
        refuse("socket", *arguments)
socket.socket = Socket
socket.create_connection = refuse
socket.getaddrinfo = refuse
import importlib, pkgutil
for name in {packages!r}:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
print(json.dumps({{"opened": opened, "loaded": sorted(sys.modules)}}))
"""

HEAVY = ("onnxruntime", "pocketsphinx", "librosa", "resemblyzer", "pyarrow", "scipy.stats", "speechmos")


def probe(*packages: str) -> dict[str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(packages=packages)], capture_output=True, text=True, check=True
    )
    result: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize("package", ["evalkit", "metrics", "reports"])
def test_importing_every_module_opens_no_socket_and_loads_nothing_heavy(package: str) -> None:
    result = probe(package)
    assert result["opened"] == []
    assert [name for name in HEAVY if name in result["loaded"]] == []


@pytest.mark.parametrize("leaf", ["metrics", "reports"])
def test_leaves_do_not_know_evalkit(leaf: str) -> None:
    assert [name for name in probe(leaf)["loaded"] if name.split(".")[0] == "evalkit"] == []


def test_help_needs_no_torch() -> None:
    code = "import sys; from evalkit.cli.main import app; print('torch' in sys.modules, 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_every_public_name_is_there() -> None:
    import evalkit

    assert [name for name in evalkit.__all__ if not hasattr(evalkit, name)] == []
    with pytest.raises(AttributeError):
        evalkit.no_such_name  # noqa: B018  (the access is the test)
