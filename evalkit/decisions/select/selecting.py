"""`evalkit select` as a function: evaluate, judge, rank, look for divergence, and put it all on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit import __version__
from evalkit.decisions.scores import Meaning, Scores, open_scores
from evalkit.decisions.select.advice import advise
from evalkit.decisions.select.checkpoints import Candidate, Training
from evalkit.decisions.select.divergence import Heard, find_divergence
from evalkit.decisions.select.halving import Course, Halving, halve
from evalkit.decisions.select.measure import Measure
from evalkit.decisions.select.pareto import front
from evalkit.decisions.select.prepare import Ready, Wish, prepare
from evalkit.decisions.select.ranking import Ranking, rank
from evalkit.decisions.summary import coverage
from evalkit.errors import EvalkitError
from evalkit.files import digest, write_atomically, write_json
from evalkit.pipeline.engine_setup import EngineKeeper
from evalkit.pipeline.job import Options
from evalkit.pipeline.run import Announce, Say, run_stages, say_nothing
from evalkit.pipeline.speaking import Speaking
from evalkit.runs.folder import RunFolder

SELECTIONS = "selections"  # folder beside the runs
Watch = Callable[[], AbstractContextManager[Announce]]


@dataclass(frozen=True)
class Selection:
    """result: what select.json holds; folder: of select.json and report.html."""

    result: Mapping[str, Any]
    folder: Path


def select(
    training: Training, speaking: Speaking, options: Options, wish: Wish, watch: Watch, say: Say = say_nothing
) -> Selection:
    """Evaluate the checkpoints of one training and choose among them; every one that stays is an ordinary run.

    watch: makes what shows the progress of one checkpoint. Resumes: what was spoken is not spoken again. Raises
    EvalkitError for input that no checkpoint could be evaluated with, before any is, and if none could be.
    """
    ready = prepare(training, speaking, options, wish)
    folders: dict[str, RunFolder] = {}
    halving = _evaluate(training, speaking, options, wish, ready, watch, say, folders)
    if not any(course.scores for course in halving.courses):
        first = halving.courses[0]
        raise EvalkitError(f"None of the checkpoints could be evaluated; {first.candidate.name}: {first.failed}")
    finished, verdicts = _judge(halving, ready, folders)
    result = describe(training, wish, speaking, ready, halving, finished, verdicts, folders)
    folder = options.out / SELECTIONS / _identity(result)
    write_json(folder / "select.json", result)
    write_atomically(folder / "report.html", render(result, folder, options.out))
    return Selection(result, folder)


def render(result: Mapping[str, Any], near: Path, out: Path) -> str:
    """The page, to lie in the folder `near`; out: of the runs that it links to."""
    import os

    from reports.selection_page import render_selection

    runs = {one["name"]: out / one["run"] / "report.html" for one in result["checkpoints"] if one["run"]}
    links = {n: os.path.relpath(path.resolve(), near.resolve()) for n, path in runs.items() if path.is_file()}
    return render_selection(result, links)


def _evaluate(
    training: Training,
    speaking: Speaking,
    options: Options,
    wish: Wish,
    ready: Ready,
    watch: Watch,
    say: Say,
    folders: dict[str, RunFolder],
) -> Halving:
    said: set[str] = set()

    def say_once(sentence: str) -> None:  # what an engine has to say it says at every start
        if sentence not in said:
            said.add(sentence)
            say(sentence)

    with EngineKeeper() as keeper:

        def speak(candidate: Candidate, until: int) -> Scores:
            with watch() as announce:
                staged = run_stages(candidate.path, speaking, options, ready.stages, until, announce, say_once, keeper)
            folders[candidate.name] = staged.folder
            columns = {
                name: ready.meanings.get(name) or Meaning(column.unit, column.better, "timing", column.description)
                for name, column in staged.columns.items()
            }
            covered = coverage(staged.rows, len(staged.rows))
            return Scores(candidate.name, staged.folder.path.name, staged.rows, columns, covered)

        return halve(
            training.candidates,
            ready.stages,
            speak,
            ready.measure,
            wish.keep,
            wish.min_coverage,
            speaking.repeats,
            say_once,
        )


def _judge(
    halving: Halving, ready: Ready, folders: Mapping[str, RunFolder]
) -> tuple[dict[str, Scores], dict[str, dict[str, Any]]]:
    """The finished checkpoints, and with rules the gate's verdict on each; one that it cannot judge has failed."""
    finished: dict[str, Scores] = {}
    verdicts: dict[str, dict[str, Any]] = {}
    for course in halving.courses:
        if course.state != "finished":
            continue
        name = course.candidate.name
        scores = open_scores(folders[name].path)
        try:
            if ready.rules is not None:
                from evalkit.decisions.gate.judging import judge

                verdicts[name] = judge(scores, ready.rules, ready.baseline)
        except EvalkitError as error:
            course.failed = str(error)
            continue
        finished[name] = scores
    return finished, verdicts


