"""A run on disk: where its files are, who may write to it, and how an interrupted one is found again."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.files import disk_errors, write_json


class RunFolder:
    """`runs/<date>-<model>-<suite>-<hash>/`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest_path = path / "manifest.json"
        self.log_path = path / "utterances.jsonl"
        self.scores_path = path / "scores.parquet"
        self.summary_path = path / "summary.json"
        self.report_path = path / "report.html"
        self.reference_path = path / "reference.json"
        self.audio_path = path / "audio"

    def manifest(self) -> dict[str, Any]:
        return read_json(self.manifest_path)

    def summary(self) -> dict[str, Any]:
        return read_json(self.summary_path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process. The lock goes with the process, also when it is killed."""
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise EvalkitError(f"Another process is writing {self.path}: wait for it, or stop it.") from error
        try:
            yield
        finally:
            os.close(descriptor)


def find_or_name(out: Path, model: str, suite: str, content_hash: str) -> RunFolder:
    """The folder of an earlier start of the same run, else a new name for it (not yet created)."""
    if out.exists() and not out.is_dir():
        raise EvalkitError(f"{out} is a file: give a folder with --out.")
    earlier = sorted(out.glob(f"*-{content_hash}")) if out.is_dir() else []
    if earlier:
        return RunFolder(earlier[-1])
    date = datetime.now(UTC).date().isoformat()
    return RunFolder(out / f"{date}-{_safe(model)}-{_safe(suite)}-{content_hash}")


def open_run(path: Path) -> RunFolder:
    """A finished run, by its folder. Raises EvalkitError when it is not one or never finished."""
    folder = RunFolder(path)
    if not folder.manifest_path.is_file():
        raise EvalkitError(f"{path} is not a run folder: it holds no manifest.json.")
    if not folder.summary_path.is_file():
        raise EvalkitError(f"The run {path} never finished: run its command again first.")
    return folder


def write_manifest(folder: RunFolder, manifest: Mapping[str, Any]) -> None:
    """Record what the run depends on, once; a resumed run keeps the manifest of its first start."""
    if not folder.manifest_path.exists():
        write_json(folder.manifest_path, manifest)


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise EvalkitError(f"{path} cannot be read ({error}): move the run folder away and run again.") from error
    if not isinstance(value, dict):
        raise EvalkitError(f"{path} does not hold an object: move the run folder away and run again.")
    return value


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"
