"""Read a LoRA adapter as `peft` saves it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from evalkit.checkpoints import canonical, non_finite, read_checkpoint
from evalkit.errors import EvalkitError, some
from evalkit.merging.lora_config import Settings, read_settings, refuse_undefined
from evalkit.merging.lora_update import Adapter, LowRank, Storage

WEIGHTS = "adapter_model.safetensors"
OLD_WEIGHTS = "adapter_model.bin"
PREFIX = "base_model.model."
# The adapter's name ("default") stands between factor and leaf in files that were saved past `save_pretrained`.
FACTOR = re.compile(
    r"^(?P<module>.+)\.lora_(?P<factor>A|B|embedding_A|embedding_B|magnitude_vector)"
    r"(?:\.(?!weight$|bias$)[^.]+)?(?:\.(?P<leaf>weight|bias))?$"
)
# What peft's wrappers put into the name of a tensor that is saved whole.
WRAPPERS = re.compile(r"\.base_layer(?=\.)|\.modules_to_save(?:\.default)?(?=\.)")
UNUSED = ".original_module."
DIMENSIONS = (2, 3, 4, 5)  # Linear and Embedding, Conv1d, Conv2d, Conv3d


def read_adapter(folder: Path) -> Adapter:
    """Read a peft adapter folder: `adapter_config.json` and `adapter_model.safetensors` or `adapter_model.bin`.

    Linear, Conv and Embedding layers, scaled by alpha / rank or, with `use_rslora`, alpha / sqrt(rank), with ranks and
    alphas of their own by `rank_pattern` and `alpha_pattern`; `fan_in_fan_out`, `use_dora`, `lora_bias`, and whole
    tensors of `modules_to_save` and `bias`. Raises EvalkitError for a damaged or incomplete folder, and, naming the
    setting, for one under which base and adapter do not determine the weights.
    """
    settings = read_settings(folder)
    refuse_undefined(folder, settings)
    tensors = read_checkpoint(weights_of(folder)).tensors
    broken = non_finite(tensors)
    if broken:
        raise EvalkitError(f"The adapter {folder} holds NaN or infinity in {some(broken)}; train it again.")
    factors, copies = _sort(tensors, folder)
    updates = {module: _low_rank(module, parts, settings, folder) for module, parts in factors.items()}
    return Adapter(str(folder), updates, canonical(copies).tensors)


def weights_of(folder: Path) -> Path:
    """The file of an adapter's weights; the old format where there is only that."""
    old = not (folder / WEIGHTS).exists() and (folder / OLD_WEIGHTS).exists()
    return folder / (OLD_WEIGHTS if old else WEIGHTS)


def _sort(tensors: Mapping[str, Tensor], folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Tensor]]:
    """(module -> factor -> tensor, key -> whole tensor), both without what peft adds to the names."""
    factors: dict[str, dict[str, Tensor]] = {}
    copies: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        short = WRAPPERS.sub("", key.removeprefix(PREFIX))
        match = FACTOR.match(short)
        if match is not None:
            part = match["factor"] if match["leaf"] != "bias" else f"{match['factor']}.bias"
            place, name = factors.setdefault(match["module"], {}), part
        elif UNUSED in short:  # the base's own tensor, beside the one of `modules_to_save` that replaces it
            continue
        elif "lora_" in short or ".token_adapter." in short:
            raise EvalkitError(f"The adapter {folder} holds '{key}', which is no part of a LoRA that evalkit knows.")
        else:
            place, name = copies, short
        if name in place and not torch.equal(place[name], tensor):
            raise EvalkitError(
                f"The adapter {folder} holds '{key}' twice, under two adapters' names; save one adapter to a folder."
            )
        place[name] = tensor
    return factors, copies


def _low_rank(module: str, parts: Mapping[str, Tensor], settings: Settings, folder: Path) -> LowRank:
    embedding = "embedding_A" in parts or "embedding_B" in parts
    names = ("embedding_A", "embedding_B") if embedding else ("A", "B")
    _check_parts(module, parts, names, settings, folder)
    a, b = parts[names[0]], parts[names[1]]
    magnitude, bias = parts.get("magnitude_vector"), parts.get("B.bias")
    fits = (
        a.is_floating_point()
        and b.is_floating_point()
        and a.ndim in (DIMENSIONS[:1] if embedding else DIMENSIONS)
        and b.ndim == a.ndim
        and b.shape[1] == a.shape[0]
        and all(size == 1 for size in b.shape[2:])
        and all(extra is None or extra.numel() == b.shape[0] for extra in (magnitude, bias))
    )
    if not fits:
        raise EvalkitError(
            f"The factors of '{module}' in the adapter {folder} do not fit a Linear, an Embedding or a Conv with one "
            f"group: {', '.join(f'lora_{name} {list(tensor.shape)}' for name, tensor in parts.items())}."
        )
    rank = settings.rank_of(module)
    if a.shape[0] != rank:
        raise EvalkitError(f"The adapter {folder} says rank {rank}, but '{module}' has rank {a.shape[0]}.")
    storage: Storage = "embedding" if embedding else "plain"
    if not embedding and a.ndim == DIMENSIONS[0] and settings.fan_in_fan_out:
        storage = "fan_in_fan_out"
    return LowRank(a, b, settings.scale_of(module), storage, magnitude, None if bias is None else bias.flatten())


def _check_parts(
    module: str, parts: Mapping[str, Tensor], names: Iterable[str], settings: Settings, folder: Path
) -> None:
    """Raise EvalkitError unless a module has both factors, and what goes with them exactly if the settings say so."""
    expected = dict.fromkeys(names, True)
    expected["magnitude_vector"] = bool(settings.use_dora)
    expected["B.bias"] = bool(settings.lora_bias) and "A" in expected
    absent = [name for name, wanted in expected.items() if wanted and name not in parts]
    if absent:
        raise EvalkitError(
            f"The adapter {folder} has {_spelled(parts)} of '{module}' without {_spelled(absent)}; copy it again."
        )
    extra = [name for name in parts if not expected.get(name)]
    if extra:
        raise EvalkitError(
            f"The adapter {folder} has {_spelled(extra)} of '{module}', which its settings do not mention; use the "
            "adapter_config.json that belongs to it."
        )


def _spelled(names: Iterable[str]) -> str:
    return ", ".join(f"lora_{name}" for name in names)
