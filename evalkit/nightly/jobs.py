"""Which runs a night has: every model on every suite that it is to be tried on, with every engine."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import EvalkitError
from evalkit.files import digest
from evalkit.nightly.config import faults_in
from evalkit.nightly.schema import File, ModelEntry, SuiteEntry
from evalkit.registry import ENGINES, SUITES, unknown

if TYPE_CHECKING:
    from evalkit.decisions.gate.schema import Rules
    from evalkit.pipeline.job import Options
    from evalkit.pipeline.speaking import Speaking
    from evalkit.suites import Item


@dataclass(frozen=True)
class Job:
    """A model on a suite with an engine.

    label: what the model is called on pages and in `evalkit baseline accept --label`; the engine's name is part of it
    where the model has several. engine: None tells it from the weights. rules: None where the suite has none. problem:
    why it cannot run tonight, which is known before.
    """

    label: str
    suite: str
    model: ModelEntry
    entry: SuiteEntry
    engine: str | None
    rules: Rules | None
    problem: str | None = None

    @property
    def key(self) -> str:
        """Tells the same job on other nights; names files."""
        return job_key(self.label, self.suite)

    def speaking(self, file: File) -> Speaking:
        from evalkit.pipeline.speaking import Speaking
        from evalkit.pipeline.voices import VoiceChoice

        return Speaking(
            suite=suite_place(self.entry),
            engine=self.engine,
            settings=tuple(f"{name}={_written(value)}" for name, value in self.model.settings.items()),
            base=self.model.base,
            voice=VoiceChoice(self.model.voice, self.model.voice_text),
            items=tuple(self.entry.items),
            repeats=self.entry.repeats,
            seed=self.entry.seed,
            utterance_s=file.run.time_limit,
        )

    def options(self, file: File, runs: Path) -> Options:
        from evalkit.pipeline.job import Options

        return Options(
            out=runs,
            reference=self.model.reference,
            judges=file.run.judges,
            metrics=tuple(file.run.metrics),
            device=file.run.device,
            limit=self.entry.limit,
            settings=tuple(file.run.settings),
            resampler=file.run.resampler,
            cache=file.run.cache,
        )


@dataclass(frozen=True)
class _Suite:
    """A suite of the file. rules: None where it has none; items: that are spoken."""

    name: str
    entry: SuiteEntry
    rules: Rules | None
    items: Sequence[Item]


def job_key(label: str, suite: str) -> str:
    names = (re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "x" for name in (label, suite))
    return f"{'-'.join(names)}-{digest([label, suite])[:6]}"


def plan(path: Path, file: File, known: Collection[str] = ()) -> list[Job]:
    """Every job, once everything that can be checked without speaking is.

    known: keys of jobs that an earlier night carried out. Weights that such a job misses are tonight's trouble, and no
    fault of the file: the job fails and the others run. Raises EvalkitError with a sentence per fault.
    """
    faults: list[str] = []
    suites = _suites(file, faults)
    jobs = [job for model in file.model for job in _of_model(model, suites, faults, known)]
    faults += _run_faults(file, suites)
    if faults:
        raise faults_in(path, faults)
    return jobs


def _of_model(
    model: ModelEntry,
    suites: Sequence[_Suite],
    faults: list[str],
    known: Collection[str],
) -> list[Job]:
    """The jobs of a model; what is wrong with it is added to the faults."""
    chosen = _chosen(model, [suite.name for suite in suites], faults)
    missing = _missing(model)
    problems = [*(_engine_problem(model, engine) for engine in model.engines), *_settings_problems(model)]
    jobs = [
        Job(_label(model, engine), suite.name, model, suite.entry, engine, suite.rules, missing)
        for engine in model.engines
        for suite in suites
        if suite.name in chosen
    ]
    if missing and not any(job.key in known for job in jobs):
        problems.append(missing)
    faults.extend(f"[[model]] '{model.name}': {problem}" for problem in problems if problem)
    return jobs


def _label(model: ModelEntry, engine: str | None) -> str:
    return f"{model.name} ({engine})" if len(model.engines) > 1 else model.name


def suite_place(entry: SuiteEntry) -> str:
    """As `load_suite` takes it."""
    return str(entry.path.absolute()) if entry.path is not None else str(entry.name)


def _suites(file: File, faults: list[str]) -> list[_Suite]:
    """The suites that can be spoken; what is wrong with the others is added to the faults."""
    from evalkit.pipeline.plan import select_items
    from evalkit.suites import load_suite

    found: list[_Suite] = []
    for entry in file.suite:
        shown = entry.name or entry.path
        try:
            if entry.name is not None and entry.name not in SUITES.names():
                raise EvalkitError(f"{unknown('suite', entry.name, SUITES.names())} A suite of files has a path.")
            suite = load_suite(suite_place(entry))
            items = select_items(suite.items, entry.items, entry.limit)
            rules = _rules(entry, suite.name)
        except EvalkitError as error:
            faults.append(f"[[suite]] '{shown}': {error}")
            continue
        if suite.name in [one.name for one in found]:
            faults.append(f"[[suite]] '{shown}': the suite '{suite.name}' is listed twice; keep one of the two.")
            continue
        found.append(_Suite(suite.name, entry, rules, items))
    return found


def _rules(entry: SuiteEntry, suite: str) -> Rules | None:
    from evalkit.decisions.gate.rules import STARTER, read_rules, starter_rules

    if entry.rules is not None:
        return read_rules(entry.rules)
    if entry.path is not None:
        beside = entry.path / STARTER
        return read_rules(beside) if beside.is_file() else None
    try:
        return starter_rules(suite)
    except EvalkitError:
        return None  # the suite has no rules of its own; the report says so


def _chosen(model: ModelEntry, suites: list[str], faults: list[str]) -> list[str]:
    if model.suites is None:
        return suites
    wrong = [name for name in model.suites if name not in suites]
    faults.extend(f"[[model]] '{model.name}': {unknown('suite', name, suites)}" for name in wrong)
    return model.suites


def _missing(model: ModelEntry) -> str | None:
    for what, path in (("checkpoint", model.path), ("base", model.base), ("reference", model.reference)):
        if path is not None and not path.exists():
            return f"the {what} {path} does not exist; check the path."
    if model.baseline is not None and not (model.baseline / "summary.json").is_file():
        return f"the baseline {model.baseline} is no finished run."
    return None


def _settings_problems(model: ModelEntry) -> list[str]:
    return [
        f"the setting '{name}' belongs to a metric; put it into [run] settings."
        for name in model.settings
        if "." in name
    ]


def _engine_problem(model: ModelEntry, engine: str | None) -> str | None:
    """What is wrong with how an engine is named; whether it is installed shows when its job starts."""
    from evalkit.pipeline.engine_setup import named_engine

    try:
        name, _ = named_engine(engine)
        if name is None:
            return None
        spec = ENGINES.load(name).spec
    except EvalkitError as error:
        return str(error)
    if spec.weights == "none" and model.path is not None:
        return f"the engine '{name}' takes no checkpoint: leave the path out."
    if spec.weights != "none" and model.path is None:
        return f"the engine '{name}' needs a checkpoint: give its path."
    return None


def _run_faults(file: File, suites: Sequence[_Suite]) -> list[str]:
    """What is wrong with [run], and which rules cannot be judged on what it measures."""
    from evalkit.decisions.gate.fitting import rule_faults
    from evalkit.pipeline.engine_setup import pick_device
    from evalkit.pipeline.judges import choose, columns_of

    try:
        device = pick_device(file.run.device)
        columns = set(columns_of(choose(file.run.metrics, file.run.judges, device, file.run.settings)))
    except EvalkitError as error:
        return [f"[run]: {error}"]
    return [
        f"[[suite]] '{suite.name}': {fault}"
        for suite in suites
        if suite.rules is not None
        for fault in rule_faults(suite.rules, columns, suite.items)
    ]


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
