"""Write a LoRA adapter as `peft` reads it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from torch import Tensor

from evalkit.checkpoints import write_checkpoint
from evalkit.errors import EvalkitError
from evalkit.files import disk_errors, write_json
from evalkit.merging.lora_config import CONFIG
from evalkit.merging.lora_read import PREFIX, WEIGHTS
from evalkit.merging.lora_update import Adapter, require_plain


def write_adapter(folder: Path, adapter: Adapter, base_name: str) -> None:
    """Write `adapter_model.safetensors` and `adapter_config.json`, which `PeftModel.from_pretrained` loads.

    base_name: what the adapter belongs to, a path relative to the folder or a name on a hub. The settings are written
    last, and old ones removed first: a folder that has settings has the weights that go with them. Raises EvalkitError
    if the adapter holds more than low-rank updates, or the folder cannot be written.
    """
    require_plain(adapter, "written")
    settings = _settings(adapter, base_name)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).unlink(missing_ok=True)
    write_checkpoint(folder / WEIGHTS, _tensors(adapter))
    write_json(folder / CONFIG, settings)


def _tensors(adapter: Adapter) -> dict[str, Tensor]:
    tensors = {}
    for module, update in adapter.updates.items():
        embedding = update.storage == "embedding"
        for factor, tensor in (("A", update.a), ("B", update.b)):
            name = f"lora_embedding_{factor}" if embedding else f"lora_{factor}.weight"
            tensors[f"{PREFIX}{module}.{name}"] = tensor
    return tensors


def _settings(adapter: Adapter, base_name: str) -> dict[str, Any]:
    """LoraConfig's fields; the commonest rank and alpha are the default, the others stand in the patterns."""
    if not adapter.updates:
        raise EvalkitError(f"The adapter {adapter.source} has no updates, so there is nothing to write.")
    ranks = {module: update.rank for module, update in adapter.updates.items()}
    alphas = {module: _number(update.scale * update.rank) for module, update in adapter.updates.items()}
    rank, alpha = (Counter(values.values()).most_common(1)[0][0] for values in (ranks, alphas))
    return {
        "peft_type": "LORA",
        "base_model_name_or_path": base_name,
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {_pattern(module): value for module, value in ranks.items() if value != rank},
        "alpha_pattern": {_pattern(module): value for module, value in alphas.items() if value != alpha},
        "target_modules": list(adapter.updates),
        "fan_in_fan_out": _fan_in_fan_out(adapter),
        "bias": "none",
        "lora_dropout": 0.0,
        "init_lora_weights": True,
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "task_type": None,
        "inference_mode": True,
    }


def _fan_in_fan_out(adapter: Adapter) -> bool:
    """peft has one setting for all Linear layers."""
    flat = {update.storage for update in adapter.updates.values() if update.a.ndim == 2} - {"embedding"}
    if len(flat) > 1:
        raise EvalkitError(
            f"The adapter {adapter.source} has weights stored [out, in] and [in, out], which one peft adapter cannot "
            "hold; fold it into its base instead."
        )
    return flat == {"fan_in_fan_out"}


def _pattern(module: str) -> str:
    """Matches this module alone: without the anchor peft would also take every name that ends like it."""
    return f"^{re.escape(module)}"


def _number(alpha: float) -> float | int:
    return int(alpha) if float(alpha).is_integer() else alpha
