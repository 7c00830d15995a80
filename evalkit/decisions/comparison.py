"""Runs, or published tables of scores, against a baseline: what `evalkit compare` says, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalkit.decisions.answers import LEVEL, answer, holm
from evalkit.decisions.changed import changed_items
from evalkit.decisions.differences import Paired
from evalkit.decisions.groups import group_figures, group_members
from evalkit.decisions.intervals import FEWEST
from evalkit.decisions.paired import incomparable, measure, notices, untimely
from evalkit.decisions.scores import Meaning, Scores, pooled
from evalkit.errors import EvalkitError, some
from reports.columns import main_columns

_FACTS = ("created", "command", "checkpoint", "engine", "voice", "suite", "repeats", "seed", "device", "evalkit", "git")


def compare(
    baseline: Scores,
    others: Sequence[Scores],
    margins: Mapping[str, float],
    groups: Mapping[str, Sequence[str]] | None = None,
    force: bool = False,
    columns: Sequence[str] = (),
) -> dict[str, Any]:
    """Every other against the baseline, column by column; JSON-able.

    margins: by column. groups: name -> tags whose means are a group's members. columns: only these. Holm's correction
    is over every column that has a direction, times the others. Raises EvalkitError where passports, suites or
    references differ, unless `force`, which marks that; where nothing is in both; for an unknown column or tag.
    """
    problems = [_problem(baseline, other, force) for other in others]
    members = group_members([baseline, *others], groups or {})
    omitted = [untimely(other, baseline) for other in others]
    meanings = _chosen(_shared(baseline, others, omitted), columns)
    found = {name: _measured(others, baseline, name, omitted) for name in meanings}
    result: dict[str, Any] = {
        "baseline": _side(baseline),
        "others": [{**_side(other), "incomparable": why} for other, why in zip(others, problems, strict=True)],
        "level": LEVEL,
        "tests": 0,
        "columns": {},
        "coverage": [dict(side.coverage) for side in (baseline, *others)],
        "failures": [_failures(side) for side in (baseline, *others)],
    }
    result["tests"], result["columns"] = _answered(found, meanings, margins)
    directed = [name for name, meaning in meanings.items() if meaning.better != "neither"]
    main = [name for name in main_columns(result) if any(result["columns"][name]["sides"])]
    result |= {
        "tags": _tags(baseline, others, directed, omitted),
        "groups": group_figures([baseline, *others], members, list(meanings)),
        "main": main,
        "changed": changed_items(baseline, others, main),
        "notices": [*_one_sided(baseline, others, omitted, columns), *_notices(baseline, others, omitted, found)],
        "passports": (baseline.manifest or {}).get("passports") or {},
    }
    for side, named in zip([result["baseline"], *result["others"]], _told_apart([baseline, *others]), strict=True):
        side["label"] = named.name
    return result


def _problem(baseline: Scores, other: Scores, force: bool) -> str | None:
    """Why the two cannot be compared, if that is forced."""
    if baseline.manifest is None or other.manifest is None:
        return None
    problem = incomparable(other.manifest, baseline.manifest)
    if problem and not force:
        raise EvalkitError(
            f"{other.run} cannot be compared with {baseline.run}: {problem}. Run one of them again as the other, or "
            "compare them nevertheless by --force, which marks the result."
        )
    return problem


def _shared(baseline: Scores, others: Sequence[Scores], omitted: Sequence[Mapping[str, str]]) -> dict[str, Meaning]:
    """Columns of the baseline that another has too, in their order, each followed by its corpus figure."""
    corpora = baseline.corpora()
    found: dict[str, Meaning] = {}
    for name, meaning in baseline.columns.items():
        for one, means in ((name, meaning), (f"{name}_corpus", corpora.get(f"{name}_corpus"))):
            if means and any(one not in left and _has(other, one) for other, left in zip(others, omitted, strict=True)):
                found[one] = means
    if not found:
        raise EvalkitError(f"{', '.join(other.run for other in others)} and {baseline.run} share no column of scores.")
    return found


def _measured(
    others: Sequence[Scores], baseline: Scores, column: str, omitted: Sequence[Mapping[str, str]]
) -> list[Paired | None]:
    return [
        None if column in left else measure(other, baseline, column)
        for other, left in zip(others, omitted, strict=True)
    ]


def _one_sided(
    baseline: Scores, others: Sequence[Scores], omitted: Sequence[Mapping[str, str]], columns: Sequence[str]
) -> list[str]:
    """Which columns only one of a pair has, and which of the two. columns: that were asked for; none for all."""
    said = []
    theirs, *named = _told_apart([baseline, *others])
    for other, left in zip(named, omitted, strict=True):
        for one, without in ((theirs, other), (other, theirs)):
            alone = [
                name
                for name in one.columns
                if (not columns or name in columns) and name not in left and _has(one, name) and not _has(without, name)
            ]
            if alone:
                it = "it" if len(alone) == 1 else "them"
                only = (
                    f"only {one.name} has {it}" if len(others) == 1 else f"{one.name} has {it} and {without.name} not"
                )
                said.append(f"{', '.join(alone)}: {only}: not compared.")
    return said


def _has(scores: Scores, column: str) -> bool:
    return bool(scores.counts(column) if pooled(column) else scores.values(column))


def _chosen(shared: Mapping[str, Meaning], columns: Sequence[str]) -> dict[str, Meaning]:
    unknown = [name for name in columns if name not in shared]
    if unknown:
        raise EvalkitError(f"--columns {unknown[0]}: not in both; there are {', '.join(shared)}.")
    return {name: meaning for name, meaning in shared.items() if not columns or name in columns}


def _answered(
    found: Mapping[str, Sequence[Paired | None]], meanings: Mapping[str, Meaning], margins: Mapping[str, float]
) -> tuple[int, dict[str, Any]]:
    """How many tests there were, and every column with the answers of its sides."""
    places = [
        (name, index)
        for name, sides in found.items()
        if meanings[name].better != "neither"
        for index, one in enumerate(sides)
        if one is not None
    ]
    raw = [one.p_both if (one := found[name][index]) is not None else None for name, index in places]
    corrected = dict(zip(places, holm(raw), strict=True))
    tests = sum(p is not None for p in raw)
    columns = {}
    for name, meaning in meanings.items():
        margin = margins.get(name)
        sides = [
            _figures(one, meaning, margin, corrected.get((name, index), one.p_both if one else None), max(1, tests))
            for index, one in enumerate(found[name])
        ]
        columns[name] = {
            "unit": meaning.unit,
            "better": meaning.better,
            "metric": meaning.metric,
            "margin": margin,
            "description": meaning.description,
            "mean": next((side["baseline_mean"] for side in sides if side), None),
            "sides": sides,
        }
    return tests, columns


def _figures(
    paired: Paired | None, meaning: Meaning, margin: float | None, p_holm: float | None, tests: int
) -> dict[str, Any] | None:
    if paired is None:
        return None
    said = answer(paired, meaning.better, margin, p_holm, tests)  # type: ignore[arg-type]
    return {
        **_short(paired),
        "ci90": paired.intervals[0.90],
        "p": paired.p,
        "p_holm": p_holm if meaning.better != "neither" else None,
        "effect": paired.effect,
        "detectable": paired.detectable,
        "unpaired": paired.unpaired,
        "unit": paired.unit,
        "units": paired.units,
        "method": paired.method,
        "answer": said.verdict,
        "why": said.why,
        "more_items": said.more_items,
        "more_repeats": said.more_repeats,
    }


def _short(paired: Paired) -> dict[str, Any]:
    return {
        "difference": paired.difference,
        "ci95": paired.intervals[0.95],
        "mean": paired.mean,
        "baseline_mean": paired.baseline_mean,
        "percent": paired.percent,
        "pairs": paired.pairs,
    }


def _tags(
    baseline: Scores, others: Sequence[Scores], columns: Sequence[str], omitted: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    tags = sorted({tag for row in baseline.rows for tag in row["tags"]})
    found: dict[str, Any] = {}
    for tag in tags:
        theirs, ours = baseline.tagged(tag), [other.tagged(tag) for other in others]
        for name in columns:
            sides = _measured(ours, theirs, name, omitted)
            if any(sides):
                found.setdefault(tag, {})[name] = [_short(side) if side else None for side in sides]
    return found


def _side(scores: Scores) -> dict[str, Any]:
    manifest = scores.manifest or {}
    return {
        "name": scores.name,
        "run": scores.run,
        "path": str(scores.folder) if scores.folder else None,
        "facts": {key: manifest[key] for key in _FACTS if manifest.get(key) is not None},
    }


def _told_apart(sides: Sequence[Scores]) -> list[Scores]:
    """Sides with the same name are called by their run."""
    names = [side.name for side in sides]
    return [side if names.count(side.name) == 1 else replace(side, name=side.run) for side in sides]


def _failures(scores: Scores) -> list[dict[str, Any]]:
    keys = ("utterance", "item", "status", "reason", "text")
    return [{key: row.get(key) for key in keys} for row in scores.rows if row["status"] != "ok"]


def _notices(
    baseline: Scores,
    others: Sequence[Scores],
    omitted: Sequence[Mapping[str, str]],
    found: Mapping[str, Sequence[Paired | None]],
) -> list[str]:
    """What else to know before believing a difference."""
    said: list[str] = []
    baseline, *others = _told_apart([baseline, *others])
    for index, (other, left) in enumerate(zip(others, omitted, strict=True)):
        said += _coverage_notices(baseline, other)
        said += [f"{', '.join(left)}: not compared, {why}." for why in dict.fromkeys(left.values())][:1]
        if other.manifest is not None and baseline.manifest is not None:
            said += notices(other.manifest, baseline.manifest)
            said += _phoneme_notices(baseline, other)
        else:
            said.append("A table of scores has no passports: nothing says that both sides were measured alike.")
        few = len(set(baseline.speakers().values()))
        if 1 < few < FEWEST and any(sides[index] for sides in found.values()):
            said.append(f"The items have {few} speakers, too few to say anything of others: it holds for these alone.")
    return list(dict.fromkeys(said))


def _coverage_notices(baseline: Scores, other: Scores) -> list[str]:
    said = []
    ours, theirs = other.coverage, baseline.coverage
    if ours["share"] < theirs["share"]:
        said.append(
            f"Coverage fell: {other.name} has {ours['ok']} of {ours['planned']} utterances, {baseline.name} "
            f"{theirs['ok']} of {theirs['planned']}. An utterance without speech is left out of the columns that need "
            "some, so that their means may look better than the checkpoint is."
        )
    items = [{row["item"] for row in side.rows} for side in (other, baseline)]
    for name, alone in ((other.name, items[0] - items[1]), (baseline.name, items[1] - items[0])):
        if alone:
            said.append(f"Only {name} has {some(sorted(alone))}: left out.")
    return said


def _phoneme_notices(baseline: Scores, other: Scores) -> list[str]:
    theirs = {row["item"]: row.get("phonemes") for row in baseline.rows}
    differ = sorted({r["item"] for r in other.rows if r.get("phonemes") and r["phonemes"] != theirs.get(r["item"])})
    differ = [item for item in differ if theirs.get(item)]
    if not differ:
        return []
    return [
        f"{other.name} was given other phonemes than {baseline.name} for {len(differ)} items ({some(differ)}): what "
        "differs there may come from the front end (--phonemes-from holds them fixed)."
    ]
