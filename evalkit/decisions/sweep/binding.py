"""Which thing each axis means, checked before anything is merged or spoken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.decisions.sweep.axes import Axis, Kind, Spec, Value, is_number, shown
from evalkit.decisions.sweep.subject import GREEK, Subject, own_rank
from evalkit.engines import EngineSpec
from evalkit.errors import EvalkitError
from evalkit.merging.adapted import is_adapter
from evalkit.merging.base import MergeMethod, find_method
from evalkit.registry import unknown
from metrics.options import Option, parse_settings

SETTING = "set."


def bind(subject: Subject, specs: Mapping[str, Spec], settings: Sequence[str], voice: str | None) -> tuple[Axis, ...]:
    """The axes of a sweep. settings, voice: what holds where no axis says otherwise.

    Values of engine options are checked by `check_settings`, when the engine is known. Raises EvalkitError, one
    sentence, for an axis that means nothing here or a value that it cannot have.
    """
    axes = [_bound(subject, name, spec, settings, voice) for name, spec in specs.items()]
    for place, axis in enumerate(axes):
        for other in axes[:place]:
            if (axis.kind, axis.target, axis.model) == (other.kind, other.target, other.model):
                raise EvalkitError(f"The axes '{other.name}' and '{axis.name}' are the same thing; leave one out.")
    missing = [name for name in subject.placeholders() if name not in specs]
    if missing:
        raise EvalkitError(f"{subject.path} has ${{{missing[0]}}} in it: give its values, like {missing[0]}=1,2.")
    return tuple(axes)


def check_settings(axes: Sequence[Axis], spec: EngineSpec, settings: Sequence[str]) -> tuple[Axis, ...]:
    """The axes with the values of engine options as the engine takes them.

    Raises EvalkitError for an option that the engine lacks, a value out of its range, and a voice where there is none.
    """
    return tuple(_checked(axis, spec, settings) for axis in axes)


def _bound(subject: Subject, name: str, spec: Spec, settings: Sequence[str], voice: str | None) -> Axis:
    if name.startswith(SETTING):
        return _made(name, "setting", spec, target=name.removeprefix(SETTING))
    if name == "voice":
        return _voices(name, spec, voice)
    if name == "voice_s":
        _require_numbers(name, spec, above=0)
        values = [float(value) for value in spec.values] if spec.values else [float(spec.high)]
        return _made(name, "voice_s", spec, default=max(values), own=False, convert=_as_float)
    if subject.content is None:
        raise EvalkitError(
            f"The axis '{name}' belongs to a merge recipe, and {subject.path} is none: of a checkpoint, axes are "
            "voice, voice_s and set.OPTION, like set.temperature=0.5,1."
        )
    return _of_recipe(subject, name, spec)


def _of_recipe(subject: Subject, name: str, spec: Spec) -> Axis:
    models, content = subject.models(), subject.content or {}
    if name in subject.placeholders():
        return _made(name, "placeholder", spec, target=name, default=None)
    model, colon, pattern = name.partition(":")
    place = _place(model, models)
    if place is not None:
        _require_numbers(name, spec)
        said = content["models"][place]
        weight = _number(said.get("weight"), 1.0)
        if not colon:
            return _made(name, "coefficient", spec, model=place, default=weight, convert=_as_float)
        if not pattern:
            raise EvalkitError(f"The axis '{name}' names no layers behind the colon; write MODEL:PATTERN.")
        default = _number((said.get("layers") or {}).get(pattern), weight)
        return _made(name, "layer", spec, target=pattern, model=place, default=default, convert=_as_float)
    if name == "rank":
        return _rank(subject, spec)
    method = find_method(str(content.get("method", "task_arithmetic")))
    if name in method.options:
        return _parameter(name, spec, method, content)
    if model in GREEK:
        raise EvalkitError(
            f"The axis '{name}' is the coefficient of model number {GREEK.index(model) + 1}, and {subject.path} has "
            f"{len(models)}: {', '.join(models)}."
        )
    known = [*models, *GREEK[: len(models)], *subject.placeholders(), *method.options, "rank", "voice", "voice_s"]
    raise EvalkitError(unknown("axis", model if colon else name, known))


def _place(name: str, models: Sequence[str]) -> int | None:
    """A model's place by its name, else by its Greek letter."""
    if name in models:
        return models.index(name)
    return GREEK.index(name) if name in GREEK and GREEK.index(name) < len(models) else None


def _rank(subject: Subject, spec: Spec) -> Axis:
    listed = (subject.content or {})["models"]
    adapters = [i for i, m in enumerate(listed) if is_adapter(subject.path.parent / str(m.get("path", "")))]
    if len(adapters) != 1:
        raise EvalkitError(
            f"The axis 'rank' cuts the one adapter of a recipe, and {subject.path} has {len(adapters)}: put ${{rank}} "
            "into the path of what has ranks, like path: voice-r${rank}."
        )
    own = own_rank(subject.path.parent / str(listed[adapters[0]]["path"]))
    _require_whole("rank", spec, 1, own)
    return _made("rank", "rank", spec, model=adapters[0], default=own, whole=True)


