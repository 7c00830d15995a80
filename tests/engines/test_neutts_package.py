"""NeuTTS against the real package, in its environment: prompts, greedy speech, streaming, adapters, conformance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_environments import run_script

pytestmark = pytest.mark.engines

SCRIPTS = Path(__file__).parent / "package_neutts"


@pytest.fixture(scope="module")
def parity() -> dict[str, Any]:
    return run_script("neutts", SCRIPTS / "parity.py")


@pytest.fixture(scope="module")
def adapters() -> dict[str, Any]:
    return run_script("neutts", SCRIPTS / "adapters.py")


@pytest.mark.parametrize(
    "what", ["prompts_phonemes", "prompts_bpe", "prompts_emotion", "strings_phonemes", "strings_bpe"]
)
def test_prompts_are_the_packages(parity: dict[str, Any], what: str) -> None:
    assert parity[what] == [True] * 4


def test_greedy_speech_is_the_packages(parity: dict[str, Any]) -> None:
    found = parity["greedy"]
    assert found["status"] == ["ok"] * 4
    assert found["lengths_equal"] == [True] * 4
    assert found["largest"] == 0.0
    assert len(set(found["seconds"])) > 1, "the example must end at different times, or the end is not tested"


def test_greedy_tokens_in_a_batch_are_those_of_generate(parity: dict[str, Any]) -> None:
    assert parity["greedy_batch"] == [True] * 4


def test_bfloat16_holds_the_packages_weights(parity: dict[str, Any]) -> None:
    assert parity["bfloat16_weights"]


def test_streaming_is_the_packages(parity: dict[str, Any]) -> None:
    assert parity["stream"]["cases"] == 28
    assert parity["stream"]["lengths_equal"]
    assert parity["stream"]["largest"] < 1e-6


def test_what_may_be_drawn_is_what_transformers_processors_leave(parity: dict[str, Any]) -> None:
    assert parity["drawn_from"] == [True] * 3


def test_a_running_adapter_is_the_folded_one(adapters: dict[str, Any]) -> None:
    assert adapters["logits"] < 1e-4 < adapters["logits_moved"]
    assert adapters["audio"] == [True] * 4
    assert adapters["audio_moved"] == [True] * 4


def test_an_adapter_is_in_the_digest_and_not_in_the_weights(adapters: dict[str, Any]) -> None:
    assert adapters["base_read_back"]
    assert adapters["digests_differ"]
    assert adapters["digest_repeats"]
    assert adapters["digest_of_alpha"]


def test_adapters_that_do_not_fit_are_refused(adapters: dict[str, Any]) -> None:
    lost, stray, misshaped, copies, dora = adapters["refused"]
    for refusal in (lost, stray, misshaped, dora):
        assert "does not fit this backbone" in refusal
    assert "layers.7" in stray
    assert "modules_to_save" in copies


@pytest.mark.parametrize("form", ["phonemes", "BPE"])
def test_it_conforms(form: str) -> None:
    found = run_script("neutts", SCRIPTS / "conform.py", form)
    assert found["failed"] == []
    assert {"batches", "sections", "strict", "streaming", "seeds"} <= set(found["passed"])


def write_onnx_decoder(path: Path) -> None:
    """A decoder that holds each code for 480 samples, with the published graph's input and output."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["codes"], ["floats"], to=kinds.FLOAT),
        helper.make_node("Reshape", ["floats", "column"], ["tall"]),
        helper.make_node("Tile", ["tall", "times"], ["wide"]),
        helper.make_node("Reshape", ["wide", "row"], ["audio"]),
    ]
    constants = {"column": [1, 1, -1, 1], "times": [1, 1, 1, 480], "row": [1, 1, -1]}
    graph = helper.make_graph(
        nodes,
        "held",
        [helper.make_tensor_value_info("codes", kinds.INT32, [1, 1, "F"])],
        [helper.make_tensor_value_info("audio", kinds.FLOAT, [1, 1, "T"])],
        [helper.make_tensor(name, kinds.INT64, [len(value)], value) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))


@pytest.fixture(scope="module")
def codecs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("onnx") / "codec.onnx"
    write_onnx_decoder(path)
    return run_script("neutts", SCRIPTS / "decoding.py", str(path))


def test_codecs_of_every_format_decode(codecs: dict[str, Any]) -> None:
    assert codecs["samples"] == codecs["wanted"]
    assert codecs["published_is_the_same"]
    assert codecs["onnx"] == [3.0] * 480 + [5.0] * 480


def test_incomplete_codecs_are_refused(codecs: dict[str, Any]) -> None:
    assert "1 tensors are missing (fc_post_a.bias)" in codecs["lost"]
    assert "1 tensors are of another shape (fc_post_a.bias)" in codecs["misshaped"]


def test_the_watermark_is_the_packages(codecs: dict[str, Any]) -> None:
    assert codecs["marks"] == {"same": True, "moved": True}


def test_a_clip_is_encoded_as_the_package_does(codecs: dict[str, Any]) -> None:
    assert codecs["encoded"]["same"]
    assert codecs["encoded"]["different"] > 1
