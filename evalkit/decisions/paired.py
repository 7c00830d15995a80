"""The paired difference between a run and its baseline, refused when the two are not comparable."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.decisions.differences import Paired, paired, paired_ratio
from evalkit.decisions.scores import Meaning, Scores, open_scores, pooled
from evalkit.decisions.timing import TIMINGS, timing_difference
from evalkit.errors import EvalkitError
from evalkit.runs.folder import RunFolder
from evalkit.runs.log import Row
from metrics import Column

_IN_BATCHES = "in batches many utterances share one time: only runs with --latency are compared"


def incomparable(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """What makes two manifests incomparable, or None: another suite, another reference, or another passport.

    A suite is another one if its items are others, or its version, which its author raises to begin anew.
    """
    if any(ours["suite"][key] != theirs["suite"][key] for key in ("sha256", "version")):
        return f"the suites differ ({_suite(ours)} and {_suite(theirs)})"
    if _reference(ours) != _reference(theirs):
        return "the reference clips differ"
    for metric in sorted(ours["passports"].keys() & theirs["passports"].keys()):
        difference = _first_difference(ours["passports"][metric], theirs["passports"][metric])
        if difference:
            return f"the passports of '{metric}' differ in {difference}"
    return None


def check_baseline(
    folder: Path,
    manifest: Mapping[str, Any],
    items: Collection[str],
    columns: Mapping[str, Column],
    baseline: RunFolder,
) -> None:
    """Raises EvalkitError, before anything is spoken, when the baseline cannot be compared with, or in nothing.

    folder, manifest: of the run that is to be; items, columns: what it will have.
    """
    if folder.resolve() == baseline.path.resolve():
        raise EvalkitError(
            f"The baseline {baseline.path} is this very run, which differs from itself in nothing: name another run, "
            "or leave --baseline out."
        )
    problem = incomparable(manifest, baseline.manifest())
    if problem:
        raise EvalkitError(f"The baseline {baseline.path} cannot be compared with this run: {problem}; run it again.")
    theirs = open_scores(baseline.path)
    if not {row["item"] for row in theirs.rows} & set(items):
        raise EvalkitError(f"The baseline {baseline.path} has none of the items of this run: take items that it has.")
    omitted = untimely(_side(manifest, columns), theirs)
    if not (columns.keys() & theirs.columns.keys()) - omitted.keys():
        why = "".join(f" ({', '.join(omitted)}: {reason})" for reason in set(omitted.values()))
        raise EvalkitError(
            f"The baseline {baseline.path} has no column that could be compared with this run's{why}: give --metrics "
            "that it has too."
        )


def _side(manifest: Mapping[str, Any], columns: Mapping[str, Column], rows: Sequence[Row] = ()) -> Scores:
    """The side of this run."""
    meanings = {name: Meaning(one.unit, one.better, "") for name, one in columns.items()}
    return Scores("", "", rows, meanings, {}, manifest)


def baseline_block(
    rows: Sequence[Row], columns: Mapping[str, Column], baseline: RunFolder, manifest: Mapping[str, Any]
) -> dict[str, Any]:
    """`summary["baseline"]`: per column the difference (this run minus baseline) over the items that both have.

    The figures are those of `evalkit compare`, corpus figures among them. Timings that were measured under other
    conditions are left out, and `omitted` says why.
    """
    theirs = open_scores(baseline.path)
    ours = _side(manifest, columns, rows)
    omitted = untimely(ours, theirs)
    block = {}
    for name, meaning in {**ours.columns, **ours.corpora()}.items():
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
    """Timings that both have, and why they are not compared: measured under other conditions, or in batches.

    In batches, items are no independent samples of a time.
    """
    timed = [side.manifest.get("timing") for side in (ours, theirs) if side.manifest is not None]
    why = timing_difference(*timed) if len(timed) == 2 else None
    if why is None and any((one or {}).get("mode") == "batch" for one in timed):
        why = _IN_BATCHES
    return dict.fromkeys(sorted(TIMINGS & ours.columns.keys() & theirs.columns.keys()), why) if why else {}


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
