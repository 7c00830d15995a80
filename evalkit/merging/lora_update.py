"""What a LoRA adapter does to the weights of its base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from evalkit.errors import EvalkitError

# How the weight is stored: [out, in, ...], [in, out] (peft's `fan_in_fan_out`), or an embedding's [words, width].
Storage = Literal["plain", "fan_in_fan_out", "embedding"]


@dataclass(frozen=True)
class LowRank:
    """The update of one layer: scale * B A added to its weight, with DoRA then given a length.

    a: [rank, in] or [rank, in, *kernel]; b: [out, rank] or [out, rank, 1, ...]; of an embedding a [rank, words] and
    b [width, rank]. magnitude: DoRA's length of each output's weights, out numbers in any shape. bias: [out], added to
    the layer's bias times scale (peft's `lora_bias`).
    """

    a: Tensor
    b: Tensor
    scale: float
    storage: Storage = "plain"
    magnitude: Tensor | None = None
    bias: Tensor | None = None

    @property
    def rank(self) -> int:
        return int(self.a.shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight that it belongs to."""
        shape = (self.b.shape[0], *self.a.shape[1:])
        return shape if self.storage == "plain" else shape[::-1]

    def delta(self) -> Tensor:
        """scale * B A, float64, in the shape of the weight.

        Source: Hu et al. 2021 (LoRA), eq. 3; for a convolution, peft 0.21.2 `lora.layer._ConvNd.get_delta_weight`.
        """
        # The scale goes into the small factor: the product is the large tensor.
        flat = (self.scale * self.b.double().flatten(1)) @ self.a.double().flatten(1)
        delta = flat.reshape(self.b.shape[0], *self.a.shape[1:])
        return delta if self.storage == "plain" else delta.T

    def apply(self, weight: Tensor) -> Tensor:
        """The layer's weight with the update, float64: W + s B A, or with DoRA m (W + s B A) / ||W + s B A||.

        The length is taken over the weights of one output (of an embedding: of one column). Source: Liu et al. 2024
        (DoRA), eq. 5, and peft 0.21.2 `lora.variants.Dora*Variant.merge_safe`.
        """
        moved = self.delta().add_(weight)
        if self.magnitude is None:
            return moved
        outputs = moved if self.storage == "plain" else moved.T
        length = outputs.flatten(1).norm(dim=1)
        factor = (self.magnitude.double().flatten() / length).reshape(-1, *[1] * (outputs.ndim - 1))
        scaled: Tensor = factor * outputs
        return scaled if self.storage == "plain" else scaled.T


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter.

    source: its folder, or what it was made from, for messages; updates: module ("decoder.proj", as the adapter spells
    it) -> its update; copies: key -> whole tensor that stands in for the base's (`modules_to_save`, `bias`), float32;
    kept: module -> share of the update's energy (squared singular values) that an SVD left, empty without one.
    """

    source: str
    updates: Mapping[str, LowRank]
    copies: Mapping[str, Tensor] = field(default_factory=dict)
    kept: Mapping[str, float] = field(default_factory=dict)

    def keys(self) -> list[str]:
        """The tensors that it changes, as the adapter spells them: "decoder.proj.weight"."""
        weights = [f"{module}.weight" for module in self.updates]
        biases = [f"{module}.bias" for module, update in self.updates.items() if update.bias is not None]
        return list(dict.fromkeys([*weights, *biases, *self.copies]))

    def delta(self, key: str) -> Tensor | None:
        """What is added to the tensor, float64, before any DoRA length; None if it is only replaced by a copy."""
        module, _, leaf = key.rpartition(".")
        update = self.updates.get(module)
        if update is None:
            return None
        if leaf == "weight":
            return update.delta()
        return None if update.bias is None or leaf != "bias" else update.scale * update.bias.double()

    def apply(self, key: str, tensor: Tensor) -> Tensor:
        """The tensor of base and adapter together, a new float64 tensor, from the base's floating one.

        Raises EvalkitError if the adapter was made for a tensor of another shape.
        """
        module, _, leaf = key.rpartition(".")
        update = self.updates.get(module)
        copy = self.copies.get(key)
        shapes = [copy.shape] if copy is not None else []
        if update is not None and leaf == "weight":
            shapes.append(torch.Size(update.shape))
        elif update is not None and leaf == "bias" and update.bias is not None:
            shapes.append(update.bias.shape)
        for shape in shapes:
            if shape != tensor.shape:
                raise EvalkitError(
                    f"The adapter {self.source} changes '{key}' as {list(shape)}, but the base has "
                    f"{list(tensor.shape)}; name the base it was trained on."
                )
        start = tensor if copy is None else copy
        if update is not None and leaf == "weight":
            return update.apply(start)
        delta = self.delta(key)
        whole = start.to(torch.float64, copy=True)
        return whole if delta is None else whole.add_(delta)


def require_plain(adapter: Adapter, wish: str) -> None:
    """Raise EvalkitError unless the adapter is nothing but low-rank updates, which do not depend on a base.

    wish: what cannot be done otherwise, "combined with another".
    """
    beside = {f"{module}.weight" for module in adapter.updates}
    extra = {
        "the base's own embedding, which peft saves beside its update ('save_embedding_layers')": any(
            key in beside for key in adapter.copies
        ),
        "whole tensors ('modules_to_save' or 'bias')": any(key not in beside for key in adapter.copies),
        "DoRA lengths ('use_dora')": any(update.magnitude is not None for update in adapter.updates.values()),
        "biases ('lora_bias')": any(update.bias is not None for update in adapter.updates.values()),
    }
    found = [name for name, there in extra.items() if there]
    if found:
        raise EvalkitError(
            f"The adapter {adapter.source} holds {' and '.join(found)} and so cannot be {wish}; fold it into its base "
            "and work with the folded weights."
        )
