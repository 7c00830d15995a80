"""A catalogue of small judges and a judges folder of their own, for tests of `metrics.weights`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from metrics.weights import catalogue
from metrics.weights.catalogue import Judge, Part
from metrics.weights.download import Advance

# Stands in for the table of openai-whisper: what is read of it is one dictionary in the package's __init__.py.
TABLE = "_MODELS = {table!r}\n"


class Recorder:
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.waited: list[str] = []
        self.begun: list[str] = []

    def waiting(self, judge: Judge) -> None:
        self.waited.append(judge.id)

    def file(self, judge: Judge, name: str) -> Advance:
        self.begun.append(name)
        return lambda done, total: None


def publish_whisper(
    monkeypatch: pytest.MonkeyPatch, folder: Path, content: bytes, host: str, name: str = "tiny.en"
) -> str:
    """Make `whisper:<name>` a file of this content at `host`, in an openai-whisper with another table; its path."""
    path = f"/models/{hashlib.sha256(content).hexdigest()}/{name}.pt"
    package = folder / "whisper" / "__init__.py"
    package.parent.mkdir(parents=True, exist_ok=True)
    package.write_text(TABLE.format(table={name: host + path, "alias": host + path}))
    monkeypatch.setattr(catalogue, "package_file", lambda package_name, module: package)
    catalogue.package_table.cache_clear()
    return path


def judge_on_the_hub(monkeypatch: pytest.MonkeyPatch, *parts: Part, name: str = "small") -> Judge:
    """Make `wespeaker:small` a judge of the repository "them/small"."""
    judge = Judge("wespeaker", name, parts, repository=f"them/{name}")
    monkeypatch.setattr(catalogue, "_ON_HUGGING_FACE", (judge,))
    return judge
