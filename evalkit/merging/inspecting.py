"""Inspection of LoRA adapters: alone as what they hold, beside a base as what they do to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from evalkit.checkpoints import CanonicalTensors, Checkpoint, read_checkpoint
from evalkit.checkpoints.inspection.compare import open_checkpoint
from evalkit.errors import EvalkitError
from evalkit.merging.adapted import AdaptedTensors, is_adapter
from evalkit.merging.lora_config import CONFIG, read_settings
from evalkit.merging.lora_read import read_adapter, weights_of


def read_any(path: Path) -> Checkpoint:
    """A checkpoint, or an adapter's factors with its settings beside them. Raises EvalkitError if it is damaged."""
    if not is_adapter(path):
        return read_checkpoint(path)
    adapter, settings = read_adapter(path), read_settings(path)
    ranks = sorted({update.rank for update in adapter.updates.values()})
    extra = {
        "rank": ", ".join(map(str, ranks)),
        "alpha": settings.lora_alpha,
        "modules": len(adapter.updates),
        "whole tensors": len(adapter.copies),
        "base": settings.base_model_name_or_path or "not named",
    }
    factors = read_checkpoint(weights_of(path))
    return replace(factors, path=path, extra=extra, files=(*factors.files, path / CONFIG))


def opener(base: Path | None) -> Callable[[Path], CanonicalTensors]:
    """What opens a model to compare it with others: an adapter as the base with it.

    Raises EvalkitError, when called with an adapter, if there is no base.
    """

    def open_any(path: Path) -> CanonicalTensors:
        if not is_adapter(path):
            return open_checkpoint(path)
        if base is None:
            raise EvalkitError(f"{path} is a LoRA adapter, which is compared by what it does to its base; give --base.")
        return AdaptedTensors(open_checkpoint(base), read_adapter(path))

    return open_any
