"""The paired difference between a run and its baseline, refused when the two are not comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.decisions.statistics import paired_difference
from evalkit.decisions.summary import item_values
from evalkit.decisions.timing import TIMINGS, timing_difference
from evalkit.errors import EvalkitError
from evalkit.runs.folder import RunFolder
from evalkit.runs.log import Row
from evalkit.runs.table import read_scores
from metrics import Column


def incomparable(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """What makes two manifests incomparable, or None: another suite, another reference, or another passport."""
    if ours["suite"]["sha256"] != theirs["suite"]["sha256"]:
        return f"the suites differ ({_suite(ours)} and {_suite(theirs)})"
    if _reference(ours) != _reference(theirs):
        return "the reference clips differ"
    for metric in sorted(ours["passports"].keys() & theirs["passports"].keys()):
        difference = _first_difference(ours["passports"][metric], theirs["passports"][metric])
        if difference:
            return f"the passports of '{metric}' differ in {difference}"
    return None


def check_baseline(manifest: Mapping[str, Any], baseline: RunFolder) -> None:
    """Raises EvalkitError naming the difference when the baseline cannot be compared with."""
    problem = incomparable(manifest, baseline.manifest())
    if problem:
        raise EvalkitError(f"The baseline {baseline.path} cannot be compared with this run: {problem}; run it again.")


def baseline_block(
    rows: Sequence[Row], columns: Mapping[str, Column], baseline: RunFolder, manifest: Mapping[str, Any]
) -> dict[str, Any]:
    """`summary["baseline"]`: per column the difference (this run minus baseline) over the items that both have.

    Timings that were measured under other conditions are left out, and `omitted` says why.
    """
    theirs = read_scores(baseline.scores_path)
    untimely = timing_difference(manifest.get("timing"), baseline.manifest().get("timing"))
    omitted = {
        name: untimely
        for name in sorted(columns.keys() & TIMINGS)
        if untimely and any(row.get(name) is not None for row in theirs)
    }
    block: dict[str, Any] = {}
    for name, column in columns.items():
        if name in omitted:
            continue
        ours_by_item, theirs_by_item = item_values(rows, name), item_values(theirs, name)
        difference = paired_difference(ours_by_item, theirs_by_item)
        if difference is not None:
            block[name] = {
                "pairs": difference.pairs,
                "unpaired": len(ours_by_item.keys() ^ theirs_by_item.keys()),
                "difference": difference.difference,
                "ci95": difference.ci95,
                "mean": difference.mean,
                "baseline_mean": difference.baseline_mean,
                "better": column.better,
            }
    summary = baseline.summary()
    return {
        "run": summary["run"],
        "model": summary["model"],
        "coverage": summary["coverage"]["share"],
        "columns": block,
        "omitted": omitted,
        "notices": _notices(manifest, baseline.manifest()),
    }


def _notices(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """What does not make two runs incomparable, and may still explain a difference."""
    streamed = [(manifest.get("timing") or {}).get("mode") == "stream" for manifest in (ours, theirs)]
    if streamed[0] == streamed[1]:
        return []
    return ["One of the runs streamed its audio and the other did not, which some engines speak differently."]


def _suite(manifest: Mapping[str, Any]) -> str:
    return f"{manifest['suite']['name']} {manifest['suite']['version']}"


def _reference(manifest: Mapping[str, Any]) -> list[str]:
    return sorted(file["sha256"] for file in (manifest["reference"] or {"files": []})["files"])


def _first_difference(ours: Any, theirs: Any, at: str = "") -> str | None:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for key in sorted(ours.keys() | theirs.keys()):
            difference = _first_difference(ours.get(key), theirs.get(key), f"{at}.{key}" if at else key)
            if difference:
                return difference
        return None
    return None if ours == theirs else f"{at} ({ours} and {theirs})"
