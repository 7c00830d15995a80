"""F5-TTS against the real package, in its environment: parity, exact batches, checkpoint files, merges, LoRA."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_environments import run_script
from safetensors.torch import save_file

from evalkit.checkpoints import canonical, fingerprint, read_checkpoint
from evalkit.pipeline.weights import read_weights

pytestmark = pytest.mark.engines

SCRIPTS = Path(__file__).parent / "package_f5"
ARCHITECTURES = ("v1", "base", "normed", "upsampled", "plain")
FILES = ("training.pt", "legacy.pt", "released.safetensors", "bare.safetensors")
CLIPS = {
    "long_pauses": 10.5,
    "short_pauses": 11.6,
    "no_pauses": 12.0,
    "uneven": 12.0,
    "edges": 2.7,
    "stereo": 3.8,
    "wide": 2.7,
}
FIRST_HALF, SECOND_HALF = (0, 1), (2, 3)
# HE-Vector: the dialect on the text embedding and the first half of the blocks, the emotion on the second half.
RECIPE = """
version: 1
method: hierarchical
base: {base}
models:
  - path: {folder}/dialect.pt
    layers: {{text: 2.0, early: 2.0, "*": 0}}
  - path: {folder}/emotion.pt
    layers: {{late: 1.5, "*": 0}}
unmatched: error
"""


@pytest.fixture(scope="module")
def parity(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_script("f5", SCRIPTS / "parity.py", str(tmp_path_factory.mktemp("parity")))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_alone_it_speaks_as_the_package_does(parity: dict[str, Any], name: str) -> None:
    assert parity[name]["package"] < 1e-5
    assert 0.01 < parity[name]["loudest"] < 10


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_batch_in_any_order_is_the_same(parity: dict[str, Any], name: str) -> None:
    assert parity[name]["batch"] < 1e-5
    assert parity[name]["order"] < 1e-5
    assert parity[name]["padded"] < 1e-4  # mel frames, up to 10 in size
    assert parity[name]["their_batch"] > 0.01  # the package's own batch is another speech, so the test can tell


@pytest.mark.parametrize("name", ["defaults", "epss", "even", "unguided"])
def test_options_do_what_the_package_does(parity: dict[str, Any], name: str) -> None:
    assert parity["solvers"][name] < 1e-5


@pytest.mark.parametrize("name", CLIPS)
def test_clips_are_cut_as_the_package_cuts_them(parity: dict[str, Any], name: str) -> None:
    assert parity["clips"][name] == 0
    assert parity["clips"][f"{name}_s"] == pytest.approx(CLIPS[name], abs=0.1)


@pytest.mark.parametrize("name", FILES)
def test_every_form_of_file_loads_the_same(parity: dict[str, Any], name: str) -> None:
    found = parity["files"][name]
    assert found["digest"] == parity["files"]["released.safetensors"]["digest"]
    assert found["audio"] == 0
    assert found["same_as_package"]
    assert any("Left out" in note for note in found["notes"]) == (name == "legacy.pt")


def test_it_conforms_to_its_declarations(tmp_path: Path) -> None:
    assert run_script("f5", SCRIPTS / "conform.py", str(tmp_path))["broken"] == []


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_script("f5", SCRIPTS / "refuse.py", str(tmp_path_factory.mktemp("refusals")))


@pytest.mark.parametrize(
    ("what", "said"),
    {
        "silent clip": "above -42 dBFS",
        "short clip": "above -42 dBFS",
        "no clip": "cannot be read as audio",
        "no text": "--voice-text",
        "other vocabulary": "has 96 rows, for a vocabulary of 95 symbols",
        "other size": "do not fit F5TTS_v1_Small",
        "two configurations": "leave one out",
        "impossible size": "describes no DiT",
        "vocoder without weights": "has no pytorch_model.bin",
        "vocoder of another size": "does not fit its config.yaml",
        "vocoder as code": "cannot be read safely",
        "rotary table": "is not the table that f5-tts computes",
        "not set up": "not set up",
        "not loaded": "call load first",
    }.items(),
)
def test_what_cannot_be_used_is_refused_in_a_sentence(refusals: dict[str, Any], what: str, said: str) -> None:
    assert said in refusals[what]
    assert "\n" not in refusals[what].strip()


def test_a_rounded_rotary_table_is_used_as_it_was_stored(refusals: dict[str, Any]) -> None:
    assert "stored rounded" in refusals["rounded table"]


def test_the_packages_own_vocabulary_is_the_default(refusals: dict[str, Any]) -> None:
    assert refusals["own vocabulary"] == 2545


def test_statuses_and_unknown_symbols(refusals: dict[str, Any]) -> None:
    assert refusals["statuses"] == {
        "": "empty_text",
        "... !": "empty_text",
        "привет": "unknown_symbols",
        "A naïve snowman ☃.": "ok",
        "long": "too_long",
    }
    assert refusals["dropped"] == ["ï", "☃"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Merged and folded in memory by evalkit, as `evalkit run` does it, then spoken in the environment."""
    folder = tmp_path_factory.mktemp("models")
    base = Path(run_script("f5", SCRIPTS / "make_models.py", str(folder))["base"])
    (folder / "recipe.yaml").write_text(RECIPE.format(base=base, folder=folder))
    weights = {
        "base": read_weights(base).tensors,
        "merged": read_weights(folder / "recipe.yaml").tensors,
        "lora-cfm": read_weights(folder / "lora-cfm", base).tensors,
        "lora-dit": read_weights(folder / "lora-dit", base).tensors,
    }
    canon = folder / "canonical"
    canon.mkdir()
    for name, tensors in weights.items():
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, canon / f"{name}.safetensors")
    spoken = run_script("f5", SCRIPTS / "speak.py", str(canon))
    audio = {name: np.load(canon / f"{name}.npy") for name in weights}
    yield {"folder": folder, "weights": weights, "spoken": spoken, "audio": audio}


