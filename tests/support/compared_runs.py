"""Run folders of made-up scores, with audio to hear, for the tests of comparisons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from evalkit.decisions.summary import coverage
from evalkit.runs.table import write_scores

TEXT = "Please call Priya about the invoice."
WORDS = 6
COLUMNS = {
    "pronunciation_accuracy": ("pronunciation", "higher", ""),
    "wer": ("wer", "lower", ""),
    "dnsmos_ovrl": ("dnsmos", "higher", "MOS"),
    "duration_s": ("signal", "neither", "s"),
    "rtf": ("timing", "lower", ""),
}


def made_rows(
    count: int = 24,
    mos: float = 3.0,
    seed: int = 0,
    errors: Sequence[int] = (),
    failed: Sequence[int] = (),
    right: float = 1.0,
    repeats: int = 1,
) -> list[dict[str, Any]]:
    """Utterances of `count` items. mos: their mean; errors: of each item's six words; failed: items without speech."""
    rng = np.random.default_rng(seed)
    hard = np.random.default_rng(99).normal(0, 0.2, count)  # the same items are hard for every model
    rows = []
    for item in range(count):
        for repeat in range(repeats):
            wrong = errors[item] if item < len(errors) else 0
            ok = item not in failed
            noise = float(rng.normal(0, 0.02))
            rows.append(
                {
                    "utterance": f"i{item:02}.r{repeat}",
                    "item": f"i{item:02}",
                    "repeat": repeat,
                    "status": "ok" if ok else "silent",
                    "reason": None if ok else "nothing but <silence>",
                    "text": TEXT,
                    "spoken": TEXT,
                    "read": TEXT,
                    "phonemes": "p r iy",
                    "audio": f"audio/i{item:02}.r{repeat}.flac" if ok else None,
                    "seed": repeat,
                    "sample_rate": 16000,
                    "entities": ["Priya"],
                    "tags": [
                        "half:first" if item < count // 2 else "half:second",
                        f"language:{'ta' if item % 3 else 'hi'}",
                    ],
                    "missing": {} if ok else {"dnsmos_ovrl": "there is no speech"},
                    "details": {
                        "heard": TEXT.lower().replace("priya", "pria") if ok and wrong else TEXT.lower(),
                        "wer_errors": wrong if ok else WORDS,
                        "wer_words": WORDS,
                        "substitutions": wrong if ok else 0,
                        "deletions": 0 if ok else WORDS,
                        "insertions": 0,
                        "entities": [{"spelling": "Priya", "right": bool(right) and not wrong}],
                    },
                    "pronunciation_accuracy": right if ok else 0.0,
                    "wer": wrong / WORDS if ok else 1.0,
                    "dnsmos_ovrl": mos + float(hard[item]) + noise if ok else None,
                    "duration_s": 2.0 + 0.1 * item if ok else None,
                    "rtf": 0.1 + noise / 10 if ok else None,
                }
            )
    return rows


def made_run(
    out: Path,
    name: str,
    rows: Sequence[dict[str, Any]],
    suite: str = "a" * 64,
    passports: Mapping[str, Any] | None = None,
    mode: str = "batch",
) -> Path:
    """A finished run folder."""
    folder = out / f"2026-01-01-{name}-made-up"
    (folder / "audio").mkdir(parents=True)
    for row in rows:
        if row["audio"]:
            tone = 0.3 * np.sin(np.linspace(0, 400 * (1 + int(row["item"][1:])), 4000))
            soundfile.write(folder / row["audio"], tone.astype(np.float32), 16000)
    write_scores(folder / "scores.parquet", rows, list(COLUMNS))
    manifest = {
        "created": "2026-01-01T00:00:00+00:00",
        "checkpoint": {"name": name, "fingerprint": name},
        "engine": {"name": "tinytts", "version": "2"},
        "suite": {"name": "made-up", "version": "1", "sha256": suite},
        "reference": None,
        "passports": passports or {"dnsmos": {"judge": "dnsmos", "version": "1"}},
        "timing": {"mode": mode, "device": "cpu", "cpu": "one", "cores": 2, "threads": {"torch": 1}, "max_batch": 1},
        "command": ["evalkit", "run", name],
    }
    columns = {
        column: {"unit": unit, "better": better, "metric": metric, "description": f"what {column} is"}
        for column, (metric, better, unit) in COLUMNS.items()
    }
    summary = {"run": folder.name, "model": name, "columns": columns, "coverage": coverage(rows, len(rows))}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder
