"""LoRA adapters as `peft` saves them, folded into the weights of a base."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from evalkit.checkpoints import canonical, non_finite, read_checkpoint
from evalkit.errors import EvalkitError

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
KEY = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_(?P<factor>[AB])\.weight$")
# Settings of peft's LoraConfig under which the update is not scale * B A alone, with the value that turns each off.
UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "use_dora": (False,),
    "bias": ("none",),
    "lora_bias": (False,),
    "fan_in_fan_out": (False,),
    "modules_to_save": ([],),
    "alpha_pattern": ({},),
    "target_parameters": ([],),
    "layer_replication": ([],),
    "trainable_token_indices": ([], {}),
}
SHOWN = 5


@dataclass(frozen=True)
class LowRank:
    """The update of one weight: scale * B A. a: [rank, in] or [rank, in, kernel]; b: [out, rank] or [out, rank, 1]."""

    a: Tensor
    b: Tensor
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight that it belongs to: [out, in] or [out, in, kernel]."""
        return (self.b.shape[0], *self.a.shape[1:])

    def delta(self) -> Tensor:
        """scale * B A, float64, in the shape of the weight. Source: peft `LoraLayer.get_delta_weight`."""
        flat = self.b.double().flatten(1) @ self.a.double().flatten(1)
        return self.scale * flat.reshape(self.shape)


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter on disk: module name ("decoder.proj", without peft's prefix) -> update of its weight."""

    path: Path
    updates: Mapping[str, LowRank]


def read_adapter(folder: Path) -> Adapter:
    """Read a peft adapter folder: `adapter_config.json` and `adapter_model.safetensors`.

    Linear and Conv1d layers, scaled by alpha / rank, or alpha / sqrt(rank) with `use_rslora`. Raises EvalkitError
    for a damaged or incomplete folder, and for settings under which the update would not be scale * B A alone.
    """
    config = _read_config(folder / CONFIG)
    factors: dict[str, dict[str, Tensor]] = {}
    tensors = read_checkpoint(folder / WEIGHTS).tensors
    for key, tensor in tensors.items():
        match = KEY.match(key)
        if match is None:
            raise EvalkitError(f"The adapter {folder} holds '{key}', which is not a LoRA factor of a Linear or Conv1d.")
        factors.setdefault(match["module"], {})[match["factor"]] = tensor
    broken = non_finite(tensors)
    if broken:
        raise EvalkitError(f"The adapter {folder} holds NaN or infinity in {_some(broken)}; train it again.")
    return Adapter(folder, {module: _low_rank(module, pair, config, folder) for module, pair in factors.items()})


def fold_adapter(base: Mapping[str, Tensor], adapter: Adapter) -> dict[str, Tensor]:
    """Canonical weights of the base with every update of the adapter added, float32.

    base: the tensors of a checkpoint in any spelling; weight norm is folded first, since an update of a weight-normed
    layer is one of its effective weight. Raises EvalkitError if the base lacks a target or has it in another shape.
    """
    tensors = dict(canonical(base).tensors)
    absent = [module for module in adapter.updates if f"{module}.weight" not in tensors]
    if absent:
        raise EvalkitError(
            f"The base lacks {len(absent)} of {len(adapter.updates)} modules that the adapter {adapter.path} changes: "
            f"{_some(absent)}; name the base it was trained on."
        )
    for module, update in adapter.updates.items():
        weight = tensors[f"{module}.weight"]
        if tuple(weight.shape) != update.shape:
            raise EvalkitError(
                f"The adapter {adapter.path} changes '{module}' as {list(update.shape)}, but the base has "
                f"{list(weight.shape)}; name the base it was trained on."
            )
        tensors[f"{module}.weight"] = (weight.double() + update.delta()).float()
    return tensors


def _low_rank(module: str, pair: Mapping[str, Tensor], config: Mapping[str, Any], folder: Path) -> LowRank:
    if len(pair) != 2:
        raise EvalkitError(f"The adapter {folder} has lora_{next(iter(pair))} of '{module}' without the other factor.")
    a, b = pair["A"], pair["B"]
    kernel_b = b.shape[2:]
    if a.ndim not in (2, 3) or b.ndim != a.ndim or b.shape[1] != a.shape[0] or any(size != 1 for size in kernel_b):
        raise EvalkitError(
            f"The factors of '{module}' in the adapter {folder} do not fit a Linear or Conv1d: "
            f"lora_A {list(a.shape)}, lora_B {list(b.shape)}."
        )
    rank = a.shape[0]
    if rank != config["r"] and not config.get("rank_pattern"):
        raise EvalkitError(f"The adapter {folder} says rank {config['r']}, but '{module}' has rank {rank}.")
    return LowRank(a, b, config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank))


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EvalkitError(f"{path.parent} is not a peft adapter folder: it has no {CONFIG}.") from error
    except (OSError, ValueError) as error:
        raise EvalkitError(f"The adapter's settings {path} cannot be read ({error}); copy them again.") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise EvalkitError(f"The adapter's settings {path} are not those of a LoRA adapter ('peft_type': 'LORA').")
    for name, low in (("r", 1), ("lora_alpha", 0)):
        value = config.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value < math.inf:
            raise EvalkitError(f"The adapter's settings {path} give no usable '{name}' (found {value!r}).")
    used = [name for name, off in UNSUPPORTED.items() if config.get(name) is not None and config[name] not in off]
    if used:
        raise EvalkitError(f"The adapter's settings {path} use {', '.join(used)}, which evalkit cannot fold yet.")
    return config


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
