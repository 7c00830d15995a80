"""Everything about a sweep that is decided, and refused, before the first point is spoken."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evalkit.checkpoints import fingerprint, recognise
from evalkit.decisions.summary import CORPUS
from evalkit.decisions.sweep.axes import Axis, parse_axes
from evalkit.decisions.sweep.binding import bind, check_settings
from evalkit.decisions.sweep.making import Maker
from evalkit.decisions.sweep.points import Point, corners, default_point, grid
from evalkit.decisions.sweep.subject import Subject, read_subject
from evalkit.engines import EngineSpec
from evalkit.errors import EvalkitError, some
from evalkit.files import digest, sha256_file
from evalkit.pipeline.engine_setup import known_layouts, named_engine, pick_device, reader_of
from evalkit.pipeline.job import Options
from evalkit.pipeline.judges import choose, columns_of
from evalkit.pipeline.plan import select_items
from evalkit.pipeline.speaking import Speaking
from evalkit.registry import ENGINES, unknown
from evalkit.suites import Suite, load_suite
from evalkit.suites.splitting import Split, split_items
from metrics import Column
from reports.columns import main_columns

if TYPE_CHECKING:
    from evalkit.decisions.gate.schema import Rules

Search = Literal["grid", "tpe", "nsga2"]


@dataclass(frozen=True)
class Wanted:
    """A sweep as it is asked for.

    axes: each "AXIS=SPEC". speaking.base: of an adapter. options.out: the folder that `sweeps/` goes into. primary:
    the column that the choice is made by; objectives: others that are shown, and sought by nsga2; by default the main
    ones. split: share of the items to choose on; None chooses on all of them. rules: only points that pass them are
    chosen. parents: measure the recipe's models alone too. min_coverage: share of utterances that a point must have.
    """

    subject: Path
    axes: tuple[str, ...]
    speaking: Speaking = field(default_factory=Speaking)
    options: Options = field(default_factory=Options)
    search: Search = "grid"
    trials: int = 30
    primary: str | None = None
    objectives: tuple[str, ...] = ()
    split: float | None = 0.5
    rules: Path | None = None
    parents: bool = False
    min_coverage: float = 1.0


@dataclass(frozen=True)
class Prepared:
    """points: of a grid, in order; empty for a search. columns: objective -> what it is, the primary one first.

    named: whether the user named the objectives: one of them without a value is an error then. rules: as they hold for
    the items that points are chosen on; notice: which of them say nothing there.
    """

    wanted: Wanted
    subject: Subject
    axes: tuple[Axis, ...]
    default: Point
    points: tuple[Point, ...]
    maker: Maker
    spec: EngineSpec
    suite: Suite
    parts: Split
    columns: Mapping[str, Column]
    named: bool
    rules: Rules | None
    notice: str | None
    identity: str

    @property
    def primary(self) -> str:
        return next(iter(self.columns))

    @property
    def folder(self) -> Path:
        return self.wanted.options.out / "sweeps" / f"{self.subject.name}-{self.identity[:8]}"

    @property
    def runs(self) -> Path:
        """Shared by all sweeps: a point that two of them have is spoken once."""
        return self.wanted.options.out / "sweeps" / "runs"


def prepare(wanted: Wanted) -> Prepared:
    """Raises EvalkitError, one sentence, on everything that can be known to fail."""
    searching = wanted.search != "grid"
    if searching and find_spec("optuna") is None:
        raise EvalkitError(f"--search {wanted.search} needs optuna: pip install 'evalkit[sweep]'.")
    if searching and wanted.trials < 1:
        raise EvalkitError(f"--trials {wanted.trials}: at least 1.")
    subject = read_subject(wanted.subject, wanted.speaking.base)
    specs = parse_axes(wanted.axes, searching)
    axes = bind(subject, specs, wanted.speaking.settings, wanted.speaking.voice.reference)
    maker = Maker(subject, wanted.speaking, wanted.options.reference)
    if subject.content is not None:
        maker.check([default_point(axes)])
    spec = _engine(maker, wanted.speaking.engine)
    axes = check_settings(axes, spec, wanted.speaking.settings)
    points = () if searching else tuple(grid(axes))
    default = default_point(axes)
    maker.from_file = spec.weights == "file"
    if subject.content is not None:
        files = maker.check([default, *(points or corners(axes))])
        for axis in axes:
            maker.check_effect(axis, default)
        weights: Any = sorted({(path.name, sha256_file(path)) for path in files})
    else:
        weights = sha256_file(subject.path) if maker.from_file else fingerprint(maker.tensors())
    suite, parts = _items(wanted)
    computed, columns, named = _objectives(wanted, suite, parts)
    rules, notice = _rules(wanted.rules, computed, suite, parts)
    options, speaking = wanted.options, wanted.speaking
    identity = {
        "subject": repr(subject.content) if subject.content is not None else subject.name,
        "weights": weights,
        "axes": {name: one.text for name, one in specs.items()},
        "search": wanted.search,
        "speaking": [speaking.engine, speaking.settings, speaking.voice.reference, speaking.voice.text],
        "spoken": [speaking.repeats, speaking.seed, str(speaking.phonemes_from), speaking.latency],
        "suite": [suite.sha256, parts.dev, parts.test],
        "judged": [str(options.reference), options.judges, options.metrics, options.settings, options.forced],
        "chosen": [list(columns), named, wanted.min_coverage],
        "rules": sha256_file(wanted.rules) if wanted.rules is not None else None,
    }
    return Prepared(
        wanted,
        subject,
        axes,
        default,
        points,
        maker,
        spec,
        suite,
        parts,
        columns,
        named,
        rules,
        notice,
        digest(identity),
    )


def _engine(maker: Maker, named: str | None) -> EngineSpec:
    name = named_engine(named)[0]
    subject = maker.subject
    if name is None and subject.content is None:
        name = reader_of(subject.path)
    if name is None:
        name = recognise(maker.keys(), known_layouts())
    spec: EngineSpec = ENGINES.load(name).spec
    if spec.weights == "none":
        raise EvalkitError(f"The engine '{name}' loads no checkpoint, so {subject.path} cannot be swept with it.")
    if spec.weights == "file" and subject.content is not None:
        raise EvalkitError(f"The engine '{name}' reads its files itself, so a recipe cannot be swept with it.")
    return spec


def _items(wanted: Wanted) -> tuple[Suite, Split]:
    suite = load_suite(wanted.speaking.suite)
    items = select_items(suite.items, wanted.speaking.items, wanted.options.limit)
    if wanted.split is None:
        everything = tuple(item.id for item in items)
        return suite, Split(everything, everything)
    return suite, split_items(items, wanted.split)


def _rules(path: Path | None, computed: Collection[str], suite: Suite, parts: Split) -> tuple[Rules | None, str | None]:
    """The rules as they hold on dev, where points are judged, and which of them say nothing there.

    An item rule may name any item of the suite, as nobody can know which half an item falls into. Raises EvalkitError
    for rules that no point could be judged by.
    """
    if path is None:
        return None, None
    from evalkit.decisions.gate.fitting import check_rules, on_items
    from evalkit.decisions.gate.rules import read_rules

    rules = read_rules(path)
    dev = [item for item in suite.items if item.id in set(parts.dev)]
    check_rules(rules, computed, dev, suite.items)
    held = on_items(rules, dev)
    left = {rule.title for rule in held.item}
    silent = [rule.title for rule in rules.item if rule.title not in left]
    if not silent:
        return held, None
    return held, f"None of the items that points are chosen on is named in {some(silent)}: not judged."


def _objectives(wanted: Wanted, suite: Suite, parts: Split) -> tuple[list[str], dict[str, Column], bool]:
    """What is computed; the primary column and the others. Raises EvalkitError for one that no chosen metric has."""
    options = wanted.options
    device = pick_device(options.device)
    choices = choose(options.metrics, options.judges, device, options.settings, options.forced)
    columns = columns_of(choices)
    computed = list(columns)
    for name, corpus in CORPUS.items():
        if name in columns:
            columns[f"{name}_corpus"] = replace(columns[name], name=f"{name}_corpus", description=corpus.description)
    directed = {name: column for name, column in columns.items() if column.better != "neither"}
    owner = {c.name: choice.name for choice in choices if choice.metric for c in choice.metric.spec.columns}
    for name in (*([wanted.primary] if wanted.primary else ()), *wanted.objectives):
        if name not in columns:
            raise EvalkitError(f"{unknown('column', name, columns)} Columns come from --metrics.")
        if name not in directed:
            raise EvalkitError(f"The column '{name}' has no better end, so nothing can be chosen by it; name another.")
    if not directed:
        raise EvalkitError(
            "None of these metrics has a better end, so nothing can be chosen; name others in --metrics."
        )
    plain = {name: column for name, column in directed.items() if name in owner}
    main = main_columns({"columns": {n: {"better": c.better, "metric": owner[n]} for n, c in plain.items()}})
    primary = wanted.primary or _usual(directed, main, suite, parts)
    others = wanted.objectives or tuple(main)
    chosen = {name: directed[name] for name in dict.fromkeys((primary, *others))}
    return computed, chosen, bool(wanted.objectives)


def _usual(directed: Mapping[str, Column], main: Sequence[str], suite: Suite, parts: Split) -> str:
    """Names said right where the suite has names, else how it sounds."""
    used = {*parts.dev, *parts.test}
    names = any(item.entities for item in suite.items if item.id in used)
    usual = ("pronunciation_accuracy", "dnsmos_ovrl") if names else ("dnsmos_ovrl",)
    return next((name for name in usual if name in directed), main[0])
