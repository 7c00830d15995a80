"""Environments are made whole or not at all, from pinned requirements, with uv or without."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from evalkit.engines import Environment
from evalkit.engines import environments as e
from evalkit.errors import EvalkitError

MISSING = "no-such-distribution==9.9"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVALKIT_ENGINES", str(tmp_path / "engines"))
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "some_plugin"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "requirements.txt").write_text(f"# what it needs\n{wheel(tmp_path)}\n")
    return package / "requirements.txt"


ENVIRONMENT = Environment("toy", {"toy-sounds": "1.0"}, "some_plugin:requirements.txt")


def wheel(folder: Path) -> Path:
    """A package with one module, and a dependency that is nowhere: complete lists are not resolved again."""
    path = folder / "toy_sounds-1.0-py3-none-any.whl"
    info = "toy_sounds-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("toy_sounds.py", "pitch = 440\n")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: toy-sounds\nVersion: 1.0\nRequires-Dist: {MISSING}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"toy_sounds.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def pitch() -> str:
    command = [str(e.python_of(ENVIRONMENT)), "-c", "import toy_sounds; print(toy_sounds.pitch)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("uv", [True, False])
def test_an_environment_is_made_and_found(place: Path, uv: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if uv and not e._uv():
        pytest.skip("uv is not installed")
    if not uv:
        monkeypatch.setattr(e, "_uv", list)
    assert e.look(ENVIRONMENT).state == "missing"
    said: list[str] = []
    assert e.make(ENVIRONMENT, say=said.append).state == "ready"
    assert pitch() == "440"
    assert ("uv" in said[0]) and said[1] == "installing 1 packages"
    assert sorted(path.name for path in e.environments_folder().iterdir()) == [".toy.lock", "toy"]
    assert e.remove(ENVIRONMENT) and not e.remove(ENVIRONMENT)
    assert e.look(ENVIRONMENT).state == "missing"


def test_a_link_to_an_environment_elsewhere_is_replaced_and_what_it_names_is_kept(place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    e.environments_folder().mkdir()
    e.environment_folder("toy").symlink_to(tmp_path / "elsewhere")
    e.make(ENVIRONMENT, say=lambda step: None)
    assert pitch() == "440" and (tmp_path / "elsewhere").is_dir()


def test_other_requirements_make_it_outdated(place: Path) -> None:
    e.make(ENVIRONMENT, say=lambda step: None)
    place.write_text(place.read_text() + "# another line\n")
    assert e.look(ENVIRONMENT).state == "outdated"
    e.make(ENVIRONMENT, say=lambda step: None)
    assert e.look(ENVIRONMENT).state == "ready"


def test_a_failed_installation_says_why_and_leaves_the_old_environment(place: Path) -> None:
    e.make(ENVIRONMENT, say=lambda step: None)
    place.write_text(f"{place.parent / 'gone-1.0-py3-none-any.whl'}\n")
    with pytest.raises(EvalkitError, match=r"The environment 'toy' could not be made .*gone-1\.0") as caught:
        e.make(ENVIRONMENT, say=lambda step: None)
    assert "\n" not in str(caught.value)
    assert pitch() == "440"
    assert sorted(path.name for path in e.environments_folder().iterdir()) == [".toy.lock", "toy"]


@pytest.mark.parametrize("marker", ["", "[]", "{}", json.dumps({"made": "x", "requirements_sha256": 3})])
def test_an_unfinished_environment_is_none(place: Path, marker: str) -> None:
    folder = e.environment_folder("toy")
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / e.MARKER).write_text(marker)
    assert e.look(ENVIRONMENT).state in ("missing", "outdated")


def test_requirements_that_are_not_there_are_one_sentence(place: Path) -> None:
    place.unlink()
    with pytest.raises(EvalkitError, match=r"'some_plugin:requirements\.txt' of the environment 'toy' are not where"):
        e.make(ENVIRONMENT)


def test_packages_count_only_at_the_tested_version() -> None:
    from importlib.metadata import version

    assert e.fits_here(Environment("x", {"torch": version("torch")}, "x:y"))
    assert not e.fits_here(Environment("x", {"torch": "0.1"}, "x:y"))
    assert not e.fits_here(Environment("x", {"no-such-distribution": "1"}, "x:y"))


def test_uv_is_given_pips_own_index(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")

    def answer(url: str, status: int) -> object:
        return lambda *_, **__: subprocess.CompletedProcess([], status, stdout=url)

    monkeypatch.setattr(subprocess, "run", answer("http://mirror.invalid/simple\n", 0))
    assert e._index() == ["--default-index", "http://mirror.invalid/simple"]
    monkeypatch.setattr(subprocess, "run", answer("", 1))
    assert e._index() == []
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://other.invalid")
    monkeypatch.setattr(subprocess, "run", answer("http://mirror.invalid/simple\n", 0))
    assert e._index() == []
