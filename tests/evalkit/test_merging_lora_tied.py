"""Adapters of layers that are tied: peft changes one of two layers, a tied checkpoint has one tensor for both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from lora_models import heard, saved, with_adapter
from safetensors.torch import save_file
from torch import Tensor, nn

from evalkit.checkpoints import read_checkpoint
from evalkit.errors import EvalkitError
from evalkit.merging.files import merge_files
from evalkit.merging.recipe import Recipe, make_recipe

WORDS, WIDTH = 11, 8


class Tied(nn.Module):
    """words [batch, time] -> [batch, time, WORDS], by one matrix at both ends."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, WORDS, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, words: Tensor) -> Tensor:
        output: Tensor = self.head(torch.tanh(self.linear(self.embedding(words))))
        return output


def tied() -> Tied:
    torch.manual_seed(0)
    return Tied().eval()


def folded(base: Path, adapter: Path) -> Recipe:
    return make_recipe({"base": str(base), "models": [{"path": str(adapter)}]}, "")


def test_half_of_a_tie_is_refused_because_peft_hears_two_tensors(tmp_path: Path) -> None:
    torch.save(tied().state_dict(), tmp_path / "base.pth")
    wrapped = with_adapter(tied(), target_modules=["embedding"])
    weights = tied().state_dict()
    weights["embedding.weight"] = (
        wrapped.base_model.model.embedding.get_delta_weight("default") + weights["head.weight"]
    )
    weights["head.weight"] = weights["embedding.weight"]
    assert not torch.allclose(heard(tied(), weights), heard(wrapped), atol=0.01)  # a fold would be another model
    for name, settings in (("lora", {"target_modules": ["embedding"]}), ("whole", {"modules_to_save": ["head"]})):
        adapter = saved(with_adapter(tied(), **({"target_modules": ["linear"]} | settings)), tmp_path / name)
        with pytest.raises(EvalkitError, match="in one of the two places where the base uses it"):
            merge_files(folded(tmp_path / "base.pth", adapter), tmp_path / "merged.pth")


def test_both_halves_alike_and_other_layers_answer_as_peft_does(tmp_path: Path) -> None:
    torch.save(tied().state_dict(), tmp_path / "base.pth")
    alike = with_adapter(tied(), target_modules=["embedding", "head"])
    with torch.no_grad():
        embedding, head = alike.base_model.model.embedding, alike.base_model.model.head
        head.lora_A["default"].weight.copy_(embedding.lora_embedding_B["default"].T)
        head.lora_B["default"].weight.copy_(embedding.lora_embedding_A["default"].T)
    for name, wrapped in (("alike", alike), ("other", with_adapter(tied(), target_modules=["linear"]))):
        adapter = saved(wrapped, tmp_path / name)
        merge_files(folded(tmp_path / "base.pth", adapter), tmp_path / f"{name}.pth")
        found = read_checkpoint(tmp_path / f"{name}.pth").tensors
        torch.testing.assert_close(heard(tied(), found), heard(wrapped), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({"tie_word_embeddings": True}, True),
        ({"architectures": ["LlamaForCausalLM"]}, True),  # no output layer in the file, so it is the embedding's
        ({"tie_word_embeddings": False, "architectures": ["LlamaForCausalLM"]}, False),
        ({"architectures": ["BertModel"]}, False),
    ],
)
def test_a_tie_that_only_the_configuration_tells_of(tmp_path: Path, settings: dict[str, object], refused: bool) -> None:
    weights = {key: tensor for key, tensor in tied().state_dict().items() if key != "head.weight"}
    (tmp_path / "base").mkdir()
    save_file(weights, tmp_path / "base" / "model.safetensors")
    (tmp_path / "base" / "config.json").write_text(json.dumps({"vocab_size": WORDS} | settings))
    changed, other = (
        saved(with_adapter(tied(), target_modules=[target]), tmp_path / target) for target in ("embedding", "linear")
    )
    merge_files(folded(tmp_path / "base", other), tmp_path / "other")
    if not refused:
        merge_files(folded(tmp_path / "base", changed), tmp_path / "merged")
        return
    with pytest.raises(EvalkitError, match=r"changes 'embedding\.weight' in one of the two places"):
        merge_files(folded(tmp_path / "base", changed), tmp_path / "merged")
