"""The end of a run: table, summary, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.decisions.paired import baseline_block
from evalkit.decisions.summary import absent_columns, column_summaries, corpus_figures, coverage, tag_summaries
from evalkit.files import write_atomically, write_json
from evalkit.pipeline.judges import Choice
from evalkit.pipeline.references import reference_levels
from evalkit.pipeline.scoring import Scorer
from evalkit.pipeline.timings import TIMINGS
from evalkit.runs.folder import RunFolder, read_json
from evalkit.runs.log import UtteranceLog
from evalkit.runs.table import write_scores
from metrics import Column


def finish(
    folder: RunFolder,
    log: UtteranceLog,
    choices: Sequence[Choice],
    metric_columns: Mapping[str, Column],
    planned: int,
    scorer: Scorer,
    references: Sequence[Path],
    baseline: RunFolder | None,
    timing_columns: bool,
) -> dict[str, Any]:
    """Write scores.parquet, summary.json and report.html from the log; returns the summary."""
    columns = {**metric_columns, **(TIMINGS if timing_columns else {})}
    owner = {c.name: choice.name for choice in choices if choice.metric for c in choice.metric.spec.columns}
    owner |= dict.fromkeys(TIMINGS, "timings")
    manifest = folder.manifest()
    summaries = column_summaries(log.rows, columns, owner)
    unavailable = {choice.name: choice.absent for choice in choices if choice.absent}
    summary = {
        "run": folder.path.name,
        "model": manifest["checkpoint"]["name"] if manifest["checkpoint"] else folder.path.name,
        "suite": f"{manifest['suite']['name']} {manifest['suite']['version']}",
        "created": manifest["created"],
        "judges": _judges(choices),
        "coverage": coverage(log.rows, planned),
        "columns": summaries,
        "corpus": corpus_figures(log.rows),
        "absent": absent_columns(log.rows, metric_columns, unavailable),
        "tags": tag_summaries(log.rows, [name for name, s in summaries.items() if s["better"] != "neither"]),
        "baseline": baseline_block(log.rows, columns, baseline) if baseline else None,
        "reference": _reference(folder, references, scorer, metric_columns),
        "verdict": None,
    }
    write_scores(folder.scores_path, log.rows, list(summaries))
    _write_report(folder, manifest, summary, log)
    write_json(folder.summary_path, summary)  # last: its presence says that the run is finished
    return summary


def _judges(choices: Sequence[Choice]) -> dict[str, Any]:
    return {
        choice.name: {
            "judge": choice.metric.passport().judge, "kind": choice.metric.spec.judge, "notice": choice.notice
        }
        for choice in choices
        if choice.metric is not None
    }


def _reference(
    folder: RunFolder, references: Sequence[Path], scorer: Scorer, columns: Mapping[str, Column]
) -> dict[str, Any] | None:
    if not references:
        return None
    if not folder.reference_path.exists():
        write_json(folder.reference_path, reference_levels(references, scorer, columns))
    return read_json(folder.reference_path)


def _write_report(folder: RunFolder, manifest: Mapping[str, Any], summary: Mapping[str, Any], log: UtteranceLog) -> None:
    from reports import render_html

    rows = sorted(log.rows, key=lambda row: str(row["utterance"]))
    write_atomically(folder.report_path, render_html(manifest, summary, rows, folder.path))
