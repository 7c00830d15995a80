"""Runs of a night without an engine: what a checkpoint says of itself in JSON becomes a finished run folder.

`{"dnsmos_ovrl": 3.1, "pronunciation_accuracy": 0.8, "seed": 1}` makes a run whose columns have these means. "items":
how many; "failed": how many of them failed; "judge": of DNS-MOS, another one is another passport; "raises": what the
run ends with; "bad": items whose DNS-MOS is lower, and by how much.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from evalkit.decisions.summary import column_summaries, coverage
from evalkit.errors import EvalkitError
from evalkit.files import write_json
from evalkit.pipeline.run import Finished
from evalkit.runs.folder import RunFolder
from evalkit.runs.log import Row
from evalkit.runs.table import write_scores
from metrics import Column

COLUMNS = {
    "dnsmos_ovrl": Column("dnsmos_ovrl", "MOS", "higher", (1.0, 5.0), description="DNS-MOS, overall"),
    "pronunciation_accuracy": Column("pronunciation_accuracy", "", "higher", (0.0, 1.0), description="entities right"),
    "speaker_similarity": Column("speaker_similarity", "", "higher", (0.0, 1.0), description="of the voice"),
}
METRIC = dict(zip(COLUMNS, ("dnsmos", "pronunciation", "speaker_similarity"), strict=True))
PLAIN = {"dnsmos_ovrl": 3.0, "pronunciation_accuracy": 0.8, "speaker_similarity": 0.9}

RULES = """
[[coverage]]
min = 0.9

[[relative]]
name = "DNS-MOS holds"
column = "dnsmos_ovrl"
margin = 0.15
"""

NIGHTLY = """
title = "Voices"
out = "site"

[[model]]
name = "sarah"
path = "sarah.pth"

[[model]]
name = "sumit"
path = "sumit.pth"

[[suite]]
name = "smoke"
rules = "gate.toml"

[run]
metrics = ["dnsmos", "pronunciation", "speaker_similarity"]
"""


class Site:
    """A nightly.toml with two models, in a folder of its own."""

    def __init__(self, folder: Path, config: str = NIGHTLY) -> None:
        self.folder = folder
        self.config = folder / "nightly.toml"
        self.config.write_text(config)
        (folder / "gate.toml").write_text(RULES)
        for name in ("sarah", "sumit"):
            self.checkpoint(name)
        self.out = folder / "site"
        self.runs = self.out / "runs"

    def checkpoint(self, name: str, **said: Any) -> Path:
        path = self.folder / f"{name}.pth"
        path.write_text(json.dumps({**PLAIN, "name": name, **said}))
        return path

    def night(self, label: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.out / "nights" / f"{label}.json").read_text())
        return value

    def entry(self, label: str, model: str = "sarah") -> dict[str, Any]:
        return next(one for one in self.night(label)["jobs"] if one["label"] == model)

    def page(self, name: str) -> str:
        return (self.out / name).read_text()


def made_run(subject: Path | None, speaking: Any, options: Any, *rest: Any) -> Finished:
    """Stands in for `run_checkpoint`: the same arguments, the same folder."""
    said: dict[str, Any] = json.loads(subject.read_text()) if subject else {**PLAIN, "name": speaking.engine}
    if "raises" in said:
        raise EvalkitError(f"{subject}: {said['raises']}")
    if "crashes" in said:
        raise RuntimeError(said["crashes"])
    content = hashlib.sha256(json.dumps([said, speaking.suite, speaking.engine], sort_keys=True).encode()).hexdigest()
    folder = RunFolder(options.out / f"2026-01-01-{said['name']}-smoke-{content[:8]}")
    if not folder.summary_path.exists():
        _write(folder, said, content, speaking)
    return Finished(folder, folder.summary())


def _write(folder: RunFolder, said: Mapping[str, Any], content: str, speaking: Any) -> None:
    rows = _rows(folder, said)
    summaries = column_summaries(rows, COLUMNS, METRIC)
    name = f"{said['name']}.pth"
    write_json(folder.manifest_path, _manifest(folder, said, content, speaking, name))
    write_scores(folder.scores_path, rows, list(COLUMNS))
    folder.report_path.write_text(
        "<!doctype html><html><body><header><h1>report</h1></header><a class='play' href='audio/x.flac'>play</a></body>"
    )
    judge = {"kind": "bundled", "notice": None, "unreliable": None}
    judges = {metric: {"judge": metric, **judge} for metric in METRIC.values()}
    summary: dict[str, Any] = {
        "run": folder.path.name,
        "model": name,
        "suite": "smoke 1",
        "created": "2026-01-01T00:00:00+00:00",
    }
    rest: dict[str, Any] = {
        "absent": {},
        "tags": {},
        "corpus": {},
        **dict.fromkeys(("baseline", "reference", "timing")),
    }
    summary |= {"judges": judges, "coverage": coverage(rows, len(rows)), "columns": summaries, "verdict": None, **rest}
    write_json(folder.summary_path, summary)


def _manifest(folder: RunFolder, said: Mapping[str, Any], content: str, speaking: Any, name: str) -> dict[str, Any]:
    passports = {
        metric: {"metric": metric, "judge": said.get("judge", "net") if metric == "dnsmos" else "net"}
        for metric in METRIC.values()
    }
    return {
        "id": folder.path.name,
        "created": "2026-01-01T00:00:00+00:00",
        "checkpoint": {"name": name, "path": f"/home/somebody/{name}", "fingerprint": content},
        "engine": {"name": speaking.engine or "tinytts", "version": "2"},
        "voice": None,
        "suite": {"name": "smoke", "version": "1", "sha256": "s" * 64, "items": said.get("items", 24)},
        "repeats": 1,
        "seed": 0,
        "reference": None,
        "passports": passports,
        "timing": {"mode": "batch", "load_at_start": random.random()},
        "packages": {},
    }


def _rows(folder: RunFolder, said: Mapping[str, Any]) -> list[Row]:
    folder.audio_path.mkdir(parents=True, exist_ok=True)
    random_ = np.random.default_rng(int(said.get("seed", 0)))
    rows: list[Row] = []
    bad = dict(said.get("bad", {}))
    for number in range(int(said.get("items", 24))):
        item = f"s-{number + 1:03d}"
        ok = number >= int(said.get("failed", 0))
        values = {name: float(said[name] + 0.1 * np.sin(number) + random_.normal(0, 0.02)) for name in COLUMNS}
        values["dnsmos_ovrl"] -= bad.get(item, 0.0)
        audio = f"audio/{item}.r0.flac"
        soundfile.write(folder.path / audio, np.zeros(160, np.float32), 16000)
        rows.append(
            {
                **{name: value if ok else None for name, value in values.items()},
                "utterance": f"{item}.r0",
                "item": item,
                "repeat": 0,
                "seed": 0,
                "sample_rate": 16000,
                "status": "ok" if ok else "failed",
                "reason": None if ok else "no audio",
                "text": f"Sentence {number + 1}.",
                "spoken": f"Sentence {number + 1}.",
                "read": None,
                "phonemes": None,
                "audio": audio,
                "entities": [],
                "tags": ["kind:name"] if number % 2 else [],
                "missing": {},
                "details": {},
            }
        )
    return rows
