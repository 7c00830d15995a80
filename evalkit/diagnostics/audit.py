"""Auditing a metric: is it repeatable, and does it follow quality rather than length, level or chance?

What the LoRA study found by hand of other MOS predictors (one gave another score at every run, two favoured short
clips), measured of any metric: the same clips again and again, in other lengths, at other levels and with noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit import __version__
from evalkit.diagnostics.audit_clips import LEVEL_DBFS, AuditClip, find_clips, read_clip
from evalkit.diagnostics.audit_measure import MakeMetric, opened, repeat, walk
from evalkit.diagnostics.audit_ratings import agreement, read_ratings, score_rated
from evalkit.diagnostics.audit_verdicts import judge_column, overall, thresholds
from evalkit.files import sha256_file, writable_folder, write_atomically, write_json
from metrics import Metric


def metric_maker(name: str, settings: Sequence[str], device: str) -> MakeMetric:
    """Makes instances of a registered metric ("wer.bundled"). settings: "option=value" or "wer.bundled.option=value".

    Raises EvalkitError on an unknown metric, option or value, and where the metric cannot run here.
    """
    from evalkit.pipeline.judges import choose

    full = [s if "." in s.partition("=")[0] else f"{name}.{s}" for s in settings]

    def make() -> Metric:
        metric = choose([name], "auto", device, full)[0].metric
        assert metric is not None, "a metric that is named runs, or choose raises"
        return metric

    return make


def audit_metric(
    make: MakeMetric,
    clips: Path | None = None,
    ratings: Path | None = None,
    runs: int = 10,
    limit: int = 4,
    seed: int = 0,
    device: str = "cpu",
    announce: Callable[[str], None] = lambda stage: None,
    out: Path | None = None,
) -> dict[str, Any]:
    """The audit as JSON-able values; see `audit_verdicts` for what is in a property.

    make: gives a new instance of the metric at every call. clips: folder of clear speech, None for the clips of a
    checkout. ratings: CSV of clips that people rated. limit: clips to use of the folder. out: folder that the result is
    to go into; it is made before the first clip is scored. Raises EvalkitError, wherever possible before that too.
    """
    with opened(make) as metric:
        spec = metric.spec
        found = find_clips(clips, spec, limit)
        rated = read_ratings(ratings) if ratings else None
        for clip in found:
            read_clip(clip)  # one that cannot be used is said now, not in the middle
        if out is not None:
            writable_folder(out)
        passport = asdict(metric.passport())
        announce(f"{len(found)} clips at other lengths, levels and amounts of noise")
        ladders = walk(metric, found, seed, device)
        announce(f"{runs} runs of the same clips")
        repeats = repeat(make, found, runs, seed, device)
        if rated is not None:
            announce(f"{len(rated)} rated clips")
        values = score_rated(metric, rated, device) if rated is not None else {}
    columns = {
        column.name: judge_column(
            column,
            repeats[column.name],
            ladders[column.name],
            agreement(rated, values[column.name], seed) if rated is not None else None,
        )
        for column in spec.columns
    }
    return {
        "metric": spec.name,
        "judge": passport["judge"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "evalkit": __version__,
        "seed": seed,
        "device": device,
        "level_dbfs": LEVEL_DBFS,
        "clips": [_described(clip) for clip in found],
        "thresholds": thresholds(),
        "overall": overall(spec.name, columns),
        "columns": {
            column.name: {"unit": column.unit, "better": column.better, "properties": columns[column.name]}
            for column in spec.columns
        },
        "passport": passport,
    }


def write_audit(audit: dict[str, Any], folder: Path, name: str) -> tuple[Path, Path]:
    """`<name>.json` and the page `<name>.html` in a folder. Raises EvalkitError when it cannot be written."""
    from reports.audit_page import render_audit

    data, page = folder / f"{name}.json", folder / f"{name}.html"
    write_json(data, audit)
    write_atomically(page, render_audit(audit))
    return data, page


def _described(clip: AuditClip) -> dict[str, Any]:
    import soundfile

    return {
        "name": clip.info.id,
        "seconds": round(float(soundfile.info(clip.path).duration), 3),
        "sha256": sha256_file(clip.path),
    }
