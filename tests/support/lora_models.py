"""A small torch model with every kind of layer that takes LoRA, and peft adapters of it with random weights."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from evalkit.errors import EvalkitError
from evalkit.merging.lora_read import read_adapter

WORDS, WIDTH = 11, 8
TARGETS = ["embedding", "linear", "conv", "image", "point"]


class SmallModel(nn.Module):
    """words [batch, time] -> [batch, 2, 6, time]. `linear` is square: a transposed update would fit it too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.conv = nn.Conv1d(WIDTH, 6, 3, padding=1)
        self.image = nn.Conv2d(1, 3, (3, 5), padding=(1, 2))
        self.point = nn.Conv2d(3, 2, 1)

    def forward(self, words: Tensor) -> Tensor:
        hidden = self.norm(torch.tanh(self.linear(self.embedding(words))))
        return self.point(torch.tanh(self.image(self.conv(hidden.transpose(1, 2))[:, None])))


def small_model(seed: int = 0) -> SmallModel:
    torch.manual_seed(seed)
    return SmallModel().eval()


def words() -> Tensor:
    return torch.randint(0, WORDS, (3, 9), generator=torch.Generator().manual_seed(5))


def with_adapter(model: nn.Module, seed: int = 1, name: str = "default", **settings: Any) -> Any:
    """A peft model around a copy of the model; the adapter's tensors are random, none are zero."""
    defaults: dict[str, Any] = {"r": 2, "lora_alpha": 3, "target_modules": TARGETS}
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = get_peft_model(copy.deepcopy(model), LoraConfig(**(defaults | settings)), adapter_name=name)
    randomise(wrapped, name)
    return wrapped.eval()


def randomise(wrapped: Any, name: str) -> None:
    """Give every tensor that the adapter trains a random value."""
    for key, parameter in wrapped.named_parameters():
        if not (parameter.requires_grad or f".{name}" in key) or "original_module" in key:
            continue
        with torch.no_grad():
            change = torch.randn_like(parameter) * 0.3
            lengths = "magnitude" in key  # which are positive
            parameter.copy_(parameter * change.exp() if lengths else parameter + change)


def saved(wrapped: Any, folder: Path, name: str = "default") -> Path:
    """The folder that `save_pretrained` leaves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped.save_pretrained(folder, selected_adapters=[name])
    return folder if name == "default" else folder / name


@torch.no_grad()
def heard(model: nn.Module, weights: Mapping[str, Tensor] | None = None) -> Tensor:
    """What a model answers, with other weights if some are given; they must fit it exactly."""
    if weights is not None:
        model = copy.deepcopy(model)
        model.load_state_dict(weights, strict=True)
    output: Tensor = model(words())
    return output


def refusal(folder: Path) -> str:
    """The one sentence with which an adapter is refused."""
    try:
        read_adapter(folder)
    except EvalkitError as error:
        assert "\n" not in str(error)
        return str(error)
    raise AssertionError("the adapter was read")
