"""Runs made of numbers, for tests of the gate: the files of a finished run, or its scores in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.decisions.scores import Meaning, Scores
from evalkit.decisions.summary import coverage
from evalkit.runs.table import write_scores

MEANINGS = {
    "dnsmos_ovrl": Meaning("MOS", "higher", "dnsmos"),
    "pronunciation_accuracy": Meaning("", "higher", "pronunciation"),
    "wer": Meaning("", "lower", "wer"),
    "duration_s": Meaning("s", "neither", "signal"),
}
Values = Mapping[str, Sequence[float | None]]  # column -> a value per item; None: the utterance failed


def row(
    item: str, repeat: int = 0, tags: Sequence[str] = (), failed: bool = False, **values: float | None
) -> dict[str, Any]:
    """One utterance; wer has four words."""
    wer = values.get("wer")
    details = {} if wer is None else {"wer_errors": round(4 * wer), "wer_words": 4}
    return {
        "utterance": f"{item}.r{repeat}",
        "item": item,
        "repeat": repeat,
        "seed": 0,
        "status": "failed" if failed else "ok",
        "reason": "it crashed" if failed else None,
        "text": "four words are here",
        "spoken": "four words are here",
        "read": None,
        "phonemes": None,
        "audio": None,
        "sample_rate": 16000,
        "entities": [],
        "tags": list(tags),
        "missing": dict.fromkeys([name for name, value in values.items() if value is None], "it crashed"),
        "details": {**details, **dict.fromkeys(("substitutions", "deletions", "insertions"), 0)} if details else {},
        **values,
    }


def rows_of(values: Values, tags: Mapping[str, Sequence[str]] | None = None) -> list[dict[str, Any]]:
    """An utterance per item, `i-00` and so on."""
    number = len(next(iter(values.values())))
    found = []
    for index in range(number):
        one = {name: column[index] for name, column in values.items()}
        item = f"i-{index:02d}"
        found.append(row(item, tags=(tags or {}).get(item, ()), failed=None in one.values(), **one))
    return found


def scores(rows: Sequence[dict[str, Any]], name: str = "ours", **manifest: Any) -> Scores:
    """What open_scores would make of them."""
    columns = {one: MEANINGS[one] for one in MEANINGS if any(r.get(one) is not None for r in rows)}
    return Scores(name, name, rows, columns, coverage(rows, len(rows)), {**_manifest(), **manifest})


def noise(number: int, spread: float, seed: int, mean: float = 3.0) -> list[float]:
    return [float(value) for value in np.random.default_rng(seed).normal(mean, spread, number)]


def made_run(folder: Path, rows: Sequence[dict[str, Any]], **manifest: Any) -> Path:
    """The folder of a finished run of these rows."""
    folder.mkdir(parents=True)
    columns = {one: MEANINGS[one] for one in MEANINGS if any(r.get(one) is not None for r in rows)}
    write_scores(folder / "scores.parquet", rows, list(columns))
    (folder / "manifest.json").write_text(json.dumps({**_manifest(), **manifest}))
    described = {
        name: {"unit": one.unit, "better": one.better, "metric": one.metric, "description": name}
        for name, one in columns.items()
    }
    summary = {"run": folder.name, "model": "model.pth", "coverage": coverage(rows, len(rows)), "columns": described}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def _manifest() -> dict[str, Any]:
    return {
        "engine": {"name": "tinytts"},
        "suite": {"name": "smoke", "version": "1", "sha256": "5"},
        "reference": None,
        "passports": {one.metric: {"version": "1", "judge": "the judge"} for one in MEANINGS.values()},
        "timing": None,
    }
