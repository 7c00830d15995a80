"""Recipes: what a YAML file may say, and one sentence for what it may not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evalkit.checkpoints import stem
from evalkit.errors import EvalkitError
from evalkit.merging.recipe import read_recipe
from evalkit.merging.weights import LayerWeights

GOOD = """\
# HE-Vector on F5-TTS
version: 1
method: hierarchical
base: base.safetensors
models:
  - path: dialect.safetensors   # Indian English
    layers: {text: 2.0, early: 2.0, "*": 0}
  - path: tuned/model.pt
    name: emotion
    weight: 0.5
    layers:
      late: 1.5
parameters: {rounding: each_step}
dtype: float16
unmatched: keep:emotion
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(EvalkitError) as raised:
        read_recipe(path)
    message = str(raised.value)
    assert "\n" not in message and str(path) in message and len(message) < 500
    return message


def test_a_recipe_is_read_with_its_comments_and_paths_beside_it(tmp_path: Path) -> None:
    recipe, text = read_recipe(write(tmp_path, GOOD))
    assert text == GOOD
    assert recipe.base == tmp_path / "base.safetensors"
    assert [model.path for model in recipe.models] == [
        tmp_path / "dialect.safetensors",
        tmp_path / "tuned" / "model.pt",
    ]
    assert [model.name for model in recipe.models] == ["dialect", "emotion"]
    assert recipe.models[0].weights() == LayerWeights(1.0, {"text": 2.0, "early": 2.0, "*": 0.0})
    assert recipe.models[1].weights() == LayerWeights(0.5, {"late": 1.5})
    assert recipe.parameters == {"rounding": "each_step"} and recipe.dtype == "float16"


def test_the_order_of_layer_patterns_is_kept(tmp_path: Path) -> None:
    recipe, _ = read_recipe(write(tmp_path, "models: [{path: a.pth, layers: {z: 1, a: 2, m: 3}}]\n"))
    assert list(recipe.models[0].layers) == ["z", "a", "m"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models: []\n", "wrong at 'models'"),
        ("base: a.pth\n", "wrong at 'models': Field required"),
        ("models: [{path: a.pth, wieght: 1}]\n", "wrong at 'models.0.wieght'"),
        ('models: [{path: a.pth, "we\\night": 1}]\n', "wrong at 'models.0.we\\night'"),
        (f"models: [{{path: a.pth, {'x' * 900}: 1}}]\n", "wrong at 'models.0.xxx"),
        ("models: [{path: a.pth, weight: much}]\n", "wrong at 'models.0.weight'"),
        ("version: 2\nmodels: [{path: a.pth}]\n", "wrong at 'version'"),
        ("dtype: int8\nmodels: [{path: a.pth}]\n", "wrong at 'dtype'"),
        ("models: [{path: a.pth}, {path: b/a.pt}]\n", "two models are called 'a'"),
        ("models: [{path: base.pth}]\n", "cannot be called 'base'"),
        ("models: [{path: a.pth, weight: 1:30}]\n", "wrong at 'models.0.weight'"),
        ("models: [{path: a.pth, weight: yes}]\n", "wrong at 'models.0.weight'"),
        ("models: [{path: a.pth, layers: {early: yes}}]\n", "wrong at 'models.0.layers.early'"),
        ("seed: 1:30\nmodels: [{path: a.pth}]\n", "wrong at 'seed'"),
        ("models: [{path: a.pth, weight: 1, weight: 2}]\n", "not YAML at line 1: 'weight' stands there twice"),
        ("seed: 1\nmodels: [{path: a.pth}]\nseed: 2\n", "not YAML at line 3: 'seed' stands there twice"),
        ("? [a]\n: 1\n", "not YAML"),
        ("models: [{weight: 1}]\n", "wrong at 'models.0.path'"),
        ("- a\n- b\n", "not a mapping"),
        ("", "not a mapping"),
        ("models: [{path: a.pth\n", "not YAML at line"),
        ("x: &a [1]\nmodels: *a\n", "uses a YAML alias ('*a')"),
        ("models: !!python/object/apply:os.system ['true']\n", "not YAML"),
        ("when: 2026-99-99\nmodels: [{path: a}]\n", "not YAML"),
        ("a: " + "[" * 5000 + "\n", "not YAML"),
    ],
)
def test_bad_recipes_are_refused_in_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    assert words in refusal(write(tmp_path, text))


def test_numbers_are_those_that_people_write(tmp_path: Path) -> None:
    """YAML 1.1 takes 010 for eight and 1e-3 for text."""
    recipe, _ = read_recipe(write(tmp_path, "models: [{path: a.pth, weight: 1e-3, layers: {a: -.5, b: 010, c: 3}}]\n"))
    assert recipe.models[0].weights() == LayerWeights(0.001, {"a": -0.5, "b": 10.0, "c": 3.0})


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read as text" in refusal(tmp_path / "binary.yaml")
    assert "larger than a megabyte" in refusal(write(tmp_path, "#" * 2**20 + "\n\n"))
    assert "is no file" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "is no file" in refusal(tmp_path / "pipe.yaml")


def test_a_checkpoint_is_called_by_its_stem(tmp_path: Path) -> None:
    assert [stem(Path(name)) for name in ("a/sarah.pth", "merge.yaml", "lora-v1.0", "x.y.safetensors")] == [
        "sarah",
        "merge",
        "lora-v1.0",
        "x.y",
    ]
