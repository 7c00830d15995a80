"""neutts-gguf against the packages that it stands on, in their environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_environments import run_script

pytestmark = pytest.mark.engines
SCRIPTS = Path(__file__).parent / "package_neutts_gguf"


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    return run_script("neutts-gguf", SCRIPTS / "written.py")


@pytest.fixture(scope="module")
def spoken() -> dict[str, Any]:
    return run_script("neutts-gguf", SCRIPTS / "spoken.py")


@pytest.mark.parametrize("backbone", ["own", "tied"])
def test_llama_cpp_computes_what_transformers_does(written: dict[str, Any], backbone: str) -> None:
    errors = written[backbone]["errors"]
    assert errors["f32"] < 1e-5
    assert 1e-5 < errors["f16"] < 1e-2
    assert errors["f16"] < errors["q8_0"] < 0.1 < errors["q4_0"]


@pytest.mark.parametrize("backbone", ["own", "tied"])
def test_f32_keeps_every_bit_and_the_others_are_smaller(written: dict[str, Any], backbone: str) -> None:
    assert written[backbone]["bit_equal"]
    sizes = written[backbone]["sizes"]
    assert sizes["f32"] > sizes["f16"] > sizes["q8_0"] > sizes["q4_0"]


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("missing", "model.layers.1.mlp.up_proj.weight"),
        ("extra", "base_model.model.lora_A.weight"),
        ("renamed", "model.layers.1.mlp.up_proj.weight"),
        ("embedding", "model.embed_tokens.weight"),
        ("shape", "model.layers.1.mlp.up_proj.weight"),
        ("untied", "lm_head"),
        ("tokenizer", "split a prompt differently"),
        ("scaled", "sliding window"),
    ],
)
def test_weights_that_do_not_fit_are_not_written(written: dict[str, Any], case: str, names: str) -> None:
    assert names in written["refusals"][case]


def test_nothing_is_left_of_what_was_not_written(written: dict[str, Any]) -> None:
    assert written["left_over"] == []


def test_the_command_refuses_another_architecture(written: dict[str, Any]) -> None:
    assert written["status"] == 2


def test_metadata_says_how_the_backbone_reads(written: dict[str, Any]) -> None:
    assert written["metadata"] == {"input_format": "BPE", "emotions": ["happy", "sad"]}


@pytest.mark.parametrize("kind", ["f32", "q8_0"])
def test_speaks_and_streams_as_the_package(spoken: dict[str, Any], kind: str) -> None:
    found = spoken[kind]
    assert found["unequal"] == []
    assert found["difference"] < 1e-6
    assert len(found["lengths"]) >= 8
    assert found["chunks"] > 2 * len(found["lengths"])


def test_q8_is_another_system(spoken: dict[str, Any]) -> None:
    assert spoken["f32"]["lengths"][:8] != spoken["q8_0"]["lengths"][:8]


@pytest.mark.parametrize("what", ["order", "alone", "new_engine", "threads", "large_seed"])
def test_what_must_not_matter_does_not(spoken: dict[str, Any], what: str) -> None:
    assert spoken["alone"][what]


@pytest.mark.parametrize("what", ["seed", "temperature", "top_k", "phonemes"])
def test_what_must_matter_does(spoken: dict[str, Any], what: str) -> None:
    assert spoken["alone"][what]


def test_phonemes_read_are_phonemes_spoken(spoken: dict[str, Any]) -> None:
    assert not spoken["alone"]["own_phonemes"]
    assert "ˈ" in spoken["alone"]["read"]


def test_speech_is_not_shorter_than_asked(spoken: dict[str, Any]) -> None:
    free, one, forty, long = spoken["alone"]["shortest"]
    assert free == one == 1
    assert 40 <= forty < 300 <= long


def test_a_speech_cannot_go_on_after_another_began(spoken: dict[str, Any]) -> None:
    assert "another was begun" in spoken["alone"]["interrupted"]


def test_ids_and_statuses_come_in_order(spoken: dict[str, Any]) -> None:
    assert spoken["alone"]["ids"] == ["0", "1", "2", "3", "4"]
    assert spoken["alone"]["statuses"] == ["ok", "ok", "ok", "ok", "empty_text"]


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("half", "not within the file bounds"),
        ("header", "llama.cpp cannot run"),
        ("architecture", "unknown model architecture: 'foo_2'"),
        ("text", "is no GGUF file"),
        ("silent", "has 0 speech tokens"),
        ("form", "does not say how the model reads text"),
        ("missing", "No such file"),
        ("tensors", "runs a GGUF file"),
    ],
)
def test_a_file_that_cannot_speak_is_refused(spoken: dict[str, Any], file: str, sentence: str) -> None:
    assert sentence in spoken["refusals"]["files"][file]


def test_the_file_before_speaks_on_after_a_refusal(spoken: dict[str, Any]) -> None:
    assert spoken["refusals"]["files"]["still"] is True


@pytest.mark.parametrize(
    ("case", "status"),
    [
        ("no_voice", "bad_voice"),
        ("far_voice", "bad_voice"),
        ("blank", "empty_text"),
        ("long", "too_long"),
        ("cut", "truncated"),
        ("control", "unknown_symbols"),
        ("option", "failed"),
        ("fixed", "failed"),
        ("emotion", "failed"),
    ],
)
def test_a_request_that_cannot_be_spoken_has_a_status(spoken: dict[str, Any], case: str, status: str) -> None:
    found, reason = spoken["refusals"]["statuses"][case]
    assert found == status
    assert reason.endswith(".")
    assert spoken["refusals"]["streams"][case] == reason


def test_control_tokens_speak_here_and_not_in_the_package(spoken: dict[str, Any]) -> None:
    control = spoken["control"]
    assert control["package"] == "No valid speech tokens found in the output."
    assert control["same"]
    assert "control tokens" in control["notes"][1]


def test_the_example_speaks(spoken: dict[str, Any]) -> None:
    example = spoken["example"]
    assert set(example["statuses"]) == {"ok"}
    assert all(0.5 <= seconds <= 6 for seconds in example["seconds"])


def test_the_example_conforms() -> None:
    found = run_script("neutts-gguf", SCRIPTS / "conforming.py")["findings"]
    assert [one for one in found if one["ok"] is False] == []
    assert {"repeat", "order", "streaming", "digest", "random_state"} <= {one["check"] for one in found if one["ok"]}
