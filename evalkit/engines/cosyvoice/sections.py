"""The three networks of CosyVoice as sections of a checkpoint, told apart by their keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from evalkit.engines.base import Layout
from evalkit.errors import EvalkitError, some

SECTIONS = ("llm", "flow", "hift")
# `utils/train_utils.py:202` saves {**state_dict, "epoch": ..., "step": ...}; a discriminator only trains the vocoder.
BOOKKEEPING = ("epoch", "step")
GENERATOR, DISCRIMINATOR = "generator.", "discriminator."

_QWEN = ("llm.model.model.embed_tokens.weight",)
_FLOW = ("input_embedding.weight", "spk_embed_affine_layer.weight", "decoder.estimator.time_mlp.linear_1.weight")
_HIFT = ("m_source.l_linear.weight", "f0_predictor.classifier.weight")

# A checkpoint is one of the files of a model folder, or several of them together.
LAYOUTS = (
    Layout(
        "cosyvoice1-llm",
        ("text_embedding", "text_encoder", "text_encoder_affine_layer", "llm_embedding", "llm", "llm_decoder"),
        ("text_encoder_affine_layer.weight", "speech_embedding.weight", "spk_embed_affine_layer.weight"),
    ),
    Layout("cosyvoice2-llm", ("llm_embedding", "llm", "llm_decoder", "speech_embedding"), _QWEN),
    Layout("cosyvoice3-llm", ("llm", "llm_decoder", "speech_embedding"), _QWEN),
    Layout("cosyvoice1-flow", ("encoder", "encoder_proj", "decoder", "length_regulator"), _FLOW),
    Layout("cosyvoice2-flow", ("encoder", "encoder_proj", "decoder"), _FLOW),
    Layout("cosyvoice3-flow", ("pre_lookahead_layer", "decoder"), _FLOW[:2]),
    Layout("cosyvoice-hift", ("conv_pre", "ups", "resblocks", "conv_post", "m_source", "f0_predictor"), _HIFT),
    Layout("cosyvoice-hift-training", ("generator",), tuple(GENERATOR + key for key in _HIFT)),
)


@dataclass
class Overlay:
    """The networks of a model folder, with sections of checkpoints laid over them.

    networks: section -> its module, without weight norm. Names of tensors are different in different sections.
    """

    networks: Mapping[str, nn.Module]
    given: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    _base: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for network in self.networks.values():
            remove_weight_norm(network)
        names = [name for network in self.networks.values() for name in network.state_dict()]
        if len(set(names)) < len(names):
            raise EvalkitError("Two of CosyVoice's networks share a tensor's name: this version is not known.")

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Lay the checkpoint's sections over the networks; the others become the model folder's again.

        Raises EvalkitError, and changes nothing, for a section given in part, and for tensors that are missing,
        extra, of another shape, or different where the network has one tensor under two names.
        """
        dropped = [key for key in weights if key in BOOKKEEPING or key.startswith(DISCRIMINATOR)]
        named = _plain_names(key for key in weights if key not in dropped)
        states = {section: network.state_dict() for section, network in self.networks.items()}
        given = tuple(s for s in SECTIONS if any(name in named for name in states[s]))
        wanted = {name: tensor for section in given for name, tensor in states[section].items()}
        _check(wanted, {name: weights[key] for name, key in named.items()}, given)
        for section in SECTIONS:
            if section in given:
                # Only what is laid over needs a copy, and that is often one of three.
                self._base.setdefault(section, {k: v.detach().cpu().clone() for k, v in states[section].items()})
                _copy(states[section], {name: weights[named[name]] for name in states[section]})
            elif section in self._base:
                _copy(states[section], self._base.pop(section))
        self.given, self.dropped = given, tuple(dropped)

    def weights(self) -> dict[str, Tensor]:
        """The tensors of the given sections, by the network's own names, float32, on the CPU."""
        return {
            name: tensor.detach().cpu().clone()
            for section in self.given
            for name, tensor in self.networks[section].state_dict().items()
        }


def remove_weight_norm(network: nn.Module) -> None:
    """Make every weight-normed weight a plain one, of the same value: what canonical weights hold."""
    from torch.nn.utils import parametrize
    from torch.nn.utils import remove_weight_norm as remove_legacy

    for module in list(network.modules()):
        for name in list(getattr(module, "parametrizations", {})):
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        if hasattr(module, "weight_g") and hasattr(module, "weight_v"):
            remove_legacy(module)


def _plain_names(keys: Iterable[str]) -> dict[str, str]:
    """Tensor's name in the network -> its key in the checkpoint. A vocoder in training is called `generator`."""
    named: dict[str, str] = {}
    for key in keys:
        name = key.removeprefix(GENERATOR)
        if name in named:
            raise EvalkitError(f"The checkpoint has '{name}' with and without '{GENERATOR}'; remove one of them.")
        named[name] = key
    return named


def _check(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], given: Sequence[str]) -> None:
    if not given:
        raise EvalkitError(
            f"The checkpoint has no tensor of this CosyVoice's {', '.join(SECTIONS)} (its first: {some(list(found))}); "
            "it may be of another version than model_dir."
        )
    shapes = [
        f"{name} {list(found[name].shape)} instead of {list(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in found and found[name].shape != tensor.shape
    ]
    problems = {
        "missing": [name for name in wanted if name not in found],
        "extra": [name for name in found if name not in wanted],
        "of another shape": shapes,
        "different under two names of one tensor": _torn(wanted, found),
    }
    said = "; ".join(f"{len(names)} {what} ({some(names)})" for what, names in problems.items() if names)
    if said:
        raise EvalkitError(f"These weights do not fit CosyVoice's {', '.join(given)}: {said}. Nothing was loaded.")


def _torn(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """Names that share a tensor in the network (`lm_head` and `embed_tokens`) and not in the checkpoint."""
    first: dict[int, str] = {}
    torn = []
    for name, tensor in wanted.items():
        other = first.setdefault(tensor.data_ptr(), name) if tensor.numel() else name
        there = other != name and all(found[n].shape == tensor.shape for n in (name, other) if n in found)
        if there and name in found and other in found and not torch.equal(found[name], found[other]):
            torn.append(f"{other} and {name}")
    return torn


@torch.no_grad()
def _copy(state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, tensor in state.items():
        tensor.copy_(values[name])
