"""Scores that were computed before, by content: the clip's samples, the metric's passport and its code."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor

from evalkit.files import digest, sha256_file
from evalkit.pipeline.judges import passport_of
from metrics import ClipInfo, Metric, Scores
from metrics.folders import shared_folder

LARGEST = 512 * 2**20  # bytes on disk; beyond it the older half goes
_TABLE = "CREATE TABLE IF NOT EXISTS scores (key TEXT PRIMARY KEY, value TEXT NOT NULL, written REAL NOT NULL)"


def cache_path() -> Path:
    """EVALKIT_CACHE, or `evalkit` in the user's cache folder; in it `scores.sqlite`."""
    return shared_folder("EVALKIT_CACHE") / "scores.sqlite"


class ScoreCache:
    """A file that runs share. What goes wrong with it costs time, never a score: `problem` then says what happened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: str | None = None
        self.hits = 0
        self._database: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=10, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute(_TABLE)
            self._prune()
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)

    def get(self, keys: Sequence[str]) -> list[dict[str, Any] | None]:
        """What is stored under each key, in order."""
        if self._database is None:
            return [None] * len(keys)
        try:
            query = "SELECT value FROM scores WHERE key = ?"
            found = [self._database.execute(query, (key,)).fetchone() for key in keys]
            values = [json.loads(row[0]) if row else None for row in found]
        except (sqlite3.Error, ValueError) as error:
            self._give_up(error)
            return [None] * len(keys)
        self.hits += sum(value is not None for value in values)
        return values

    def put(self, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Store every value, or, where the disk does not take it, none."""
        if self._database is None:
            return
        rows = [(key, json.dumps(value, ensure_ascii=False), time.time()) for key, value in values.items()]
        try:
            with self._database:
                self._database.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _prune(self) -> None:
        assert self._database is not None
        if self.path.stat().st_size > LARGEST:
            with self._database:
                self._database.execute(
                    "DELETE FROM scores WHERE written <= (SELECT avg(m) FROM "
                    "(SELECT min(written) m FROM scores UNION ALL SELECT max(written) FROM scores))"
                )
            self._database.execute("VACUUM")

    def _give_up(self, error: Exception) -> None:
        self.problem = f"The score cache {self.path} cannot be used ({error}): delete it, or give --no-cache."
        self.close()


def metric_key(metric: Metric, device: str, resampler: str) -> str:
    """Digest of all that a metric's numbers depend on beside the clip: passport, device and the metric's own code."""
    passport = passport_of(metric, resampler)
    device_type = "cpu" if metric.spec.cpu_only else device.split(":", maxsplit=1)[0]
    return digest({"passport": passport, "device": device_type, "code": _code_digest(type(metric).__module__)})


def audio_key(audio: Tensor, sample_rate: int) -> str:
    """sha256 of a clip's samples, float32 [samples] in main memory, and of their rate."""
    return hashlib.sha256(str(sample_rate).encode() + audio.contiguous().numpy().tobytes()).hexdigest()


def clip_key(metric_digest: str, audio_digest: str, metric: Metric, info: ClipInfo) -> str:
    """The key of one clip's scores. Of what is known about a clip only that counts which the metric may look at."""
    needs = metric.spec.needs.union(*(column.needs for column in metric.spec.columns))
    known: dict[str, Any] = {"text": info.text, "written": info.written}
    if "entities" in needs:
        known["entities"] = [asdict(entity) for entity in info.entities]
    if "phonemes" in needs:
        known["phonemes"] = info.phonemes
    if "reference" in needs:
        known["reference"] = [_file_digest(path, path.stat().st_mtime_ns) for path in info.reference]
    return digest([metric_digest, audio_digest, known])


def to_json(scores: Scores) -> dict[str, Any] | None:
    """One clip's scores as the cache keeps them; None if a value is missing without a reason, which is a fault."""
    values = {name: value[0] if value[0] == value[0] else None for name, value in scores.items()}
    if any(value is None and name not in scores.reasons[0] for name, value in values.items()):
        return None
    return {"values": values, "reasons": scores.reasons[0], "details": scores.details[0]}


def from_json(metric: Metric, stored: Mapping[str, Any]) -> Scores:
    scores = Scores(metric.spec, 1)
    for name, value in stored["values"].items():
        scores[name] = [float("nan") if value is None else float(value)]
    scores.reasons[0] = dict(stored["reasons"])
    scores.details[0] = dict(stored["details"])
    return scores


@lru_cache(maxsize=1024)
def _file_digest(path: Path, mtime_ns: int) -> str:
    return sha256_file(path)


@lru_cache
def _code_digest(module: str) -> str:
    """sha256 over the source of the package that a metric is in: other code, other cache."""
    spec = find_spec(module.split(".", maxsplit=1)[0])
    places = list(spec.submodule_search_locations or ()) if spec else []
    files = sorted(file for place in places for file in Path(place).rglob("*.py"))
    if not files and spec and spec.origin:
        files = [Path(spec.origin)]
    return digest([[file.name, sha256_file(file)] for file in files])
