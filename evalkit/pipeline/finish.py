"""The end of a run: table, summary, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.decisions.paired import baseline_block
from evalkit.decisions.summary import (
    absent_columns,
    add_percentiles,
    column_summaries,
    corpus_figures,
    coverage,
    tag_summaries,
)
from evalkit.decisions.timing import timing_block
from evalkit.files import write_atomically, write_json
from evalkit.pipeline.job import Job
from evalkit.pipeline.judges import Choice
from evalkit.pipeline.references import reference_levels
from evalkit.pipeline.scoring import Scorer
from evalkit.pipeline.suite_record import NO_VERSION
from evalkit.runs.folder import RunFolder, read_json
from evalkit.runs.log import Row
from evalkit.runs.table import write_scores


def finish(
    job: Job, folder: RunFolder, rows: Sequence[Row], scorer: Scorer, baseline: RunFolder | None
) -> dict[str, Any]:
    """Write scores.parquet, summary.json and report.html from the rows of the log; returns the summary."""
    columns = job.columns()
    manifest, reference = folder.manifest(), _reference(folder, job, scorer)
    timing = manifest.get("timing") or {"mode": "batch"}
    alone = timing["mode"] != "batch"
    shared = frozenset() if alone else job.timings.keys()
    summaries = column_summaries(rows, columns, job.owners(), shared)
    doubts = {choice.name: choice.unreliable for choice in job.choices if choice.unreliable}
    for one in summaries.values():
        if one["metric"] in doubts:
            one["unreliable"] = doubts[one["metric"]]
    if alone:
        add_percentiles(summaries, rows, job.timings.keys())
    summary = {
        "run": folder.path.name,
        "model": manifest["checkpoint"]["name"] if manifest["checkpoint"] else job.name,
        "suite": _suite(manifest),
        "created": manifest["created"],
        "judges": _judges(job.choices),
        "coverage": coverage(rows, len(job.planned)),
        "columns": summaries,
        "corpus": corpus_figures(rows),
        "absent": absent_columns(rows, columns, {c.name: c.absent for c in job.choices if c.absent}),
        "tags": tag_summaries(rows, [name for name, one in summaries.items() if one["better"] != "neither"], shared),
        "baseline": baseline_block(rows, columns, baseline, manifest) if baseline else None,
        "reference": reference and reference["mean"],
        "reference_spread": reference and {"clips": reference["clips"], "range": reference["range"]},
        "timing": timing_block(rows, timing) if alone else None,
        "verdict": None,
    }
    write_scores(folder.scores_path, rows, list(summaries))
    _write_report(folder, manifest, summary, rows)
    write_json(folder.summary_path, summary)  # last: its presence says that the run is finished
    return summary


def _suite(manifest: Mapping[str, Any]) -> str | None:
    """Name and version, None for audio that existed and is of no suite."""
    suite = manifest["suite"]
    return None if suite["version"] == NO_VERSION else f"{suite['name']} {suite['version']}"


def _judges(choices: Sequence[Choice]) -> dict[str, Any]:
    return {
        choice.name: {
            "judge": choice.metric.passport().judge,
            "kind": choice.metric.spec.judge,
            "notice": choice.notice,
            "unreliable": choice.unreliable,
        }
        for choice in choices
        if choice.metric is not None
    }


def _reference(folder: RunFolder, job: Job, scorer: Scorer) -> dict[str, Any] | None:
    if not job.references:
        return None
    if not folder.reference_path.exists():
        write_json(folder.reference_path, reference_levels(job.references, scorer, job.metric_columns()))
    return read_json(folder.reference_path)


def _write_report(
    folder: RunFolder, manifest: Mapping[str, Any], summary: Mapping[str, Any], rows: Sequence[Row]
) -> None:
    from reports import render_html

    ordered = sorted(rows, key=lambda row: str(row["utterance"]))
    write_atomically(folder.report_path, render_html(manifest, summary, ordered, folder.path))
