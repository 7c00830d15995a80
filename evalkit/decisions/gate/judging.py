"""The verdict: every rule judged, and what follows from all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalkit.decisions.gate import figures
from evalkit.decisions.gate.checks import judge_absolute, judge_coverage, judge_item
from evalkit.decisions.gate.lost import find_lost
from evalkit.decisions.gate.outcome import NO_BASELINE, Kind, Outcome
from evalkit.decisions.gate.relative import Comparison, evident_level, judge_relative, prepare
from evalkit.decisions.gate.schema import Absolute, Coverage, Item, Relative, Rules
from evalkit.decisions.paired import incomparable
from evalkit.decisions.scores import Scores
from evalkit.decisions.timing import TIMINGS, timing_difference
from evalkit.errors import EvalkitError
from evalkit.registry import unknown

NAMED = 2  # rules that were not judged, in the verdict's sentence


def judge(scores: Scores, rules: Rules, baseline: Scores | None = None, strict: bool = False) -> dict[str, Any]:
    """The verdict on a run as plain data.

    strict: what cannot be told, or cannot be compared, blocks. Raises EvalkitError where the rules and the runs do not
    fit: another suite, other passports, a column that was not measured.
    """
    differing = _check(scores, baseline, rules) if baseline is not None else {}
    outcomes = _passports(rules, scores, baseline, differing)
    outcomes += [_coverage(rule, scores, baseline) for rule in rules.coverage]
    for floor in rules.absolute:
        found = figures.find(floor, scores)
        outcomes.append(_absent(floor, found) if isinstance(found, figures.Absent) else judge_absolute(floor, found[1]))
    comparing: list[Relative | Item] = [*rules.relative, *rules.item]
    prepared = [_prepare(rule, rules, scores, baseline, differing) for rule in comparing]
    level = evident_level([one for one in prepared if isinstance(one, Comparison)])
    outcomes += [judge_relative(one, level) if isinstance(one, Comparison) else one for one in prepared]
    outcomes = [replace(one, blocks=_blocks(one, rules, strict)) for one in outcomes]
    blocked = any(one.blocks for one in outcomes)
    return {
        "verdict": "blocked" if blocked else "pass",
        "sentence": _sentence(outcomes),
        "run": scores.run,
        "model": scores.name,
        "suite": _suite(scores),
        "baseline": {"run": baseline.run, "model": baseline.name} if baseline is not None else None,
        "undecided": sum(one.result == "undecided" for one in outcomes),
        "strict": strict,
        "rules_from": rules.origin,
        "rules": [one.as_dict() for one in outcomes],
        "notices": _notices(scores, baseline, outcomes),
    }


def _check(scores: Scores, baseline: Scores, rules: Rules) -> dict[str, str]:
    """Metric (or timing column) -> why its figures cannot be compared. Raises EvalkitError unless they may differ.

    Only what the relative and item rules name is looked at: a judge that no rule uses may change.
    """
    if scores.manifest is None or baseline.manifest is None:
        return {}
    ours, theirs = scores.manifest, baseline.manifest
    if whole := incomparable({**ours, "passports": {}}, {**theirs, "passports": {}}):
        raise EvalkitError(_refusal(scores, baseline, whole))
    differing = {}
    for metric in _metrics(rules, scores):
        alone = [{**side, "passports": {metric: side["passports"].get(metric)}} for side in (ours, theirs)]
        if all(one["passports"][metric] for one in alone) and (why := incomparable(*alone)):
            differing[metric] = why
    timed = timing_difference(ours.get("timing"), theirs.get("timing"))
    if timed:
        differing |= {rule.column: timed for rule in (*rules.relative, *rules.item) if rule.column in TIMINGS}
    if differing and rules.passport.differ == "refuse":
        raise EvalkitError(_refusal(scores, baseline, next(iter(differing.values()))))
    return differing


def _metrics(rules: Rules, scores: Scores) -> list[str]:
    judged = (scores.manifest or {}).get("passports", {})
    for metric in rules.passport.metrics:
        if metric not in judged:
            raise EvalkitError(f"The passport rule, on the run {scores.run}: {unknown('metric', metric, judged)}")
    if rules.passport.metrics:
        return rules.passport.metrics
    known = {**scores.columns, **scores.corpora()}
    named = [rule.column for rule in (*rules.relative, *rules.item)]
    return sorted({known[column].metric for column in named if column in known})


def _refusal(scores: Scores, baseline: Scores, why: str) -> str:
    return (
        f"The run {scores.run} cannot be judged against the baseline {baseline.run}: {why}; make the baseline again as "
        "this run was made, and accept it."
    )


def _passports(rules: Rules, scores: Scores, baseline: Scores | None, differing: Mapping[str, str]) -> list[Outcome]:
    """The outcome of the passport rule, where anything is compared."""
    if baseline is None or not (rules.relative or rules.item):
        return []
    about: dict[str, Any] = {"name": rules.passport.title, "kind": "passport", "why": rules.passport.why}
    table = next((side for side in (scores, baseline) if side.manifest is None), None)
    if table is not None:
        says = f"{table.run} is a table without passports: nothing shows that both were judged alike."
        return [Outcome(**about, result="skipped", says=says)]
    if differing:
        reasons = "; ".join(dict.fromkeys(differing.values()))
        return [Outcome(**about, result="skipped", says=f"{reasons}; rules of these columns are not judged.")]
    return [Outcome(**about, result="pass", says="both runs were judged alike.")]


def _coverage(rule: Coverage, scores: Scores, baseline: Scores | None) -> Outcome:
    measured = rule.column is None or scores.values(rule.column)
    if not measured and any(map(figures.scored, scores.rows)):
        said = unknown("column", str(rule.column), scores.columns)
        raise EvalkitError(f"The rule '{rule.title}' cannot be judged on the run {scores.run}: {said}")
    ours = figures.with_tag(scores, rule.tag) if rule.tag is not None else scores
    theirs = baseline
    if baseline is not None and rule.tag is not None:
        theirs = figures.with_items(baseline, ours)
    return judge_coverage(rule, ours, theirs)


def _prepare(
    rule: Relative | Item, rules: Rules, scores: Scores, baseline: Scores | None, differing: Mapping[str, str]
) -> Comparison | Outcome:
    found = figures.find(rule, scores)
    if isinstance(found, figures.Absent):
        return _absent(rule, found)
    rows, ours = found
    if baseline is None:
        return _skipped(rule, NO_BASELINE)
    if why := differing.get(ours.meaning.metric) or differing.get(rule.column):
        return _skipped(rule, f"{why}.")
    theirs = figures.find_baseline(rule, rows, baseline)
    if isinstance(theirs, figures.Absent):
        return _absent(rule, theirs)
    if isinstance(rule, Item):
        return judge_item(rule, rows, ours, theirs)
    return prepare(rule, ours, theirs, find_lost(rules.coverage, rows, ours, theirs))


def _absent(rule: figures.OfColumn, absent: figures.Absent) -> Outcome:
    blank = _skipped(rule, absent.why)
    return replace(blank, result="blocked") if absent.failed else replace(blank, optional=True)


def _skipped(rule: figures.OfColumn, says: str) -> Outcome:
    kind: Kind = "item" if isinstance(rule, Item) else "tag" if rule.tag is not None else "relative"
    if kind == "relative" and not isinstance(rule, Relative):
        kind = "absolute"
    return Outcome(rule.title, kind, "skipped", says, column=rule.column, tag=rule.tag, why=rule.why)


def _blocks(one: Outcome, rules: Rules, strict: bool) -> bool:
    if one.result == "undecided":
        could_be: list[Absolute | Relative] = [*rules.absolute, *rules.relative]
        settled = {rule.title: rules.lenient(rule) for rule in could_be}
        return strict or not settled[one.name]
    return one.result == "blocked" or (one.result == "skipped" and strict and not one.optional)


def _sentence(outcomes: Sequence[Outcome]) -> str:
    """The verdict in one sentence."""
    judged = [one for one in outcomes if one.result != "skipped"]
    stops = [one for one in outcomes if one.blocks]
    open_ = [one for one in judged if one.result == "undecided" and not one.blocks]
    skipped = [one for one in outcomes if one.result == "skipped" and not one.blocks]
    if stops:
        said = f"Blocked by {len(stops)} of {_rules(len(outcomes))}: {', '.join(one.name for one in stops)}"
    elif not judged:
        said = "Passed, but no rule could be judged"
    elif open_:
        said = f"Passed: {len(judged) - len(open_)} of {_rules(len(judged))} hold"
    else:
        said = "Passed: the rule holds" if len(judged) == 1 else f"Passed: {_rules(len(judged))} hold"
    said += f"; cannot tell: {', '.join(one.name for one in open_)}" if open_ else ""
    if len(skipped) > NAMED:
        said += f"; {len(skipped)} rules were not judged"
    elif skipped:
        said += f"; not judged: {', '.join(one.name for one in skipped)}"
    return f"{said}."


def _rules(number: int) -> str:
    return "1 rule" if number == 1 else f"{number} rules"


def _suite(scores: Scores) -> str | None:
    return (
        None if scores.manifest is None else f"{scores.manifest['suite']['name']} {scores.manifest['suite']['version']}"
    )


def _notices(scores: Scores, baseline: Scores | None, outcomes: Sequence[Outcome]) -> list[str]:
    said = []
    if baseline is None and any(one.says == NO_BASELINE for one in outcomes):
        said.append("There is no accepted baseline: what compares with one was not judged.")
    if baseline is not None and baseline.run == scores.run:
        said.append("The run is its own baseline, so comparing says nothing.")
    undecided = [one.name for one in outcomes if one.result == "undecided" and not one.blocks]
    if undecided:
        said.append(f"Undecided, and let through: {', '.join(undecided)}; --strict blocks.")
    return said
