"""Which metrics a run computes, and with whose weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from evalkit.errors import EvalkitError
from evalkit.registry import METRICS, unknown
from metrics import Column, Metric
from metrics.options import parse_settings

Judges = Literal["auto", "bundled", "standard"]

# What the field publishes with; named when a bundled judge stands in for it.
STANDARD = {
    "speaker_similarity": "wespeaker ResNet34-LM",
    "wer": "Whisper",
    "pronunciation": "a wav2vec2 phoneme CTC model",
}
RELIABLE = 0.9  # of the calibration clips judged rightly; below it a column is marked in every output


@dataclass(frozen=True)
class Choice:
    """The metric chosen under a name, or why there is none."""

    name: str
    metric: Metric | None
    notice: str | None = None  # loud: a bundled judge stands in for the standard one, or the judge is not reliable
    absent: str | None = None  # why the metric cannot run here
    unreliable: str | None = None  # why its columns are marked


def metric_groups() -> dict[str, list[str]]:
    """Metric name -> its registry entries ("wer" -> ["wer.bundled", "wer.whisper"])."""
    groups: dict[str, list[str]] = {}
    for entry in METRICS.names():
        groups.setdefault(entry.split(".")[0], []).append(entry)
    return groups


def choose(
    names: Sequence[str], judges: Judges, device: str, settings: Sequence[str] = (), forced: Sequence[str] = ()
) -> list[Choice]:
    """One choice per metric, sorted by name.

    names: metrics ("wer") or, to say which judge, registry entries ("wer.whisper"); empty: every metric that does not
    run on request only. settings: "metric.option=value". forced: entries that stand for their metric where it runs.
    Raises EvalkitError on an unknown metric, option or value, and when a judge that was asked for is not to be had.
    """
    groups = metric_groups()
    wanted = _wanted(names, groups)
    for entry in forced:
        if wanted.pop(entry.split(".")[0], None) is None:
            raise EvalkitError(f"The judge '{entry}' is asked for, but its metric is not in --metrics: add it there.")
        wanted |= _wanted([entry], groups)
    settings_of = _settings_by_owner(settings, groups)
    idle = sorted({owner.split(".")[0] for owner in settings_of} - wanted.keys())
    if idle:
        raise EvalkitError(f"--set {idle[0]}.…: the metric '{idle[0]}' is not computed; name it in --metrics.")
    choices = [_choose(name, wanted[name], judges, device, settings_of) for name in sorted(wanted)]
    return [choice for choice in choices if choice is not None]


def columns_of(choices: Sequence[Choice]) -> dict[str, Column]:
    """Every column of the chosen metrics, by name, with its metric's needs added to its own.

    Raises EvalkitError when two metrics claim one column.
    """
    columns: dict[str, Column] = {}
    owner: dict[str, str] = {}
    for choice in choices:
        if choice.metric is None:
            continue
        for column in choice.metric.spec.columns:
            if column.name in columns:
                raise EvalkitError(
                    f"The metrics '{owner[column.name]}' and '{choice.name}' both write the column '{column.name}': "
                    "leave one of them out with --metrics."
                )
            columns[column.name] = replace(column, needs=column.needs | choice.metric.spec.needs)
            owner[column.name] = choice.name
    return columns


def passports(choices: Sequence[Choice], resampler: str) -> Mapping[str, dict[str, Any]]:
    """Metric name -> what its numbers depend on, the resampler in front of it included."""
    return {choice.name: passport_of(choice.metric, resampler) for choice in choices if choice.metric is not None}


def passport_of(metric: Metric, resampler: str) -> dict[str, Any]:
    passport = asdict(metric.passport())
    if metric.spec.sample_rate is not None:
        passport["parameters"] = {**passport["parameters"], "resampler": resampler}
    return passport


@dataclass(frozen=True)
class _Wish:
    """What was asked for under a metric's name."""

    entries: Sequence[str]
    by_name: bool = False  # it was named, so it runs even if it runs on request only
    one_judge: bool = False  # this judge and no other


def _wanted(names: Sequence[str], groups: Mapping[str, Sequence[str]]) -> dict[str, _Wish]:
    if not names:
        return {name: _Wish(entries) for name, entries in groups.items()}
    wanted: dict[str, _Wish] = {}
    for name in dict.fromkeys(names):
        group = name.split(".")[0]
        if name not in groups and name not in groups.get(group, ()):
            raise EvalkitError(unknown("metric", name, {*groups, *(e for entries in groups.values() for e in entries)}))
        if group in wanted:
            raise EvalkitError(f"The metric '{group}' is asked for twice: name one judge of it.")
        exact = name not in groups
        wanted[group] = _Wish([name] if exact else groups[group], by_name=True, one_judge=exact)
    return wanted


