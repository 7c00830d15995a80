"""The vLLM backend against a stand-in for vllm: what it is asked and what is refused. The real one needs CUDA."""

from __future__ import annotations

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from evalkit.checkpoints import fingerprint
from evalkit.engines.neutts import vllm_backbone
from evalkit.engines.neutts.generation import Sampling
from evalkit.engines.neutts.vllm_backbone import VllmBackbone
from evalkit.errors import EvalkitError

CUDA = torch.device("cuda")
END = 7
WEIGHTS = {"weight": torch.tensor([[0.1, 0.2]])}


class StandIn(ModuleType):
    def __init__(self) -> None:
        super().__init__("vllm")
        self.__spec__ = ModuleSpec("vllm", None)
        self.folders: list[Path] = []
        self.asked: list[Any] = []

    def LLM(self, model: str, **options: Any) -> Any:  # noqa: N802
        self.folders.append(Path(model))
        assert options == {"dtype": "bfloat16", "enable_prefix_caching": False}
        return self

    def SamplingParams(self, **options: Any) -> Any:  # noqa: N802
        return options

    def generate(self, prompts: Any, settings: Any, use_tqdm: bool) -> Any:
        self.asked = list(zip(prompts, settings, strict=True))
        ends = [("stop", [1, 2]), ("length", [3]), ("stop", [4, END])]
        return [SimpleNamespace(outputs=[SimpleNamespace(token_ids=t, finish_reason=r)]) for r, t in ends]


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    module = StandIn()
    monkeypatch.setitem(sys.modules, "vllm", module)
    network = nn.Linear(2, 1, bias=False)
    network.config = SimpleNamespace(tie_word_embeddings=False)
    monkeypatch.setattr(vllm_backbone, "empty_network", lambda folder, dtype: network)
    return module


def backbone(folder: Path) -> VllmBackbone:
    for name in ("config.json", "tokenizer.json", "model.safetensors.index.json"):
        (folder / name).write_text(json.dumps({}))
    return VllmBackbone(folder, "bfloat16", CUDA, None)


def test_it_is_given_a_folder_with_the_weights_in_its_type(vllm: StandIn, tmp_path: Path) -> None:
    model = backbone(tmp_path)
    digest = model.load(WEIGHTS)
    rounded = {"weight": WEIGHTS["weight"].bfloat16().float()}
    assert digest == fingerprint(rounded) == fingerprint(model.weights())
    assert {file.name for file in vllm.folders[0].iterdir()} == {"config.json", "tokenizer.json", "model.safetensors"}
    assert load_file(vllm.folders[0] / "model.safetensors")["weight"].dtype == torch.bfloat16


def test_weights_that_do_not_fit_start_nothing(vllm: StandIn, tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match=r"1 missing \(weight\); 1 extra \(bias\)"):
        backbone(tmp_path).load({"bias": torch.zeros(1)})
    assert not vllm.folders


def test_each_request_has_its_own_seed_and_limit(vllm: StandIn, tmp_path: Path) -> None:
    model = backbone(tmp_path)
    model.load(WEIGHTS)
    how = Sampling(END, 0.8, 20, min_new_tokens=5, max_length=30)
    said = model.generate([[1, 2, 3], [4], [5, 6]], [11, 12, -1], how)
    assert said == [[1, 2, END], [3], [4, END]]
    assert [prompt["prompt_token_ids"] for prompt, _ in vllm.asked] == [[1, 2, 3], [4], [5, 6]]
    assert [settings["seed"] for _, settings in vllm.asked] == [11, 12, 2**63 - 1]
    assert [settings["max_tokens"] for _, settings in vllm.asked] == [27, 29, 28]
    assert all(s["stop_token_ids"] == [END] and s["min_tokens"] == 5 and s["top_k"] == 20 for _, s in vllm.asked)


def test_what_it_cannot_do_is_refused(vllm: StandIn, tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match="runs on CUDA"):
        VllmBackbone(tmp_path, "bfloat16", torch.device("cpu"), None)
    with pytest.raises(EvalkitError, match="takes no adapter"):
        VllmBackbone(tmp_path, "bfloat16", CUDA, tmp_path)
    with pytest.raises(EvalkitError, match="does not stream"):
        backbone(tmp_path).steps([1], 0, Sampling(END))


def test_without_vllm_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match="not installed"):
        VllmBackbone(tmp_path, "bfloat16", CUDA, None)
