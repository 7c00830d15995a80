"""Search by optuna, on disk: killed at any moment, it goes on with the same trials."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evalkit.decisions.sweep.axes import Axis, Value
from evalkit.decisions.sweep.points import Point
from evalkit.errors import EvalkitError
from evalkit.files import disk_errors

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.storages.journal import JournalFileOpenLock
    from optuna.study import Study
    from optuna.trial import Trial

How = Literal["tpe", "nsga2"]


@dataclass(frozen=True)
class Outcome:
    """What became of a trial. values: of the objectives, None unless it is complete."""

    status: Literal["ok", "pruned", "failed"]
    values: tuple[float, ...] = ()


Evaluate = Callable[[Point, Callable[[int, float], bool]], Outcome]


def search(
    path: Path,
    axes: Sequence[Axis],
    how: How,
    trials: int,
    seed: int,
    better: Sequence[str],
    first: Point | None,
    evaluate: Evaluate,
) -> list[Point]:
    """The points of all trials, in their order; of an earlier start too.

    path: of the journal. better: direction of each objective; tpe takes one. first: a point to begin with. evaluate: is
    told a point, and a function that takes (stage, value so far) and says whether to stop; nsga2 never stops a point.

    A trial that a kill left unfinished is carried out under its number with its values. What trial n tries depends on
    the seed, n and the trials before it alone, so a resumed search takes the way of an uninterrupted one.
    """
    with _quiet():
        study = _study(path, how, seed, better)
        if first is not None and not study.trials:
            study.enqueue_trial({axis.name: _known(axis, value) for axis, value in first.by_axis().items()})
        points: list[Point] = []
        for number in range(trials):
            points.append(_carry_out(study, number, axes, how, seed, evaluate))
        return points


def _carry_out(study: Study, number: int, axes: Sequence[Axis], how: How, seed: int, evaluate: Evaluate) -> Point:
    from optuna.trial import Trial, TrialState

    done = [trial for trial in study.trials if trial.number == number and trial.state.is_finished()]
    if done:
        return Point(tuple(_of(axis, done[0].params[axis.name]) for axis in axes), tuple(axes))
    # Left by a kill: RUNNING, or with a state that says it has yet to begin.
    study.sampler = _sampler(how, f"{seed}/{number}")
    left = [trial for trial in study.trials if trial.number == number and trial.state == TrialState.RUNNING]
    trial = Trial(study, left[0]._trial_id) if left else study.ask()
    if trial.number != number:
        raise EvalkitError(f"The sweep's journal does not go on at trial {number}: remove its folder and start anew.")
    _ = trial.relative_params  # drawn now: else by whichever axis is the first that a kill left without a value
    values = []
    for axis in axes:
        study.sampler = _sampler(how, f"{seed}/{number}/{axis.name}")  # whatever was drawn for the axes before it
        values.append(_suggest(trial, axis))
    point = Point(tuple(values), tuple(axes))

    def stop(stage: int, value: float) -> bool:
        if how != "tpe":
            return False
        trial.report(value, stage)
        return bool(trial.should_prune())

    outcome = evaluate(point, stop)
    if outcome.status == "ok":
        study.tell(trial, list(outcome.values))
    else:
        study.tell(trial, state=TrialState.PRUNED if outcome.status == "pruned" else TrialState.FAIL)
    return point


def _study(path: Path, how: How, seed: int, better: Sequence[str]) -> Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _mend(path)
        # The sweep's folder is held by one process, and a lock file would outlive a kill.
        storage = JournalStorage(JournalFileBackend(str(path), lock_obj=_no_lock(path)))
    return optuna.create_study(
        storage=storage,
        study_name="sweep",
        load_if_exists=True,
        sampler=_sampler(how, str(seed)),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4) if how == "tpe" else optuna.pruners.NopPruner(),
        directions=["maximize" if sense == "higher" else "minimize" for sense in better],
    )


def _mend(path: Path) -> None:
    """Cut off a line that a kill left half written, which would spoil the next one."""
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    while whole and not _is_json(whole[whole.rfind(b"\n", 0, -1) + 1 :]):
        whole = whole[: whole.rfind(b"\n", 0, -1) + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _no_lock(path: Path) -> JournalFileOpenLock:
    from optuna.storages.journal import JournalFileOpenLock

    class NoLock(JournalFileOpenLock):
        def acquire(self) -> bool:
            return True

        def release(self) -> None:
            pass

    return NoLock(str(path))


def _sampler(how: How, name: str) -> BaseSampler:
    """A fresh one per trial and axis: the state of a sampler's random numbers does not outlive its process."""
    import optuna

    own = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    if how == "tpe":
        return optuna.samplers.TPESampler(seed=own, n_startup_trials=6)
    return optuna.samplers.NSGAIISampler(seed=own, population_size=12)


def _suggest(trial: Trial, axis: Axis) -> Value:
    if axis.values is not None:
        return _of(axis, trial.suggest_categorical(axis.name, axis.values))
    if axis.whole:
        return trial.suggest_int(axis.name, int(axis.low), int(axis.high), step=int(axis.step or 1))
    return trial.suggest_float(axis.name, axis.low, axis.high, step=axis.step)


def _of(axis: Axis, value: Any) -> Value:
    """The axis' own value: 1 and 1.0 and true are one to JSON's readers."""
    if axis.values is not None:
        return next((v for v in axis.values if v == value and type(v) is type(value)), value)
    return axis.number(value)


def _known(axis: Axis, value: Value) -> Value:
    return next((v for v in axis.values if v == value), value) if axis.values is not None else value


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna speaks of every trial, and warns of interfaces that may change."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