def _settings_by_owner(settings: Sequence[str], groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Metric or entry -> its settings without the owner's name: {"wer": ["model=base.en"]}."""
    owners = sorted([*groups, *(entry for entries in groups.values() for entry in entries)], key=len, reverse=True)
    found: dict[str, list[str]] = {}
    for setting in settings:
        name = setting.partition("=")[0]
        owner = next((owner for owner in owners if name.startswith(f"{owner}.")), None)
        if "." not in name:
            raise EvalkitError(f"--set {setting}: write METRIC.OPTION=VALUE, e.g. energy.frames=all.")
        if owner is None:
            raise EvalkitError(f"--set {setting}: {unknown('metric', name.rpartition('.')[0], groups)}")
        found.setdefault(owner, []).append(setting.removeprefix(f"{owner}."))
    return found


def _choose(
    name: str, wish: _Wish, judges: Judges, device: str, settings_of: Mapping[str, Sequence[str]]
) -> Choice | None:
    """The first judge, in the order that `judges` asks for, that can run here."""
    classes = {entry: METRICS.load(entry) for entry in wish.entries}
    usual = {entry: cls for entry, cls in classes.items() if not cls.spec.on_request or wish.one_judge}
    if not usual and not wish.by_name:
        return None
    candidates = _in_order(name, usual or classes, "auto" if wish.one_judge else judges)
    problems: list[str] = []
    for entry in candidates:
        cls = classes[entry]
        try:
            given = [*settings_of.get(name, ()), *(settings_of.get(entry, ()) if entry != name else ())]
            options = parse_settings(f"the metric '{entry}'", cls.spec.options, given, f"{name}.")
            problem = cls.unavailable(**options) if options else cls.unavailable()
            metric = cls(device=device, **options) if problem is None else None
        except ValueError as error:
            problem, metric = str(error).rstrip("."), None
            if len(candidates) == 1:
                raise EvalkitError(str(error)) from error
        if metric is not None:
            return _choice(name, metric, problems)
        problems.append(str(problem))
    if judges == "standard" and not problems:
        raise EvalkitError(
            f"No standard judge of '{name}' is installed (the field uses {STANDARD[name]}): "
            "run with --judges auto, or leave the metric out with --metrics."
        )
    reason = "; ".join(problems) or f"it has no {judges} judge"
    asked = any(owner == name or owner in classes for owner in settings_of)
    if judges != "auto" or wish.by_name or asked:
        what = f"The metric '{name}'" if judges == "auto" else f"The {judges} judge of '{name}'"
        raise EvalkitError(f"{what} cannot run here as asked: {_sentence(reason)}")
    return Choice(name, None, absent=f"{name}: {reason}")


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."


def _in_order(name: str, classes: Mapping[str, type[Metric]], judges: Judges) -> list[str]:
    # Where the field has no other judge (DNS-MOS, a plugin's own metric), what there is counts as the standard one.
    kinds: list[str] = [judges] if judges != "auto" and name in STANDARD else ["standard", "bundled", "none"]
    return [entry for kind in kinds for entry, cls in classes.items() if cls.spec.judge == kind]


def _choice(name: str, metric: Metric, passed_over: Sequence[str]) -> Choice:
    unreliable = _unreliable(metric)
    notices = [unreliable] if unreliable else []
    if metric.spec.judge == "bundled" and name in STANDARD:
        stand_in = (
            "scored by the bundled judge, a stand-in that works offline; not comparable with figures from "
            f"{STANDARD[name]}."
        )
        problem = next(iter(passed_over), "")
        subject = "The standard judge " if problem.startswith("needs") else ""
        notices = [stand_in, *([_sentence(subject + problem)] if problem else []), *notices]
    return Choice(name, metric, notice=" ".join(notices) or None, unreliable=unreliable)


def _unreliable(metric: Metric) -> str | None:
    """Why the columns of a judge that was, or should have been, calibrated are not to be relied on."""
    accuracy = metric.passport().accuracy
    if not accuracy:
        return None
    if "accuracy" not in accuracy:
        return f"How often this judge is right was not measured ({accuracy['measured']})."
    value = float(accuracy["accuracy"]["value"])
    return None if value >= RELIABLE else f"Unreliable: this judge is right on {value:.0%} of its calibration clips."
