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

_ASIDE = "rename its run folder or move it out, and run again"


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

    def has_its_name(self) -> bool:
        """Whether this is the folder that its manifest names; yes where there is none yet."""
        return not self.manifest_path.exists() or self.manifest().get("id") == self.path.name

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
    """The folder of an earlier start of the same run, else a new name for it (not yet created).

    A folder that was given another name is put aside: it is no longer the run that its manifest is of.
    """
    if out.exists() and not out.is_dir():
        raise EvalkitError(f"{out} is a file: give a folder with --out.")
    named = re.compile(rf"\d{{4}}-\d\d-\d\d-.+-{content_hash}")
    earlier = sorted(path for path in out.glob(f"*-{content_hash}") if named.fullmatch(path.name) and path.is_dir())
    started = [folder for folder in map(RunFolder, earlier) if folder.has_its_name()]
    if started:
        return started[-1]
    date = datetime.now(UTC).date().isoformat()
    new = RunFolder(out / f"{date}-{_safe(model)}-{_safe(suite)}-{content_hash}")
    if not new.has_its_name():
        raise EvalkitError(f"{new.path} holds another run, which was given this name: rename it or move it out.")
    return new


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
        raise EvalkitError(f"{path} cannot be read ({error}): {_ASIDE}.") from error
    if not isinstance(value, dict):
        raise EvalkitError(f"{path} does not hold an object: {_ASIDE}.")
    return value


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"
