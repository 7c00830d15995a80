"""A small Kokoro of random weights in the release's format, to try the engine without a download."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evalkit.engines.base import Example
from evalkit.engines.kokoro.config import Config, read_config
from evalkit.engines.kokoro.network import SECTIONS, affine_names, construct
from evalkit.engines.kokoro.voice import SHAPE

FRAMES = 3.5  # a symbol; untrained durations are eight times as long
PITCH = 180.0  # Hz; untrained, nothing is voiced
LOUDNESS = 0.3  # what the last weights are multiplied with, for about 0.1 of full scale
TEXTS = (
    "Good morning, Sundaresan.",
    "The train leaves for Thiruvananthapuram at noon.",
    "Yes.",
    "Please send the papers to Lakshmi before Friday, if you can.",
)


def write(folder: Path, seed: int) -> Example:
    """Write config.json, model.pth and voice.pt into the folder."""
    config = small_config()
    paths = {name: folder / name for name in ("config.json", "model.pth", "voice.pt")}
    paths["config.json"].write_text(json.dumps(config.values, ensure_ascii=False), encoding="utf-8")
    torch.save(random_checkpoint(config, seed), paths["model.pth"])
    torch.save(torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)) * 0.3, paths["voice.pt"])
    return Example(
        paths["model.pth"], TEXTS, voice=str(paths["voice.pt"]), settings=(f"config={paths['config.json']}",)
    )


def small_config() -> Config:
    """The release's symbols and hop with a small ALBERT and a generator of long hops.

    The decoder's width is fixed in the package (istftnet.py:398-406), so most of the size stays.
    """
    release = read_config(None)
    bert = {**release.values["plbert"], "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 64}
    generator = {
        **release.values["istftnet"],
        "upsample_rates": [2, 2],
        "upsample_kernel_sizes": [4, 4],
        "gen_istft_n_fft": 300,
        "gen_istft_hop_size": 75,
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3, 5]],
    }
    small = {"n_layer": 1, "plbert": {**bert, "num_hidden_layers": 2}, "istftnet": generator}
    return Config({**release.values, **small}, release.symbols, release.hop)


def random_checkpoint(config: Config, seed: int) -> dict[str, dict[str, Tensor]]:
    """Five sections, `module.` before every name, weight norm as `weight_g` and `weight_v`: what the release has."""
    model = construct(config)
    affine = affine_names(model)
    state = {name: tensor for name, tensor in model.state_dict().items() if name not in affine}
    generator = torch.Generator().manual_seed(seed)
    for name in sorted(state):
        _fill(name, state[name], generator)
    for name in sorted(state):
        if name.endswith("weight_v"):
            _split(state[name.removesuffix("v") + "g"], state[name], generator)
    _aim(state, generator)
    return {
        section: {
            f"module.{name.removeprefix(section + '.')}": t for name, t in state.items() if _within(name, section)
        }
        for section in SECTIONS
    }


def _within(name: str, section: str) -> bool:
    return name.startswith(f"{section}.")


def _fill(name: str, tensor: Tensor, generator: torch.Generator) -> None:
    if tensor.ndim > 1 and "alpha" not in name:
        tensor.normal_(0, 1 / math.sqrt(math.prod(tensor.shape[1:])), generator=generator)
    else:
        centre = 0.0 if name.endswith(("bias", "beta")) or ".bias_" in name else 1.0
        tensor.normal_(centre, 0.05, generator=generator)


def _split(magnitude: Tensor, direction: Tensor, generator: torch.Generator) -> None:
    """A direction has a length of its own, as it has after training."""
    others = list(range(1, direction.ndim))
    magnitude.copy_(direction.norm(dim=others, keepdim=True))
    direction.mul_(torch.rand((), generator=generator) + 0.5)


def _aim(state: Mapping[str, Any], generator: torch.Generator) -> None:
    """Durations, pitch and loudness such as speech has."""
    duration = state["predictor.duration_proj.linear_layer.weight"]
    # A duration is the sum of its bins: only where they agree do symbols differ in length.
    duration.add_(torch.randn(duration.shape[1], generator=generator), alpha=0.08)
    state["predictor.duration_proj.linear_layer.bias"].add_(math.log(FRAMES / (len(duration) - FRAMES)))
    state["predictor.F0_proj.weight"].mul_(20)
    state["predictor.F0_proj.bias"].fill_(PITCH)
    # The generator's last convolution gives logarithms of magnitudes.
    state["decoder.generator.conv_post.weight_g"].mul_(LOUDNESS)