def _parameter(name: str, spec: Spec, method: MergeMethod, content: Mapping[str, Any]) -> Axis:
    option = method.options[name]
    for value in spec.values if spec.values is not None else (spec.low, spec.high):
        method.parse([f"{name}={shown(value)}"])
    given = (content.get("parameters") or {}).get(name, option.default)
    return _of_option(name, "parameter", name, spec, option, given)


def _checked(axis: Axis, spec: EngineSpec, settings: Sequence[str]) -> Axis:
    if axis.kind in ("voice", "voice_s"):
        if not spec.needs_voice and not spec.voice:
            raise EvalkitError(
                f"The axis '{axis.name}': the engine '{spec.name}' has one voice, which is in its weights; leave it "
                "out."
            )
        if axis.kind == "voice_s" and not spec.voice_is_clip:
            raise EvalkitError(f"The axis 'voice_s': a voice of the engine '{spec.name}' is no clip; leave it out.")
        return axis
    if axis.kind != "setting":
        return axis
    owner = f"the engine '{spec.name}'"
    plain = [setting for setting in settings if setting.partition("=")[0] not in spec.assets]
    try:
        for value in axis.ends:
            parse_settings(owner, spec.options, [f"{axis.target}={shown(value)}"])
        given = parse_settings(owner, spec.options, plain)[axis.target]
    except ValueError as error:
        raise EvalkitError(f"The axis '{axis.name}': {error}") from error
    written = Spec(axis.name, axis.values, axis.low, axis.high, axis.step)
    return _of_option(axis.name, "setting", axis.target, written, spec.options[axis.target], given)


def _of_option(name: str, kind: Kind, target: str, spec: Spec, option: Option, default: Any) -> Axis:
    whole = isinstance(option.default, int) and not isinstance(option.default, bool)
    if spec.values is None and not is_number(option.default):
        raise EvalkitError(f"The axis '{name}' takes no range: list its values, like {name}=a,b.")
    convert = _as_float if isinstance(option.default, float) else _as_text if isinstance(option.default, str) else _same
    return _made(name, kind, spec, target=target, default=default, convert=convert, whole=whole)


def _voices(name: str, spec: Spec, voice: str | None) -> Axis:
    values = tuple(shown(value) for value in spec.values or ())
    for value in values:
        if "." in value and not Path(value.partition(":")[0]).exists():  # a name the engine knows has no dot in it
            raise EvalkitError(f"The axis 'voice': there is no clip {value}; check the path.")
    if not values:
        raise EvalkitError("The axis 'voice' takes a list of clips, like voice=a.wav,b.wav.")
    return Axis(name, "voice", values=values, default=voice or values[0], own=voice is not None)


def _made(
    name: str,
    kind: Kind,
    spec: Spec,
    target: str = "",
    model: int | None = None,
    default: Any = 0.0,
    own: bool = True,
    convert: Any = None,
    whole: bool | None = None,
) -> Axis:
    """default None: the middle of the axis stands for what nobody said."""
    change = convert or _same
    values = None if spec.values is None else tuple(change(value) for value in spec.values)
    numbers = values is None
    if whole is None:
        ints = all(isinstance(v, int) for v in (spec.low, spec.high, spec.step if spec.step is not None else 0))
        whole = numbers and ints and convert is None
    low, high = (float(spec.low), float(spec.high)) if numbers else (0.0, 0.0)
    step = float(spec.step) if numbers and spec.step is not None else None
    axis = Axis(name, kind, target, model, values, low, high, step, whole, 0.0, own)
    if default is None:
        middle = values[len(values) // 2] if values is not None else axis.number((low + high) / 2)
        default, own = middle, False
    return Axis(name, kind, target, model, values, low, high, step, whole, change(default), own)


def _require_numbers(name: str, spec: Spec, above: float | None = None) -> None:
    for value in spec.values if spec.values is not None else (spec.low, spec.high):
        if not is_number(value) or (above is not None and float(value) <= above):
            limit = "" if above is None else f" above {above:g}"
            raise EvalkitError(f"The axis {name}={spec.text}: '{shown(value)}' is no number{limit}.")


def _require_whole(name: str, spec: Spec, low: int, high: int) -> None:
    for value in spec.values if spec.values is not None else (spec.low, spec.high):
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise EvalkitError(
                f"The axis {name}={spec.text}: the adapter has rank {high}, so give whole numbers from {low} to {high}."
            )


def _number(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def _as_float(value: Value) -> float:
    return float(value)


def _as_text(value: Value) -> str:
    return shown(value)


def _same(value: Value) -> Value:
    return value
