"""Axes of a sweep: what is read, what each means, and what is refused before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands import VOICES

from evalkit.decisions.sweep.axes import Axis, Value, parse_axes
from evalkit.decisions.sweep.binding import bind, check_settings
from evalkit.decisions.sweep.points import Point, corners, default_point, distance, grid
from evalkit.decisions.sweep.subject import read_subject
from evalkit.engines.neutts.settings import OPTIONS as NEUTTS
from evalkit.engines.tinytts.engine import TinyTTS
from evalkit.errors import EvalkitError

SPEC = TinyTTS.spec


def values(text: str, search: bool = False) -> Any:
    return next(iter(parse_axes([text], search).values())).values


@pytest.fixture
def recipe(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(text.replace("VOICES", str(VOICES)))
        return path

    return write


PLAIN = """
base: VOICES/base.pth
models:
  - {path: VOICES/sarah.pth, weight: 0.6}
  - path: VOICES/sumit.pth
"""


def bound(path: Path, *arguments: str, search: bool = False, settings: tuple[str, ...] = ()) -> dict[str, Axis]:
    axes = bind(read_subject(path), parse_axes(arguments, search), settings, None)
    return {axis.name: axis for axis in axes}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=0.5:1.0:0.1", (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)),
        ("a=1:0:-0.25", (1.0, 0.75, 0.5, 0.25, 0.0)),
        ("a=1:4:1", (1, 2, 3, 4)),
        ("a=0:1:0.4", (0.0, 0.4, 0.8)),
        ("a=0.3,0.5,0.7,1.0", (0.3, 0.5, 0.7, 1.0)),
        ("a=4,8,sixteen,true", (4, 8, "sixteen", True)),
        ("a=-1:1:1", (-1, 0, 1)),
        ("voice=a.wav,b c.wav", ("a.wav", "b c.wav")),
    ],
)
def test_values_are_exact_and_typed(text: str, expected: tuple[Value, ...]) -> None:
    found = values(text)
    assert found == expected and [type(v) for v in found] == [type(v) for v in expected]


def test_several_axes_stand_in_one_argument() -> None:
    assert list(parse_axes(["alpha=1,2 beta=3,4", "gamma=5"], False)) == ["alpha", "beta", "gamma"]


@pytest.mark.parametrize(
    ("text", "search", "says"),
    [
        ("alpha", False, "AXIS=SPEC"),
        ("alpha=", False, "AXIS=SPEC"),
        ("alpha=0.5:1.0", False, "needs a step"),
        ("alpha=0..2", False, "needs a step"),
        ("alpha=1..1", True, "must rise"),
        ("alpha=0:1:0", False, "does not lead"),
        ("alpha=0:1:-0.1", False, "does not lead"),
        ("alpha=0:1:0.00001", False, "100001 values"),
        ("alpha=1,,2", False, "empty value"),
        ("alpha=1,1.0", False, "value 1 twice"),
    ],
)
def test_specs_that_cannot_be_read(text: str, search: bool, says: str) -> None:
    with pytest.raises(EvalkitError, match=says) as caught:
        parse_axes([text], search)
    assert str(caught.value).count("\n") == 0


def test_an_axis_is_given_once() -> None:
    with pytest.raises(EvalkitError, match="'alpha' is given twice"):
        parse_axes(["alpha=1,2", "alpha=3"], False)


def test_greek_letters_and_names_are_the_same_coefficients(recipe: Any) -> None:
    path = recipe(PLAIN)
    axes = bound(path, "alpha=0.5,1", "beta=1,2", "sumit:decoder=0,1")
    assert (axes["alpha"].model, axes["alpha"].default) == (0, 0.6)
    assert (axes["beta"].model, axes["beta"].default, axes["beta"].values) == (1, 1.0, (1.0, 2.0))
    assert (axes["sumit:decoder"].kind, axes["sumit:decoder"].target) == ("layer", "decoder")
    with pytest.raises(EvalkitError, match="'alpha' and 'sarah' are the same thing"):
        bound(path, "alpha=0.5,1", "sarah=1,2")


def test_the_point_is_in_the_recipe(recipe: Any) -> None:
    path = recipe(PLAIN + "parameters: {density: 0.5}\nmethod: ties\n")
    subject = read_subject(path)
    axes = bind(subject, parse_axes(["alpha=0.25,1", "sumit:decoder=0,1", "density=0.2,0.9"], False), (), None)
    point = Point((0.25, 0.0, 0.9), axes)
    made = subject.recipe(point.by_axis())
    assert (made.models[0].weight, made.models[1].layers, made.parameters) == (0.25, {"decoder": 0.0}, {"density": 0.9})
    assert default_point(axes).values == (0.6, 1.0, 0.5)
    assert made.models[0].path == VOICES / "sarah.pth"


def test_a_new_layer_pattern_goes_before_those_that_are_there(recipe: Any) -> None:
    path = recipe(PLAIN.replace("weight: 0.6", "layers: {decoder: 0.1, '*': 0}"))
    subject = read_subject(path)
    axes = bind(subject, parse_axes(["sarah:encoder=0.5", "sarah:decoder=0.7"], False), (), None)
    made = subject.recipe(Point((0.5, 0.7), axes).by_axis())
    assert list(made.models[0].layers.items()) == [("encoder", 0.5), ("decoder", 0.7), ("*", 0.0)]
    assert [axis.default for axis in axes] == [1.0, 0.1]


def test_placeholders_are_filled_everywhere(recipe: Any) -> None:
    path = recipe(
        "base: VOICES/base.pth\nmodels:\n  - {path: 'VOICES/sarah-lora-r${rank}', weight: '${strength}',"
        " layers: {'decoder.blocks.0-${boundary}': 0.5}}\n"
    )
    subject = read_subject(path)
    axes = bind(subject, parse_axes(["rank=4,8,16", "boundary=1,2", "strength=0.5,1.5"], False), (), None)
    assert {axis.kind for axis in axes} == {"placeholder"}
    made = subject.recipe(Point((8, 2, 1.5), axes).by_axis())
    assert made.models[0].path == VOICES / "sarah-lora-r8"
    assert made.models[0].layers == {"decoder.blocks.0-2": 0.5} and made.models[0].weight == 1.5
    assert default_point(axes).values == (8, 2, 1.5) and not any(axis.own for axis in axes)
    with pytest.raises(EvalkitError, match=r"\$\{boundary\}"):
        bind(subject, parse_axes(["rank=4", "strength=1"], False), (), None)


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("alhpa=1,2", "did you mean 'alpha'"),
        ("sara=1,2", "did you mean 'sarah'"),
        ("sara:decoder=1,2", "did you mean 'sarah'"),
        ("gamma=1,2", "model number 3, and .* has 2: sarah, sumit"),
        ("alpha=1,x", "'x' is no number"),
        ("sarah:=1,2", "names no layers"),
        ("rank=4,8", "has 0: put"),
        ("voice=nowhere.wav", "no clip nowhere.wav"),
        ("voice_s=0,3", "no number above 0"),
    ],
)
def test_axes_that_mean_nothing_here(recipe: Any, argument: str, says: str) -> None:
    with pytest.raises(EvalkitError, match=says):
        bound(recipe(PLAIN), argument)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a mapping"),
        ("models: []", "wrong at 'models'"),
        ("models: [a.pth, {path: b.pth}]", "wrong at 'models'"),
        ("models: [{path: a.pth, layers: [1]}]", "wrong at 'models.0.layers'"),
        ("models: [{path: a.pth}]\nparameters: 3", "wrong at 'parameters'"),
        ("models: [{path: a.pth}]\nmethod: tis", "did you mean 'ties'"),
        ("models: [{path: 3, weight: x}]", "Unknown axis|wrong at"),
        ("models: [{name: m}]", "Unknown axis|wrong at"),
        ("a: &x 1\nmodels: *x", "alias"),
    ],
)
def test_recipes_that_are_none_are_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(EvalkitError, match=says):
        axes = bind(read_subject(path), parse_axes(["density=0.1,0.2"], False), (), None)
        read_subject(path).recipe(default_point(axes).by_axis())


def test_a_checkpoint_has_no_coefficients() -> None:
    with pytest.raises(EvalkitError, match="belongs to a merge recipe"):
        bound(VOICES / "sarah.pth", "alpha=1,2")


def test_engine_options_are_checked_and_typed() -> None:
    axes = bind(read_subject(VOICES / "sarah.pth"), parse_axes(["set.temperature=0,1"], False), (), None)
    (axis,) = check_settings(axes, SPEC, ())
    assert (axis.values, axis.default) == ((0.0, 1.0), 0.0)
    assert check_settings(axes, SPEC, ("temperature=0.5",))[0].default == 0.5
    for argument, says in [
        ("set.temprature=0,1", "did you mean 'temperature'"),
        ("set.temperature=0,99", "from 0"),
        ("set.temperature=cold,1", "a number"),
        ("voice_s=3", "has one voice"),
    ]:
        axes = bind(read_subject(VOICES / "sarah.pth"), parse_axes([argument], False), (), None)
        with pytest.raises(EvalkitError, match=says):
            check_settings(axes, SPEC, ())


def test_whole_options_stay_whole_in_a_search() -> None:
    from dataclasses import replace

    spec = replace(SPEC, options=NEUTTS)
    arguments = ["set.top_k=10..80", "set.temperature=1..2"]
    axes = bind(read_subject(VOICES / "sarah.pth"), parse_axes(arguments, True), (), None)
    top_k, temperature = check_settings(axes, spec, ())
    assert top_k.whole and top_k.ends == (10, 80)
    assert not temperature.whole and isinstance(temperature.ends[0], float)


def test_a_coefficient_in_whole_numbers_is_no_whole_number(recipe: Any) -> None:
    axis = bound(recipe(PLAIN), "alpha=1..4", search=True)["alpha"]
    assert not axis.whole and isinstance(axis.ends[1], float)


def test_a_grid_begins_with_its_corners(recipe: Any) -> None:
    axes = tuple(bound(recipe(PLAIN), "alpha=0,0.5,1", "beta=0,0.5,1").values())
    points = [point.values for point in grid(axes)]
    assert points[:4] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert points[-1] == (0.5, 0.5) and len(set(points)) == 9
    with pytest.raises(EvalkitError, match="1000000 points"):
        grid([Axis(name, "coefficient", values=tuple(range(100))) for name in "abc"])


def test_distance_is_in_shares_of_the_axes(recipe: Any) -> None:
    axes = tuple(bound(recipe(PLAIN), "alpha=0,0.5,1", "beta=0,5,10").values())
    one, other = Point((0.0, 0.0), axes), Point((0.5, 5.0), axes)
    assert distance(one, other) == pytest.approx(0.5**0.5)
    voices = (Axis("voice", "voice", values=("a", "b", "c"), default="a"),)
    assert distance(Point(("a",), voices), Point(("c",), voices)) == 1.0
    assert [point.values for point in corners(axes, most=5)][:2] == [(0.0, 0.0), (0.0, 5.0)]
