"""The losses that a training logged: CSV, JSON lines, a Hugging Face trainer's state, or TensorBoard event files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evalkit.decisions.csv_table import read_csv
from evalkit.decisions.select.checkpoints import Unit
from evalkit.errors import EvalkitError, some
from evalkit.registry import unknown

Role = Literal["training", "validation", "other"]
Point = tuple[float, float]  # step or epoch, loss

WINDOW = 5  # logged values at a checkpoint, averaged: one batch's loss is noise
STEPS = ("step", "steps", "global_step", "iteration", "iter", "update", "_step", "train/global_step")
EPOCHS = ("epoch", "epochs", "train/epoch")
_SAYS = ("nll", "ce", "perplexity", "ppl")  # words that say it is a loss, beside "loss" and "cross_entropy" anywhere
_VALIDATION = ("held_out", "heldout", "eval", "val", "valid", "validation", "dev", "test")
_WHOLE = ("loss", "total", "total_loss", "loss_total")  # of a name, with what says training or validation taken off
_NO_LOSS = (
    "accuracy",
    "acc",
    "runtime",
    "per_second",
    "learning_rate",
    "lr",
    "grad_norm",
    "flos",
    "mcd",
    "wer",
    "scale",
    "weight",
)


@dataclass(frozen=True)
class Loss:
    """One curve. points: in order of x; of a step that was logged twice (a resumed training) the last counts."""

    name: str
    role: Role
    points: tuple[Point, ...]

    def at(self, places: Sequence[int]) -> list[float | None]:
        """The loss at each checkpoint: the mean of the last values logged up to it, and after the one before.

        None where nothing was logged there.
        """
        found: list[float | None] = []
        start = -math.inf
        for place in places:
            near = [value for x, value in self.points if start < x <= place][-WINDOW:]
            found.append(sum(near) / len(near) if near else None)
            start = place
        return found


@dataclass(frozen=True)
class Log:
    """What a file of losses holds. curves: by name, per axis that was logged ("step", "epoch")."""

    path: Path
    curves: Mapping[str, Mapping[str, tuple[Point, ...]]]
    skipped: int = 0  # values that are no finite number


def read_log(path: Path) -> Log:
    """A .csv, a .jsonl, a trainer_state.json, or a folder of TensorBoard events. Raises EvalkitError for anything else.

    Records are flattened: {"train": {"loss": 1}} is "train/loss".
    """
    if path.is_dir() or ".tfevents." in path.name:
        from evalkit.decisions.select.tensorboard_log import read_events

        records: Iterable[Mapping[str, Any]] = read_events(path)
    elif not path.is_file():
        raise EvalkitError(f"The losses {path} do not exist: give a .csv, a .jsonl or a folder of TensorBoard events.")
    elif path.suffix.lower() == ".csv":
        records = _csv_records(path)
    elif path.suffix.lower() in (".jsonl", ".ndjson", ".json"):
        records = _json_records(path)
    else:
        raise EvalkitError(f"{path}: losses are read from .csv, .jsonl, trainer_state.json or TensorBoard events.")
    return _collected(path, records)


def choose_losses(log: Log, unit: Unit, names: Sequence[str]) -> tuple[list[Loss], str | None]:
    """The curves that were asked for by name; else the training loss, and a validation loss if there is one.

    Only what is called a loss is taken unasked: by a word ("loss", "cross_entropy", "ce", "nll", "perplexity", "ppl"),
    or as "total" beside what says training or validation. unit: of the checkpoints' steps. Returns what is worth saying
    of the choice as well. Raises EvalkitError for a name that is not there, a log without that unit, and checkpoints
    without steps.
    """
    if unit == "place":
        raise EvalkitError(
            f"{log.path}: losses are matched by steps, and the checkpoints' names do not say all of theirs; "
            "name them like step-00050 or checkpoint-1000."
        )
    curves = {name: axes[unit] for name, axes in log.curves.items() if unit in axes}
    if not curves:
        raise EvalkitError(f"{log.path} holds no losses by {unit}: it takes a column '{unit}' and one with 'loss'.")
    for name in names:
        if name not in curves:
            raise EvalkitError(f"--loss: {unknown('loss', name, curves)}")
    if names:
        return [Loss(name, _role(name), curves[name]) for name in dict.fromkeys(names)], None
    candidates = [name for name in curves if _is_loss(name)]
    if not candidates:
        raise EvalkitError(f"{log.path} has no column that is called a loss ({some(list(curves))}): name it, --loss.")
    training = _first([name for name in candidates if _role(name) == "training"])
    validation = _first([name for name in candidates if _role(name) == "validation"])
    chosen = [name for name in (training, validation) if name]
    others = [name for name in candidates if _role(name) == "validation" and name not in chosen]
    notice = None
    if validation and others and _rest(validation) not in _WHOLE:
        notice = f"No column of {log.path.name} is the whole validation loss: {validation} stands for it (--loss)."
    return [Loss(name, _role(name), curves[name]) for name in chosen], notice


def _collected(path: Path, records: Iterable[Mapping[str, Any]]) -> Log:
    curves: dict[str, dict[str, dict[float, float]]] = {}
    skipped = 0
    for record in records:
        places = {unit: _first_number(record, keys) for unit, keys in (("step", STEPS), ("epoch", EPOCHS))}
        for name, value in record.items():
            if name in (*STEPS, *EPOCHS) or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if not math.isfinite(value):
                skipped += 1
                continue
            for unit, place in places.items():
                if place is not None:
                    curves.setdefault(name, {}).setdefault(unit, {})[place] = float(value)
    if not curves:
        raise EvalkitError(f"{path} holds no losses: it takes a column 'step' or 'epoch', and one with 'loss'.")
    ordered = {
        name: {unit: tuple(sorted(points.items())) for unit, points in axes.items()} for name, axes in curves.items()
    }
    return Log(path, ordered, skipped)


def _csv_records(path: Path) -> Iterator[Mapping[str, Any]]:
    for number, line in read_csv(path)[1]:
        yield {name: _cell(path, number, name, text) for name, text in line.items()}


def _cell(path: Path, number: int, name: str, text: str | None) -> float | None:
    """A number, or None for an empty cell and for words, which are no loss; not for words in place of a step."""
    if text is None or not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        if name in (*STEPS, *EPOCHS):
            raise EvalkitError(f"{path} line {number}: '{text}' in the column '{name}' is no number.") from None
        return None


def _json_records(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EvalkitError(f"The losses {path} cannot be read ({error}).") from error
    for record in _whole_json(path, text) if path.suffix.lower() == ".json" else _json_lines(path, text):
        yield dict(_flat(record))


def _whole_json(path: Path, text: str) -> list[Mapping[str, Any]]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise EvalkitError(f"{path} is no JSON ({error}).") from error
    history = content.get("log_history") if isinstance(content, dict) else content
    if not isinstance(history, list) or not all(isinstance(record, dict) for record in history):
        raise EvalkitError(f"{path} is no trainer_state.json: it has no list 'log_history' of records.")
    return history


def _json_lines(path: Path, text: str) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise EvalkitError(f"{path} line {number} is no JSON ({error}).") from error
        if not isinstance(record, dict):
            raise EvalkitError(f"{path} line {number} is no object: write one record a line.")
        history = record.get("log_history")
        records = history if isinstance(history, list) else [record]
        if not all(isinstance(one, dict) for one in records):
            raise EvalkitError(f"{path} line {number}: 'log_history' is no list of records.")
        yield from records


def _flat(record: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{at}{name}/")
        else:
            yield f"{at}{name}", value


def _first_number(record: Mapping[str, Any], keys: Sequence[str]) -> float | None:
    found = (record.get(key) for key in keys)
    numbers = (one for one in found if isinstance(one, int | float) and not isinstance(one, bool))
    return next((float(one) for one in numbers if math.isfinite(one)), None)


def _words(name: str) -> str:
    return name.lower().replace("/", "_").replace("-", "_").replace(".", "_").replace(" ", "_").strip("_")


def _is_loss(name: str) -> bool:
    """Whether a name says that it is a loss. One that only says "eval" or "val" may be any score, and rise as it gets
    better."""
    words = _words(name)
    parts = words.split("_")
    says = "loss" in words or "cross_entropy" in words or any(one in parts for one in _SAYS) or _rest(name) == "total"
    return says and not any(no in parts or words.endswith(no) for no in _NO_LOSS)


def _role(name: str) -> Role:
    words = _words(name)
    parts = words.split("_")
    validation = any(part in parts for part in _VALIDATION) or "held_out" in words
    return "validation" if validation else "training"


def _rest(name: str) -> str:
    """What a name says beside training or validation: "train/total_loss" -> "total_loss"."""
    words = _words(name).replace("held_out", "heldout")
    return "_".join(part for part in words.split("_") if part not in (*_VALIDATION, "train", "training", "tr"))


def _first(names: Sequence[str]) -> str | None:
    """The whole loss if one is there, else the first."""
    return next((name for kind in _WHOLE for name in names if _rest(name) == kind), names[0] if names else None)
