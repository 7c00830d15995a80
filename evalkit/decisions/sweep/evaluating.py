"""Points measured: each is a run of its own, found again after an interruption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.decisions.differences import Paired, paired, paired_ratio
from evalkit.decisions.scores import Meaning, Scores, open_scores
from evalkit.decisions.statistics import mean_interval, ratio_interval
from evalkit.decisions.summary import coverage
from evalkit.decisions.sweep.making import Maker
from evalkit.decisions.sweep.points import Point
from evalkit.engines import EngineSpec
from evalkit.errors import EvalkitError
from evalkit.files import write_json
from evalkit.pipeline.engine_setup import EngineKeeper
from evalkit.pipeline.job import Options
from evalkit.pipeline.run import run_checkpoint, run_stages
from evalkit.pipeline.weights import Made
from evalkit.runs.folder import RunFolder, read_json

Report = Callable[[int, float], bool]  # stage, value so far -> whether to stop here


@dataclass(frozen=True)
class Measured:
    """status: "ok", "pruned" or "failed", and why; scores: None where nothing was spoken."""

    point: Point
    status: str
    why: str = ""
    run: Path | None = None
    scores: Scores | None = None


class Records:
    """What was measured, by part and point, in one file of the sweep's folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Any] = read_json(path) if path.is_file() else {}

    def find(self, part: str, key: str) -> Mapping[str, Any] | None:
        found = self._known.get(f"{part}/{key}")
        return found if isinstance(found, dict) else None

    def keep(self, part: str, key: str, record: Mapping[str, Any]) -> None:
        self._known[f"{part}/{key}"] = dict(record)
        write_json(self._path, self._known)


class Evaluator:
    """Runs points. options: of every run, with the folder that they go into."""

    def __init__(
        self,
        maker: Maker,
        options: Options,
        records: Records,
        keeper: EngineKeeper,
        spec: EngineSpec | None,
        say: Callable[[str], None],
    ) -> None:
        self._maker, self._options, self._records = maker, options, records
        self._keeper, self._spec, self._say = keeper, spec, say

    def measure(
        self, part: str, point: Point, items: Sequence[str], subject: Callable[[], Made] | None = None
    ) -> Measured:
        """The point's run over these items. subject: makes what speaks for it, if not what the point is made into."""
        known = self._known(part, point)
        if known is not None:
            return known
        try:
            made = subject() if subject else self._maker.made(point)
        except EvalkitError as error:
            return self._failed(part, point, error)
        speaking = self._maker.speaking(point, items, self._spec)
        finished = run_checkpoint(made, speaking, self._options, say=self._say, keeper=self._keeper)
        self._records.keep(part, point.key, {**_entry(point), "status": "ok", "run": finished.folder.path.name})
        return Measured(point, "ok", "", finished.folder.path, open_scores(finished.folder.path))

    def measure_stages(
        self, part: str, point: Point, stages: Sequence[Sequence[str]], column: str, report: Report
    ) -> Measured:
        """The same stage by stage; `report` is told the mean of `column` after each and may end it."""
        known = self._known(part, point)
        if known is not None:
            return known
        try:
            made = self._maker.made(point)
        except EvalkitError as error:
            return self._failed(part, point, error)
        speaking = self._maker.speaking(point, [item for stage in stages for item in stage], self._spec)
        for until in range(1, len(stages) + 1):
            staged = run_stages(made, speaking, self._options, stages, until, say=self._say, keeper=self._keeper)
            if staged.finished is not None:
                break
            scores = _partial(point.name, staged.folder, staged.rows, staged.columns)
            value = mean_of(scores, column)
            if value is not None and report(until, value):
                spoken = sum(map(len, stages[:until]))
                why = f"stopped after {spoken} of {sum(map(len, stages))} items"
                entry = {**_entry(point), "status": "pruned", "why": why, "run": staged.folder.path.name}
                self._records.keep(part, point.key, entry)
                return Measured(point, "pruned", why, staged.folder.path, scores)
        self._records.keep(part, point.key, {**_entry(point), "status": "ok", "run": staged.folder.path.name})
        return Measured(point, "ok", "", staged.folder.path, open_scores(staged.folder.path))

    def _known(self, part: str, point: Point) -> Measured | None:
        """From an earlier start; None if that left nothing, or its run is gone."""
        record = self._records.find(part, point.key)
        if record is None:
            return None
        if record["status"] == "failed":
            return Measured(point, "failed", record["why"])
        folder = RunFolder(self._options.out / record["run"])
        if record["status"] == "ok" and folder.summary_path.is_file():
            return Measured(point, "ok", "", folder.path, open_scores(folder.path))
        if record["status"] == "pruned" and folder.log_path.is_file():
            from evalkit.runs.log import UtteranceLog

            scores = _partial(point.name, folder, UtteranceLog(folder.log_path).rows, None)
            return Measured(point, "pruned", record["why"], folder.path, scores)
        return None

    def _failed(self, part: str, point: Point, error: EvalkitError) -> Measured:
        self._records.keep(part, point.key, {**_entry(point), "status": "failed", "why": str(error)})
        return Measured(point, "failed", str(error))


def figure(scores: Scores, column: str) -> dict[str, Any] | None:
    """Mean and 95 % interval over items, and their number; of a corpus figure its ratio. None without a value."""
    if column.endswith("_corpus"):
        counts = scores.counts(column)
        ratio = ratio_interval(counts) if counts else None
        return None if ratio is None else {"mean": ratio.value, "ci95": ratio.ci95, "n": len(counts)}
    items = {item: float(np.mean(values)) for item, values in scores.values(column).items()}
    if not items:
        return None
    mean = mean_interval(items)
    return {"mean": mean.mean, "ci95": mean.ci95, "n": mean.items}


def mean_of(scores: Scores, column: str) -> float | None:
    """The mean of `figure` alone, which costs no bootstrap."""
    if column.endswith("_corpus"):
        counts = scores.counts(column).values()
        units = sum(of for _, of in counts)
        return sum(errors for errors, _ in counts) / units if units else None
    values = scores.values(column).values()
    return float(np.mean([np.mean(repeats) for repeats in values])) if values else None


def difference(ours: Scores, theirs: Scores, column: str) -> Paired | None:
    """Paired by item, ours minus theirs."""
    if column.endswith("_corpus"):
        return paired_ratio(ours.counts(column), theirs.counts(column), ours.speakers())
    return paired(ours.values(column), theirs.values(column), ours.speakers())


def _entry(point: Point) -> dict[str, Any]:
    return {"point": point.content()}


def _partial(name: str, folder: RunFolder, rows: Sequence[Any], columns: Mapping[str, Any] | None) -> Scores:
    if columns is None:
        from evalkit.decisions.scores import known_columns

        columns = known_columns()
    meanings = {n: Meaning(c.unit, c.better, getattr(c, "metric", ""), c.description) for n, c in columns.items()}
    return Scores(name, folder.path.name, list(rows), meanings, coverage(rows, len(rows)), None, folder.path)
