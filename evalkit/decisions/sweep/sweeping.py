"""The sweep itself: measure points on dev, choose, measure the choice on test, write what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalkit.decisions.gate.judging import judge
from evalkit.decisions.scores import Scores
from evalkit.decisions.sweep.advice import caution, sampling
from evalkit.decisions.sweep.choosing import Candidate, Choice, choose
from evalkit.decisions.sweep.evaluating import Evaluator, Measured, Records, figure, mean_of
from evalkit.decisions.sweep.points import Point, contains
from evalkit.decisions.sweep.preparing import Prepared, Wanted, prepare
from evalkit.decisions.sweep.searching import Outcome, search
from evalkit.decisions.sweep.winner import Winner, save_winner
from evalkit.errors import EvalkitError
from evalkit.merging.adapted import is_adapter
from evalkit.pipeline.engine_setup import EngineKeeper
from evalkit.pipeline.weights import Made, read_weights
from evalkit.runs.folder import RunFolder
from evalkit.suites.splitting import in_stages

STAGES = (1, 1, 2)  # shares of the dev items after which a search may stop a point
FEWEST = 8  # dev items; with fewer a stage would say nothing

Say = Callable[[str], None]


@dataclass(frozen=True)
class Reference:
    """A model of the recipe alone, for orientation."""

    name: str
    scores: Scores


@dataclass(frozen=True)
class Sampling:
    """Two points that differ in sampling alone, measured on the same items."""

    conservative: Measured
    bold: Measured


@dataclass(frozen=True)
class Done:
    """Everything that was measured. extra: the baseline, where it is no point of the sweep.

    blocked: point -> what the rules say against it. chosen, baseline: on the items that the figure is quoted from.
    """

    prepared: Prepared
    measured: Sequence[Measured]
    extra: Measured | None
    blocked: Mapping[Point, str]
    short: Mapping[Point, float]
    choice: Choice | None
    chosen: Measured | None
    baseline: Measured
    references: Sequence[Reference]
    sampling: Sampling | None
    winner: Winner | None


@dataclass(frozen=True)
class Swept:
    """folder: of the sweep; content: what stands in its sweep.json."""

    folder: Path
    content: Mapping[str, Any]


def sweep(wanted: Wanted, say: Say = lambda sentence: None) -> Swept:
    """Carry out a sweep, or go on with one that was interrupted.

    say: is told how far it is. Raises EvalkitError on bad input before anything is spoken.
    """
    from evalkit.decisions.sweep.result import write_result

    prepared = prepare(wanted)
    prepared.maker.folder = prepared.folder
    with RunFolder(prepared.folder).locked(), EngineKeeper() as keeper:
        options = replace(wanted.options, out=prepared.runs, limit=None, baseline=None)
        records = Records(prepared.folder / "records.json")
        evaluator = Evaluator(prepared.maker, options, records, keeper, prepared.spec, say)
        for point in (prepared.default, *prepared.points):  # cuts clips, and finds those that cannot be cut
            prepared.maker.speaking(point, (), prepared.spec)
        try:
            done = _Sweeper(prepared, evaluator, records, say).carry_out()
        finally:
            prepared.maker.close()
        return Swept(prepared.folder, write_result(done))


class _Sweeper:
    def __init__(self, prepared: Prepared, evaluator: Evaluator, records: Records, say: Say) -> None:
        self._prepared, self._evaluator, self._records, self._say = prepared, evaluator, records, say
        self._measured: dict[Point, Measured] = {}

    def carry_out(self) -> Done:
        prepared = self._prepared
        dev, test = prepared.parts.dev, prepared.parts.test
        self._say(
            f"{prepared.folder}: {len(dev)} items to choose on, {'the same' if dev == test else len(test)} to quote."
        )
        if prepared.notice:
            self._say(prepared.notice)
        baseline = self._evaluator.measure("dev", prepared.default, dev)
        if baseline.scores is None:
            raise EvalkitError(
                f"{prepared.subject.path} itself cannot be measured ({prepared.default.name}). {baseline.why}"
            )
        self._prepared = prepared = replace(prepared, columns=_with_values(prepared, baseline.scores))
        if prepared.rules is not None:  # what cannot be judged on the baseline is said now, not after the last point
            judge(baseline.scores, prepared.rules, baseline.scores)
        points = self._grid() if prepared.points else self._search(baseline)
        extra = None if prepared.default in points else baseline
        measured = [self._measured[point] for point in dict.fromkeys(points)]
        short = {m.point: m.scores.coverage["share"] for m in measured if m.status == "ok" and m.scores}
        short = {point: share for point, share in short.items() if share < prepared.wanted.min_coverage}
        blocked = self._blocked(measured, baseline.scores)
        candidates = [
            Candidate(m.point, m.scores)
            for m in measured
            if m.status == "ok" and m.scores is not None and m.point not in short and m.point not in blocked
        ]
        column = prepared.primary
        choice = choose(candidates, column, prepared.columns[column].better, prepared.default)
        if choice is None:
            return Done(prepared, measured, extra, blocked, short, None, None, baseline, (), None, None)
        winner = save_winner(prepared, choice.chosen.point, self._records)
        quoted, reference = self._quoted(choice, winner, baseline)
        parents = self._parents() if prepared.wanted.parents else []
        pair = self._sampling(candidates)
        return Done(prepared, measured, extra, blocked, short, choice, quoted, reference, parents, pair, winner)

    def _grid(self) -> Sequence[Point]:
        for place, point in enumerate(self._prepared.points, start=1):
            self._tell(place, len(self._prepared.points), self._measure(point))
        return self._prepared.points

    def _search(self, baseline: Measured) -> Sequence[Point]:
        prepared = self._prepared
        how = prepared.wanted.search
        assert how != "grid", "a grid has points"
        columns = dict(prepared.columns) if how == "nsga2" else {prepared.primary: prepared.columns[prepared.primary]}
        stages = in_stages(prepared.parts.dev, STAGES) if len(prepared.parts.dev) >= FEWEST else []
        inside = contains(prepared.axes, prepared.default.by_axis())
        self._measured[prepared.default] = baseline
        count = 0

        def evaluate(point: Point, stop: Callable[[int, float], bool]) -> Outcome:
            nonlocal count
            count += 1
            staged = how == "tpe" and len(stages) > 1
            found = self._measure(point, stages if staged else (), stop)
            self._tell(count, prepared.wanted.trials, found)
            values = [mean_of(found.scores, column) if found.scores else None for column in columns]
            known = tuple(value for value in values if value is not None)
            if found.status == "pruned":
                return Outcome("pruned")
            return Outcome("ok", known) if len(known) == len(values) else Outcome("failed")

        points = search(
            prepared.folder / "journal.jsonl",
            prepared.axes,
            how,
            prepared.wanted.trials,
            prepared.wanted.speaking.seed,
            [column.better for column in columns.values()],
            prepared.default if inside else None,
            evaluate,
        )
        for point in points:  # of an earlier start: in the records
            if point not in self._measured:
                self._measure(point)
        return points

    def _measure(
        self,
        point: Point,
        stages: Sequence[Sequence[str]] = (),
        stop: Callable[[int, float], bool] = lambda stage, value: False,
    ) -> Measured:
        if stages:
            found = self._evaluator.measure_stages("dev", point, stages, self._prepared.primary, stop)
        else:
            found = self._evaluator.measure("dev", point, self._prepared.parts.dev)
        self._measured[point] = found
        return found

    def _tell(self, place: int, of: int, found: Measured) -> None:
        column = self._prepared.primary
        value = mean_of(found.scores, column) if found.scores else None
        said = found.why if value is None else f"{column} {value:.3f}" + (f", {found.why}" if found.why else "")
        self._say(f"{place} of {of}: {found.point.name}: {said}")

    def _blocked(self, measured: Sequence[Measured], baseline: Scores) -> dict[Point, str]:
        """What the rules say against points; one that they cannot judge is none to choose."""
        if self._prepared.rules is None:
            return {}
        found = {}
        for one in measured:
            if one.status == "ok" and one.scores is not None:
                try:
                    verdict = judge(one.scores, self._prepared.rules, baseline)
                except EvalkitError as error:
                    found[one.point] = str(error)
                    continue
                if verdict["verdict"] != "pass":
                    found[one.point] = " ".join(r["says"] for r in verdict["rules"] if r["result"] == "blocked")
        return found

    def _quoted(self, choice: Choice, winner: Winner, baseline: Measured) -> tuple[Measured, Measured]:
        """The chosen point and the baseline on the items that are quoted: of a merge, the file that was saved."""
        prepared, point = self._prepared, choice.chosen.point
        if prepared.wanted.split is None:
            return self._measured[point], baseline
        items = prepared.parts.test
        if winner.file is None:
            chosen = self._evaluator.measure("test", point, items)
        else:
            file = winner.file
            chosen = self._evaluator.measure("winner", point, items, lambda: self._saved(point, file))
        reference = chosen if point == prepared.default else self._evaluator.measure("test", prepared.default, items)
        for one in (chosen, reference):
            if one.scores is None:
                raise EvalkitError(f"{one.point.name} could not be measured on test. {one.why}")
        return chosen, reference

    def _saved(self, point: Point, file: Path) -> Made:
        made = self._prepared.maker.made(point)
        assert isinstance(made, Made), "a merge is in memory"
        return replace(made, weights=replace(read_weights(file), near=made.weights.near))

    def _parents(self) -> list[Reference]:
        prepared = self._prepared
        if prepared.subject.content is None:
            raise EvalkitError(f"--parents: {prepared.subject.path} is no recipe and has none; leave it out.")
        recipe = prepared.maker.recipe(prepared.default)
        found = []
        for model in recipe.models:
            path, base = model.path, recipe.base if is_adapter(model.path) else None

            def alone(path: Path = path, base: Path | None = base, name: str = model.name) -> Made:
                return Made(name, read_weights(path, base), prepared.subject.path)

            one = self._evaluator.measure(f"parent/{model.name}", prepared.default, prepared.parts.test, alone)
            if one.scores is not None:
                found.append(Reference(model.name, one.scores))
        return found

    def _sampling(self, candidates: Sequence[Candidate]) -> Sampling | None:
        """The best conservative point on dev and the same at the engine's default, on test.

        Where the default is the most conservative already, it and the best bolder one.
        """
        prepared = self._prepared
        usual = sampling(prepared.axes, prepared.default)
        for wanted in ("conservative", "bold") if usual else ():
            those = [c for c in candidates if caution(sampling(prepared.axes, c.point), usual) == wanted]
            column = prepared.primary
            choice = choose(those, column, prepared.columns[column].better, prepared.default)
            if choice is None:
                continue
            other = replace(choice.best.point, values=_at_default(choice.best.point, usual))
            part = "dev" if prepared.wanted.split is None else "test"
            pair = [self._evaluator.measure(part, point, prepared.parts.test) for point in (choice.best.point, other)]
            return Sampling(*(pair if wanted == "conservative" else reversed(pair)))
        return None


def _at_default(point: Point, usual: Mapping[str, Any]) -> tuple[Any, ...]:
    pairs = zip(point.axes, point.values, strict=True)
    return tuple(usual[a.target] if a.kind == "setting" and a.target in usual else value for a, value in pairs)


def _with_values(prepared: Prepared, scores: Scores) -> dict[str, Any]:
    """The objectives that this subject has values in. Raises EvalkitError where one that must be there is not."""
    found = {name: column for name, column in prepared.columns.items() if figure(scores, name) is not None}
    needed = list(prepared.columns) if prepared.named else [prepared.primary]
    for name in needed:
        if name not in found:
            reasons = [row["missing"][name] for row in scores.rows if name in row["missing"]]
            why = f" ({reasons[0].rstrip('.')})" if reasons else ""
            raise EvalkitError(f"The column '{name}' has no value{why}; choose by another with --primary COLUMN.")
    return found
