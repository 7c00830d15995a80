"""The backbone: a causal language model made of a config.json, with canonical weights loaded strictly into it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evalkit.checkpoints import fingerprint
from evalkit.engines.neutts.adapter import attach
from evalkit.engines.neutts.generation import Sampling, generate, steps
from evalkit.errors import EvalkitError, some
from evalkit.files import digest

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def read_config(folder: Path) -> dict[str, Any]:
    """A folder's config.json. Raises EvalkitError if there is none."""
    path = folder / "config.json"
    try:
        config: Any = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise EvalkitError(
            f"No config.json in {folder}: a NeuTTS backbone needs it and the tokenizer's files; name the folder that "
            "has them with --set backbone=FOLDER."
        ) from error
    except ValueError as error:
        raise EvalkitError(f"{path} is no JSON; copy it from the model that the checkpoint was made of.") from error
    if not isinstance(config, dict):
        raise EvalkitError(f"{path} is no JSON object; copy it from the model that the checkpoint was made of.")
    return config


def read_tokenizer(folder: Path) -> Any:
    """A folder's tokenizer. Raises EvalkitError if there is none."""
    transformers: Any = import_module("transformers")
    try:
        return transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise EvalkitError(
            f"No tokenizer in {folder} that transformers can read: copy the tokenizer's files (tokenizer.json, "
            "tokenizer_config.json) from the model that the checkpoint was made of."
        ) from error


class Backbone:
    """A network of a config's shape. `load` may be called again: the network stays, its weights are replaced."""

    def __init__(self, folder: Path, dtype: str, device: torch.device, adapter: Path | None = None) -> None:
        self.network = empty_network(folder, DTYPES[dtype])
        self._adapter = attach(self.network, adapter) if adapter else None
        self.network.eval().to(device)
        self._loaded: tuple[str, ...] = ()

    def load(self, weights: Mapping[str, Tensor]) -> str:
        """Copy canonical weights into the network; returns the digest of what it now holds, adapter included.

        The head of tied embeddings may be left out; where it is given it must equal them. In bfloat16 the digest is
        that of the rounded weights. Raises EvalkitError, with nothing loaded, for weights that do not fit.
        """
        slots = self._slots()
        check_fit(weights, slots, self.network.config.tie_word_embeddings)
        with torch.no_grad():
            for key in weights:
                slots[key].copy_(weights[key])
        self._loaded = tuple(weights)
        found = fingerprint(self.weights())
        return digest({"weights": found, "adapter": self._adapter}) if self._adapter else found

    def weights(self) -> dict[str, Tensor]:
        """What the network holds under the names that were loaded, float32, without the adapter."""
        slots = self._slots()
        return {key: slots[key].detach().float() for key in self._loaded}

    def generate(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], how: Sampling) -> list[list[int]]:
        return generate(self.network, prompts, seeds, how)

    def steps(self, prompt: Sequence[int], seed: int, how: Sampling) -> Iterator[int]:
        """The tokens of one prompt, as they come."""
        return (int(tokens) for _, tokens in steps(self.network, [prompt], [seed], how))

    def _slots(self) -> dict[str, Tensor]:
        """The network's own tensors by canonical name; an adapter's are left out."""
        return {
            key.replace(".base_layer.", "."): tensor
            for key, tensor in self.network.state_dict().items()
            if ".lora_" not in key
        }


def empty_network(folder: Path, dtype: torch.dtype) -> Any:
    """The network that a folder's config.json describes, with nothing in it. Raises EvalkitError for an unknown one."""
    transformers: Any = import_module("transformers")
    no_init_weights = import_module("transformers.initialization").no_init_weights
    try:
        config = transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True)
        with no_init_weights():  # every tensor is loaded; drawing them would move the global generator
            network = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    except (OSError, ValueError, KeyError) as error:
        raise EvalkitError(
            f"{folder / 'config.json'} names no causal language model that this transformers knows "
            "(NeuTTS-Air is a qwen2); copy it from the model that the checkpoint was made of."
        ) from error
    network.tie_weights()
    return network


def check_fit(weights: Mapping[str, Tensor], slots: Mapping[str, Tensor], tied: bool) -> None:
    """Raise EvalkitError unless weights are all that a network's slots want, in name and shape.

    tied: the head is the embedding, and may be left out of the weights.
    """
    optional = {HEAD} if tied else set()
    problems = [
        _listed("missing", [key for key in slots if key not in weights and key not in optional]),
        _listed("extra", [key for key in weights if key not in slots]),
        _listed("of another shape", [_shapes(k, weights[k], t) for k, t in slots.items() if _differs(k, t, weights)]),
    ]
    if found := "; ".join(problem for problem in problems if problem):
        raise EvalkitError(f"These weights do not fit the backbone of config.json: {found}. Nothing was loaded.")
    if tied and HEAD in weights and not torch.equal(weights[HEAD], weights[EMBEDDING]):
        raise EvalkitError(
            f"The config.json ties '{HEAD}' to '{EMBEDDING}', but these weights differ: merge both alike, "
            "or set tie_word_embeddings to false there. Nothing was loaded."
        )


def _differs(key: str, wanted: Tensor, weights: Mapping[str, Tensor]) -> bool:
    return key in weights and weights[key].shape != wanted.shape


def _shapes(key: str, given: Tensor, wanted: Tensor) -> str:
    return f"{key} {list(given.shape)} instead of {list(wanted.shape)}"


def _listed(what: str, keys: Sequence[str]) -> str:
    return f"{len(keys)} {what} ({some(keys)})" if keys else ""
