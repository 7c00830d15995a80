"""One job of a night as it is stored: what came of it, in figures and sentences, without machine paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.decisions.scores import Scores
from evalkit.files import digest
from evalkit.nightly.jobs import Job

WAITING, DONE, FAILED = "waiting", "done", "failed"
Entry = dict[str, Any]


def waiting(job: Job) -> Entry:
    return {"key": job.key, "label": job.label, "suite": job.suite, "engine": job.engine or "", "state": WAITING}


def failed(job: Job, reason: str, new: bool) -> Entry:
    """new: whether it did not fail on the night before."""
    return {**waiting(job), "state": FAILED, "reason": reason, "new_trouble": new}


def done(job: Job, scores: Scores, summary: Mapping[str, Any], seconds: float) -> Entry:
    """The figures of a finished run; what the gate and the comparisons say is added by `evalkit.nightly.judging`."""
    manifest: Mapping[str, Any] = scores.manifest or {}
    checkpoint = manifest.get("checkpoint") or {}
    return {
        **waiting(job),
        "state": DONE,
        "run": scores.run,
        "model": summary["model"],
        "engine": manifest["engine"]["name"],
        "fingerprint": checkpoint.get("fingerprint"),
        "coverage": dict(summary["coverage"]),
        "columns": _figures(summary, scores),
        "judges": {name: one["notice"] for name, one in summary["judges"].items() if one.get("notice")},
        "passports": digest(manifest["passports"]),
        "seconds": round(seconds, 1),
    }


def _figures(summary: Mapping[str, Any], scores: Scores) -> dict[str, Any]:
    manifest: Mapping[str, Any] = scores.manifest or {}
    columns = {
        name: {key: one[key] for key in ("mean", "ci95", "n", "min", "max", "unit", "better", "metric")}
        for name, one in summary["columns"].items()
    }
    for name, one in (summary.get("corpus") or {}).items():
        metric = columns[name.removesuffix("_corpus")]["metric"]
        figure = {"mean": one["value"], "ci95": one["ci95"], "n": one["of"], "min": None, "max": None}
        columns[name] = {**figure, "unit": one["unit"], "better": one["better"], "metric": metric}
    spoken = _spoken(scores)
    for one in columns.values():
        one["passport"] = digest({**spoken, "passport": _passport(manifest, one["metric"])})[:16]
    return columns


def _spoken(scores: Scores) -> dict[str, Any]:
    """What a figure depends on besides the judge and the model: which items of which suite, and the reference clips."""
    manifest: Mapping[str, Any] = scores.manifest or {}
    reference = manifest.get("reference") or {"files": []}
    return {
        "suite": manifest["suite"]["sha256"],
        "items": sorted({row["item"] for row in scores.rows}),
        "repeats": manifest["repeats"],
        "seed": manifest["seed"],
        "reference": sorted(file["sha256"] for file in reference["files"]),
    }


def _passport(manifest: Mapping[str, Any], metric: str) -> Any:
    """Of timings, the machine and its threads; the load at the start is another one every time."""
    if metric in manifest["passports"]:
        return manifest["passports"][metric]
    return {key: value for key, value in (manifest.get("timing") or {}).items() if key != "load_at_start"}
