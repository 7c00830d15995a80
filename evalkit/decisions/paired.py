"""The paired difference between a run and its baseline, refused when the two are not comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.decisions.differences import Paired, paired, paired_ratio
from evalkit.decisions.scores import Meaning, Scores, open_scores, pooled
from evalkit.decisions.timing import TIMINGS, timing_difference
from evalkit.errors import EvalkitError
from evalkit.runs.folder import RunFolder
from evalkit.runs.log import Row
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

    The figures are those of `evalkit compare`, corpus figures among them. Timings that were measured under other
    conditions are left out, and `omitted` says why.
    """
    theirs = open_scores(baseline.path)
    meanings = {name: Meaning(one.unit, one.better, "") for name, one in columns.items()}
    ours = Scores("", "", rows, meanings, {}, manifest)
    omitted = untimely(ours, theirs)
    block = {}
    for name, meaning in (meanings | ours.corpora()).items():
        found = None if name in omitted else measure(ours, theirs, name)
        if found is not None:
            block[name] = {
                "pairs": found.pairs,
                "unpaired": found.unpaired,
                "difference": found.difference,
                "ci95": found.ci95,
                "mean": found.mean,
                "baseline_mean": found.baseline_mean,
                "better": meaning.better,
            }
    return {
        "run": theirs.run,
        "model": theirs.name,
        "coverage": theirs.coverage["share"],
        "columns": block,
        "omitted": omitted,
        "notices": notices(manifest, baseline.manifest()),
    }


def measure(ours: Scores, theirs: Scores, column: str) -> Paired | None:
    """The difference of a column, or of a corpus figure; None where no item has it on both sides."""
    speakers = theirs.speakers() | ours.speakers()
    if pooled(column):
        return paired_ratio(ours.counts(column), theirs.counts(column), speakers)
    return paired(ours.values(column), theirs.values(column), speakers)


def untimely(ours: Scores, theirs: Scores) -> dict[str, str]:
    """Timings that both have and that were measured under other conditions, and why they are not compared."""
    if ours.manifest is None or theirs.manifest is None:
        return {}
    why = timing_difference(ours.manifest.get("timing"), theirs.manifest.get("timing"))
    both = (ours.columns.keys() & TIMINGS) if why else set()
    return {name: why for name in sorted(both) if why and theirs.values(name)}


def notices(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
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
