"""The kokoro package's network without weight norm, and canonical weights into it: all of them or none."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, remove_weight_norm

from evalkit.engines.kokoro.config import Config
from evalkit.errors import EvalkitError, some

SECTIONS = ("bert", "bert_encoder", "predictor", "decoder", "text_encoder")
# The rest of a StyleTTS2 training file (StyleTTS2 models.py:672-692): none of it speaks with a voice pack.
TRAINING_SECTIONS = (
    "style_encoder", "predictor_encoder", "diffusion", "text_aligner", "pitch_extractor", "mpd", "msd", "wd",
)  # fmt: skip
# A table 0, 1, 2, ... that transformers before 4.31 saved with ALBERT.
COUNTING = "bert.embeddings.position_ids"


@dataclass(frozen=True)
class Sorted:
    """A checkpoint's tensors: those of the network, and the names of sections that were left out."""

    spoken: Mapping[str, Tensor]
    left_out: Mapping[str, int]  # section -> tensors


def construct(config: Config) -> nn.Module:
    """The package's KModel with random weights, on the CPU.

    Its own loader is given an empty checkpoint, so that it has nothing to get wrong (kokoro 0.9.4, model.py:66-75) and
    nothing to download. Raises EvalkitError for a configuration of which no network can be built.
    """
    from kokoro.model import KModel

    # Its random initialisation must not move the global generator.
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        empty = Path(folder) / "empty.pth"
        torch.save({}, empty)
        try:
            model: nn.Module = KModel("hexgrad/Kokoro-82M", config=dict(config.values), model=str(empty))
        except (TypeError, ValueError, KeyError, IndexError, AssertionError, RuntimeError) as error:
            raise EvalkitError(f"No Kokoro network can be built from this config.json: {error}; mend it.") from error
    return model


def build(config: Config) -> nn.Module:
    """A KModel in evaluation mode whose weights are the effective ones: weight norm is gone from it."""
    model = construct(config)
    for module in model.modules():
        _remove_weight_norm(module)
    return model.eval().requires_grad_(False)


def _remove_weight_norm(module: nn.Module) -> None:
    """kokoro 0.9.4 uses the old helper, its repository since June 2025 the new one."""
    if hasattr(module, "weight_g"):
        remove_weight_norm(module)
    elif parametrize.is_parametrized(module, "weight"):
        parametrize.remove_parametrizations(module, "weight")


def sort_out(weights: Mapping[str, Tensor]) -> Sorted:
    """Leave out what a StyleTTS2 checkpoint has beside the network. What else is foreign stays, to be refused."""
    spoken: dict[str, Tensor] = {}
    left_out: dict[str, int] = {}
    for key, tensor in weights.items():
        section = key.partition(".")[0]
        if section in TRAINING_SECTIONS:
            left_out[section] = left_out.get(section, 0) + 1
        elif not (key == COUNTING and _counts(tensor)):
            spoken[key] = tensor
    return Sorted(spoken, left_out)


def _counts(tensor: Tensor) -> bool:
    return torch.equal(tensor.flatten(), torch.arange(tensor.numel(), dtype=tensor.dtype))


def load_strictly(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy every tensor into the network, or raise EvalkitError naming what does not fit and copy nothing.

    The InstanceNorms' weight and bias may be absent: the network was trained without them and the package has them
    for an export only (kokoro 0.9.4, istftnet.py:23); they are then 1 and 0.
    """
    wanted = model.state_dict()
    optional = affine_names(model)
    gone = [section for section in SECTIONS if not any(key.startswith(f"{section}.") for key in weights)]
    present = {key: tensor for key, tensor in wanted.items() if key in weights}
    problems = [
        _listed("whole section", "missing", gone),
        _listed("tensor", "missing", [key for key in wanted if key not in weights and key not in optional]),
        _listed("tensor", "unknown to Kokoro", [key for key in weights if key not in wanted]),
        _listed("tensor", "of another shape", [t for k in present if (t := _shapes(k, weights[k], wanted[k]))]),
        _listed("tensor", "not float32", [key for key in present if weights[key].dtype != torch.float32]),
    ]
    if found := "; ".join(problem for problem in problems if problem):
        raise EvalkitError(f"These weights do not fit Kokoro: {found}. Nothing was loaded.{_advice(weights)}")
    with torch.no_grad():
        for key, tensor in wanted.items():
            if key in weights:
                tensor.copy_(weights[key])
            else:
                tensor.fill_(1.0 if key.endswith("weight") else 0.0)


def affine_names(model: nn.Module) -> frozenset[str]:
    """Names of the InstanceNorms' weights and biases."""
    found = [name for name, module in model.named_modules() if isinstance(module, nn.InstanceNorm1d)]
    return frozenset(f"{name}.{half}" for name in found for half in ("weight", "bias"))


def _advice(weights: Mapping[str, Tensor]) -> str:
    post = weights.get("decoder.generator.conv_post.weight")
    if post is not None and post.ndim == 3 and post.shape[0] == 1:
        return " Its decoder is a HiFi-GAN; Kokoro speaks with StyleTTS2's istftnet decoder only."
    return ""


def _shapes(key: str, given: Tensor, wanted: Tensor) -> str:
    if given.shape == wanted.shape:
        return ""
    return f"{key} {list(given.shape)} instead of {list(wanted.shape)}"


def _listed(what: str, problem: str, names: Sequence[str]) -> str:
    return f"{len(names)} {what}{'s' * (len(names) > 1)} {problem} ({some(names)})" if names else ""


def read_back(model: nn.Module, names: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of these names, from the network; float32 where it computes in float64."""
    state: Mapping[str, Any] = model.state_dict()
    return {name: state[name].float() for name in names}
