"""A base with a LoRA adapter as one more parent of a merge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evalkit.checkpoints import CanonicalTensors, Origin
from evalkit.errors import EvalkitError
from evalkit.merging.align import BASE
from evalkit.merging.lora import Adapter, folded_tensor
from evalkit.merging.lora_config import CONFIG
from evalkit.merging.lora_match import spelled_as_base
from evalkit.merging.ties import find_ties


def is_adapter(path: Path) -> bool:
    """True for a folder as peft saves an adapter."""
    return (path / CONFIG).is_file()


class AdaptedTensors(CanonicalTensors):
    """Canonical tensors of a base with an adapter folded in, each made at its access.

    Raises EvalkitError when made if the base lacks a tensor that the adapter changes.
    """

    def __init__(self, base: CanonicalTensors, adapter: Adapter) -> None:
        self._base = base
        self._adapter = adapter
        self._names = spelled_as_base(adapter.keys(), base.origins, adapter.source)
        self.stripped: tuple[str, ...] = ()
        self.origins = {key: self._origin(key) for key in base}
        self.folded = tuple(key for key, origin in self.origins.items() if origin.folded)

    def __getitem__(self, key: str) -> Tensor:
        start = self._base[key]
        return folded_tensor(key, start, [(self._adapter, self._names[key], 1.0)]) if key in self._names else start

    def stored(self, key: str) -> tuple[Tensor, ...]:
        return (self[key],) if key in self._names else self._base.stored(key)

    def changes(self, key: str) -> bool:
        """Whether the adapter has something for a key of the base."""
        return key in self._names

    def _origin(self, key: str) -> Origin:
        origin = self._base.origins[key]
        return Origin((key,), origin.shape, _canonical_type(origin)) if key in self._names else origin


def _canonical_type(origin: Origin) -> torch.dtype:
    return torch.float32 if origin.dtype.is_floating_point else origin.dtype


def check_ties(base: CanonicalTensors, adapted: AdaptedTensors, source: Path, settings: Mapping[str, Any]) -> None:
    """Raise EvalkitError if an adapter changes a tied tensor under one of its names and not, alike, under the others.

    peft changes the one layer that it wraps and leaves the other at the base's weights; a tied checkpoint has one
    tensor for both, so it cannot hold that. settings: the base's `config.json`, empty if it has none.
    """
    pairs = [*find_ties({BASE: base}, base).items(), *_tied_by_settings(base, settings)]
    for key, head in pairs:
        changed = next((name for name in (head, key) if adapted.changes(name)), None)
        if changed is not None and (
            key == head or not torch.allclose(adapted[key], adapted[head], rtol=1e-5, atol=1e-7)
        ):
            raise EvalkitError(
                f"The adapter {source} changes '{changed}' in one of the two places where the base uses it (tied), "
                "which no tied checkpoint can hold; untie the base and name that, or leave this layer out of it."
            )


def _tied_by_settings(base: CanonicalTensors, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Embedding and output layer that transformers ties; the embedding with itself where the file has no other.

    Settings that do not say so mean a tie if a causal language model has no output layer of its own.
    """
    words = settings.get("vocab_size")
    tables = [key for key in base if len(base.shape(key)) == 2 and base.shape(key)[0] == words]
    causal = any(str(name).endswith("ForCausalLM") for name in settings.get("architectures") or ())
    if not tables or settings.get("tie_word_embeddings", causal and len(tables) == 1) is not True:
        return []
    return [(key, tables[0]) for key in tables[1:] or tables]
