"""Locating files of packages, digests, and the sentence for what is not installed."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from metrics.packages import missing_packages, package_file, sha256, versions


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that fails when it is imported."""
    folder = tmp_path / "explosive_package"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "data" / "weights.bin").write_bytes(b"abc")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder.name


def test_package_file_does_not_import_the_package(package: str) -> None:
    assert package_file(package, "data/weights.bin").read_bytes() == b"abc"
    assert package not in sys.modules


def test_package_file_names_what_is_missing(package: str) -> None:
    with pytest.raises(ValueError, match=r"explosive_package has no file other\.bin"):
        package_file(package, "other.bin")
    with pytest.raises(ValueError, match="no_such_package is not installed"):
        package_file("no_such_package", "weights.bin")


def test_missing_packages_says_how_to_get_them(package: str) -> None:
    assert missing_packages((package,), "bundled") is None
    assert missing_packages(("no_such_package", package), "bundled") == (
        "needs the package no_such_package: pip install 'evalkit[bundled]'"
    )
    assert missing_packages(("none_a", "none_b"), "whisper") == (
        "needs the packages none_a, none_b: pip install 'evalkit[whisper]'"
    )


def test_sha256_follows_a_changed_file(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    for content in (b"one", b"three"):
        path.write_bytes(content)
        assert sha256(path) == hashlib.sha256(content).hexdigest()


def test_versions_are_those_installed() -> None:
    import numpy

    assert versions("numpy") == {"numpy": numpy.__version__}
