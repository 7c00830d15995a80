"""A LoRA adapter on a running backbone, not merged into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from evalkit.checkpoints import fingerprint
from evalkit.errors import EvalkitError, some
from evalkit.files import digest

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
# What changes or replaces tensors of the base, which a new base would then undo.
_MORE = ("modules_to_save", "trainable_token_indices", "target_parameters", "layer_replication")
# What is written down about an adapter's training or origin and changes nothing that it computes.
_IDLE = {"base_model_name_or_path", "inference_mode", "revision", "peft_version", "auto_mapping", "runtime_config"}


def attach(network: Any, folder: Path) -> str:
    """Put a peft adapter into a network, in place; returns a digest of it.

    The digest covers the adapter's tensors as they are in the network and its settings. Raises EvalkitError for
    anything but plain LoRA, and if a tensor of the file found no place or a place no tensor.
    """
    config = _read_config(folder)
    if not any((folder / name).is_file() for name in WEIGHTS):
        raise EvalkitError(f"The adapter {folder} has no {' or '.join(WEIGHTS)}: save it again with peft.")
    from peft import PeftModel, get_peft_model_state_dict
    from peft.utils import load_peft_weights

    file = load_peft_weights(str(folder), device="cpu")
    try:
        with torch.random.fork_rng(devices=[]):  # peft draws first values for what it then loads
            model = PeftModel.from_pretrained(network, str(folder))
    except (ValueError, RuntimeError, KeyError) as error:
        raise EvalkitError(
            f"The adapter {folder} does not fit this backbone: was it trained on another one?"
        ) from error
    held = get_peft_model_state_dict(model)
    wrong = sorted(file.keys() ^ held.keys())
    wrong += [key for key in file.keys() & held.keys() if not torch.equal(file[key].float(), held[key].float())]
    if wrong:
        raise EvalkitError(
            f"The adapter {folder} does not fit this backbone: {len(wrong)} of its tensors have no counterpart "
            f"({some(wrong)}); was it trained on another one?"
        )
    settings = {key: value for key, value in config.items() if key not in _IDLE}
    return digest({"tensors": fingerprint(held), "settings": settings})


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config: Any = json.loads((folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise EvalkitError(f"No readable {CONFIG} in {folder}: name the folder that peft saved.") from error
    plain = isinstance(config, dict) and config.get("peft_type") == "LORA" and config.get("bias", "none") == "none"
    if not plain or any(config.get(name) for name in _MORE):
        raise EvalkitError(
            f"The adapter {folder} is more than LoRA (peft_type LORA, bias none, and none of {', '.join(_MORE)}): "
            "merge it with peft and evaluate the merged folder."
        )
    assert isinstance(config, dict)
    return config