@pytest.mark.parametrize("name", ["base", "merged", "lora-cfm", "lora-dit"])
def test_what_is_merged_is_what_speaks(models: dict[str, Any], name: str) -> None:
    found = models["spoken"][name]
    assert found["status"] == "ok"
    assert found["digest"] == fingerprint(models["weights"][name])
    assert found["package"] < 1e-5


def test_a_hierarchical_merge_is_its_formula(models: dict[str, Any]) -> None:
    weights, folder = models["weights"], models["folder"]
    base, merged = weights["base"], weights["merged"]
    dialect, emotion = (canonical(read_checkpoint(folder / f"{n}.pt").tensors).tensors for n in ("dialect", "emotion"))
    for key, tensor in merged.items():
        block = int(key.split(".")[2]) if key.startswith("transformer.transformer_blocks.") else -1
        a = 2.0 if key.startswith("transformer.text_embed.") or block in FIRST_HALF else 0.0
        b = 1.5 if block in SECOND_HALF else 0.0
        wanted = base[key].double()
        wanted = wanted + a * (dialect[key].double() - wanted) + b * (emotion[key].double() - wanted)
        assert torch.allclose(tensor.double(), wanted, atol=1e-6, rtol=1e-6), key
    assert np.abs(models["audio"]["merged"] - models["audio"]["base"]).max() > 1e-3


@pytest.mark.parametrize("name", ["lora-cfm", "lora-dit"])
def test_a_folded_adapter_speaks_as_peft_does(models: dict[str, Any], name: str) -> None:
    runtime = np.load(models["folder"] / name / "heard.npy")
    folded = models["audio"][name]
    assert folded.shape == runtime.shape
    assert np.abs(folded - runtime).max() < 1e-5
    assert np.abs(models["audio"]["base"] - runtime).max() > 1e-2