def describe(
    training: Training,
    wish: Wish,
    speaking: Speaking,
    ready: Ready,
    halving: Halving,
    finished: Mapping[str, Scores],
    verdicts: Mapping[str, Mapping[str, Any]],
    folders: Mapping[str, RunFolder],
) -> dict[str, Any]:
    """The result as plain data. finished: scores of the checkpoints that spoke everything."""
    measure = ready.measure
    passing = {n: s for n, s in finished.items() if verdicts.get(n, {}).get("verdict") != "blocked"}
    ranking = rank(passing, measure) if passing else None
    columns = _columns(finished, measure)
    best_of = front(
        {n: [one.mean(s) for one in columns] for n, s in passing.items()},
        [one.better == "higher" for one in columns],
    )
    places = [training.at(one) for one in training.candidates]
    heard = [
        Heard(c.candidate.name, training.at(c.candidate), finished.get(c.candidate.name, c.scores), not c.stop)
        for c in halving.courses
        if c.scores and not c.failed
    ]
    losses = {loss.name: loss.at(places) for loss in ready.losses}
    result: dict[str, Any] = {
        "evalkit": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "suite": {"name": ready.suite.name, "version": ready.suite.version, "sha256": ready.suite.sha256},
        "items": len(ready.items),
        "repeats": speaking.repeats,
        "seed": speaking.seed,
        "unit": training.unit,
        "keep": wish.keep,
        "primary": _meaning(measure),
        "columns": [_meaning(one) for one in columns],
        "stages": [dict(stage) for stage in halving.stages],
        "checkpoints": [
            _checkpoint(course, place, columns, finished, verdicts, ranking, best_of, folders)
            | {"losses": {name: values[number] for name, values in losses.items()}}
            for number, (course, place) in enumerate(zip(halving.courses, places, strict=True))
        ],
        "ranking": list(ranking.order) if ranking else [],
        "best": ranking.best if ranking else None,
        "chosen": ranking.chosen if ranking else None,
        "indistinguishable": list(ranking.alike) if ranking else [],
        "front": best_of,
        "losses": [{"name": x.name, "role": x.role, "points": [list(p) for p in x.points]} for x in ready.losses],
        "divergence": find_divergence(heard, ready.losses, measure),
        "rules": ready.rules.origin if ready.rules is not None else None,
        "baseline": ready.baseline.run if ready.baseline is not None else None,
        "notices": list(ready.notices),
    }
    return {**result, "advice": advise(result)}


def _checkpoint(
    course: Course,
    place: int,
    columns: Sequence[Measure],
    finished: Mapping[str, Scores],
    verdicts: Mapping[str, Mapping[str, Any]],
    ranking: Ranking | None,
    best_of: Sequence[str],
    folders: Mapping[str, RunFolder],
) -> dict[str, Any]:
    name = course.candidate.name
    scores = finished.get(name, course.scores)
    verdict = verdicts.get(name)
    blocked = verdict is not None and verdict["verdict"] == "blocked"
    stop = course.stop
    stopped = stop and {
        "than": stop.than,
        "difference": stop.difference.difference,
        "ci95": list(stop.difference.ci95) if stop.difference.ci95 else None,
        "p": stop.p,
    }
    return {
        "name": name,
        "path": str(course.candidate.path),
        "step": place,
        "state": "blocked" if blocked else course.state,
        "reason": course.failed or (verdict["sentence"] if blocked and verdict else None),
        "run": folders[name].path.name if name in folders else None,
        "items": len({row["item"] for row in scores.rows}) if scores else 0,
        "coverage": coverage(scores.rows, len(scores.rows)) if scores else None,
        "means": {m.column: found for m in columns if scores and (found := m.summary(scores))},
        "stopped": stopped,
        "gate": dict(verdict) if verdict else None,
        "rank": ranking.order.index(name) + 1 if ranking and name in ranking.order else None,
        "to_best": dict(ranking.to_best[name]) if ranking and name in ranking.to_best else None,
        "front": name in best_of,
    }


def _columns(finished: Mapping[str, Scores], measure: Measure) -> list[Measure]:
    """The primary column, then the other main ones with a direction that the finished checkpoints have."""
    from reports.columns import main_columns

    known: dict[str, Meaning] = {}
    for scores in finished.values():
        known |= scores.columns
    if not known:
        return [measure]
    main = main_columns({"columns": {n: {"better": m.better, "metric": m.metric} for n, m in known.items()}})
    chosen = [Measure(n, _better(known[n]), known[n].unit, None, known[n].description) for n in main]
    own = {measure.column, measure.column.removesuffix("_corpus")}
    return [measure, *(one for one in chosen if one.column not in own and one.better != "neither")]


def _better(meaning: Meaning) -> Any:
    return meaning.better


def _meaning(measure: Measure) -> dict[str, Any]:
    return {name: getattr(measure, name) for name in ("column", "better", "unit", "margin", "description")}


def _identity(result: Mapping[str, Any]) -> str:
    """Of the same selection always the same: what was asked of which runs, and nothing of when."""
    asked = {name: result[name] for name in ("suite", "items", "repeats", "seed", "keep", "primary", "losses", "rules")}
    stages = [stage["items"] for stage in result["stages"]]
    of = [(one["name"], one["step"], one["run"] or one["path"]) for one in result["checkpoints"]]
    return digest({**asked, "stages": stages, "checkpoints": of, "baseline": result["baseline"]})[:8]
