"""LoRA adapters: peft's formula computed in numpy, and the adapters that must not be folded."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from evalkit.checkpoints import canonical
from evalkit.errors import EvalkitError
from evalkit.merging import fold_adapter, read_adapter

RANK, ALPHA = 2, 5
PREFIX = "base_model.model."


def base() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "encoder.proj.weight": torch.randn(6, 4, generator=generator),
        "encoder.proj.bias": torch.randn(6, generator=generator),
        "decoder.conv.weight_g": torch.rand(5, 1, 1, generator=generator) + 0.5,
        "decoder.conv.weight_v": torch.randn(5, 4, 3, generator=generator),
    }


def factors(rank: int = RANK) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        f"{PREFIX}encoder.proj.lora_A.weight": torch.randn(rank, 4, generator=generator),
        f"{PREFIX}encoder.proj.lora_B.weight": torch.randn(6, rank, generator=generator),
        f"{PREFIX}decoder.conv.lora_A.weight": torch.randn(rank, 4, 3, generator=generator),
        f"{PREFIX}decoder.conv.lora_B.weight": torch.randn(5, rank, 1, generator=generator),
    }


def adapter(folder: Path, tensors: dict[str, Tensor] | None = None, **settings: Any) -> Path:
    """A folder as peft's save_pretrained leaves it, with the fields that LoraConfig writes."""
    config = {
        "peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "lora_dropout": 0.0, "target_modules": ["proj", "conv"],
        "bias": "none", "use_dora": False, "use_rslora": False, "fan_in_fan_out": False, "modules_to_save": None,
        "rank_pattern": {}, "alpha_pattern": {}, "lora_bias": False, "layer_replication": None,
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(config | settings))
    save_file(factors() if tensors is None else tensors, folder / "adapter_model.safetensors")
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(EvalkitError) as raised:
        read_adapter(folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("rslora", [False, True])
def test_folding_is_pefts_formula(tmp_path: Path, rslora: bool) -> None:
    folded = fold_adapter(base(), read_adapter(adapter(tmp_path / "a", use_rslora=rslora)))
    before = {key: tensor.numpy() for key, tensor in canonical(base()).tensors.items()}
    scale = ALPHA / (math.sqrt(RANK) if rslora else RANK)
    lora = {key.removeprefix(PREFIX): tensor.double().numpy() for key, tensor in factors().items()}
    linear = before["encoder.proj.weight"] + scale * (
        lora["encoder.proj.lora_B.weight"] @ lora["encoder.proj.lora_A.weight"]
    )
    # A Conv1d of width 1 after a Conv1d is a matrix product at every tap of the kernel.
    b = lora["decoder.conv.lora_B.weight"][:, :, 0]
    taps = [b @ lora["decoder.conv.lora_A.weight"][:, :, tap] for tap in range(3)]
    conv = before["decoder.conv.weight"] + scale * np.stack(taps, axis=-1)
    np.testing.assert_allclose(folded["encoder.proj.weight"].numpy(), linear, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(folded["decoder.conv.weight"].numpy(), conv, rtol=1e-6, atol=1e-6)
    assert torch.equal(folded["encoder.proj.bias"], base()["encoder.proj.bias"])
    assert set(folded) == set(before)
    assert all(tensor.dtype == torch.float32 for tensor in folded.values())


def test_folding_equals_running_the_adapter_beside_the_layer(tmp_path: Path) -> None:
    """y = W x + scale * B(A x), which is what peft computes before merging."""
    folded = fold_adapter(base(), read_adapter(adapter(tmp_path / "a")))
    weight, lora, x = canonical(base()).tensors["decoder.conv.weight"], factors(), torch.randn(2, 4, 20)
    down = torch.nn.functional.conv1d(x, lora[f"{PREFIX}decoder.conv.lora_A.weight"], padding=1)
    up = torch.nn.functional.conv1d(down, lora[f"{PREFIX}decoder.conv.lora_B.weight"])
    beside = torch.nn.functional.conv1d(x, weight, padding=1) + ALPHA / RANK * up
    inside = torch.nn.functional.conv1d(x, folded["decoder.conv.weight"], padding=1)
    torch.testing.assert_close(inside, beside, rtol=1e-4, atol=1e-4)


def test_a_rank_of_its_own_needs_a_rank_pattern(tmp_path: Path) -> None:
    assert "has rank 3" in refusal(adapter(tmp_path / "a", factors(rank=3)))
    read = read_adapter(adapter(tmp_path / "a", factors(rank=3), rank_pattern={"proj": 3, "conv": 3}))
    assert {update.scale for update in read.updates.values()} == {ALPHA / 3}


def test_the_base_must_have_every_target(tmp_path: Path) -> None:
    read = read_adapter(adapter(tmp_path / "a"))
    without = {key: tensor for key, tensor in base().items() if not key.startswith("encoder")}
    with pytest.raises(EvalkitError, match=r"lacks 1 of 2 modules .*: encoder\.proj"):
        fold_adapter(without, read)
    with pytest.raises(EvalkitError, match=r"'encoder\.proj' as \[6, 4\], but the base has \[6, 5\]"):
        fold_adapter(base() | {"encoder.proj.weight": torch.zeros(6, 5)}, read)


@pytest.mark.parametrize(
    "settings",
    [
        {"use_dora": True},
        {"bias": "lora_only"},
        {"modules_to_save": ["embedding"]},
        {"alpha_pattern": {"proj": 3}},
        {"fan_in_fan_out": True},
        {"target_parameters": ["experts.weight"]},
    ],
)
def test_settings_that_change_the_formula_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert next(iter(settings)) in refusal(adapter(tmp_path / "a", **settings))


def test_bad_folders(tmp_path: Path) -> None:
    assert "not a peft adapter folder" in refusal(tmp_path)
    folder = adapter(tmp_path / "a")
    (folder / "adapter_model.safetensors").unlink()
    assert "does not exist" in refusal(folder)
    (folder / "adapter_config.json").write_text("{")
    assert "cannot be read" in refusal(folder)
    assert "not those of a LoRA adapter" in refusal(adapter(tmp_path / "a", peft_type="IA3"))
    for rank in (0, None, "8", True, float("nan")):
        assert "no usable 'r'" in refusal(adapter(tmp_path / "a", r=rank))


def test_bad_tensors(tmp_path: Path) -> None:
    linear = {key: tensor for key, tensor in factors().items() if "proj" in key}
    half = {key: tensor for key, tensor in linear.items() if "lora_A" in key}
    assert "lora_A of 'encoder.proj' without" in refusal(adapter(tmp_path / "a", half))
    assert "lora_embedding_A" in refusal(
        adapter(tmp_path / "a", linear | {f"{PREFIX}e.lora_embedding_A": torch.ones(2)})
    )
    name = f"{PREFIX}encoder.proj.lora_B.weight"
    assert "do not fit" in refusal(adapter(tmp_path / "a", linear | {name: torch.ones(6, 3)}))
    assert "NaN" in refusal(adapter(tmp_path / "a", linear | {name: torch.full((6, RANK), float("nan"))}))
