"""A base with a LoRA adapter as one more parent of a merge."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from evalkit.checkpoints import CanonicalTensors, Origin
from evalkit.merging.lora import Adapter, folded_tensor
from evalkit.merging.lora_config import CONFIG
from evalkit.merging.lora_match import spelled_as_base


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

    def _origin(self, key: str) -> Origin:
        origin = self._base.origins[key]
        return Origin((key,), origin.shape, _canonical_type(origin)) if key in self._names else origin


def _canonical_type(origin: Origin) -> torch.dtype:
    return torch.float32 if origin.dtype.is_floating_point else origin.dtype
