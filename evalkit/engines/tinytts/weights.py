"""Canonical weights into the network: sizes read off the shapes, then a load that leaves nothing out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from evalkit.engines.tinytts.model import Dimensions, TinyModel
from evalkit.engines.tinytts.text import PHONES
from evalkit.errors import EvalkitError

_LISTED = 4
_LARGEST = 4096  # a size beyond this is damage, not a model


def build(weights: Mapping[str, Tensor]) -> TinyModel:
    """An untrained network of the checkpoint's sizes. A size that cannot be read off is left at its default."""
    usual = Dimensions()

    def size(key: str, dim: int, default: int) -> int:
        tensor = weights.get(key)
        return default if tensor is None or tensor.ndim <= dim else min(int(tensor.shape[dim]), _LARGEST)

    def blocks(prefix: str, default: int) -> int:
        numbers = {key.removeprefix(prefix).split(".")[0] for key in weights if key.startswith(prefix)}
        return min(len(numbers), 64) or default

    return TinyModel(
        Dimensions(
            chunks=size("encoder.to_chunks.weight", 0, usual.chunks),
            width=size("encoder.embedding.weight", 1, usual.width),
            hidden=size("predictor.blocks.0.expand.weight", 0, usual.hidden),
            hints=size("encoder.to_hints.weight", 0, usual.hints),
            encoder_blocks=blocks("encoder.blocks.", usual.encoder_blocks),
            predictor_blocks=blocks("predictor.blocks.", usual.predictor_blocks),
            decoder_blocks=blocks("decoder.blocks.", usual.decoder_blocks),
        )
    )


def load_strictly(model: TinyModel, weights: Mapping[str, Tensor]) -> None:
    """Copy every tensor into the network. Raises EvalkitError naming what is missing, extra, mis-shaped or damaged."""
    wanted = model.state_dict()
    problems = [
        _listed("missing", [key for key in wanted if key not in weights]),
        _listed("extra", [key for key in weights if key not in wanted]),
        _listed("of another shape", [_shapes(k, weights[k], t) for k, t in wanted.items() if _differs(k, t, weights)]),
    ]
    if found := "; ".join(problem for problem in problems if problem):
        raise EvalkitError(f"These weights do not fit tinytts: {found}. Nothing was loaded.")
    chunks = weights["encoder.chunk_phones"]
    if not bool(((chunks >= -1) & (chunks < len(PHONES)) & (chunks == chunks.round())).all()):
        raise EvalkitError(f"'encoder.chunk_phones' holds numbers outside -1..{len(PHONES) - 1}: not a tinytts phone.")
    with torch.no_grad():
        for key, tensor in wanted.items():
            tensor.copy_(weights[key])


def _differs(key: str, wanted: Tensor, weights: Mapping[str, Tensor]) -> bool:
    return key in weights and weights[key].shape != wanted.shape


def _shapes(key: str, given: Tensor, wanted: Tensor) -> str:
    return f"{key} {list(given.shape)} instead of {list(wanted.shape)}"


def _listed(what: str, keys: Sequence[str]) -> str:
    if not keys:
        return ""
    more = f" and {len(keys) - _LISTED} more" if len(keys) > _LISTED else ""
    return f"{len(keys)} {what} ({', '.join(keys[:_LISTED])}{more})"
