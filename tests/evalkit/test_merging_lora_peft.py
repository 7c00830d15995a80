"""Folded adapters against peft's own forward pass, for every setting that evalkit reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lora_models import TARGETS, SmallModel, heard, randomise, saved, small_model, with_adapter
from safetensors.torch import load_file
from torch import Tensor, nn

from evalkit.errors import EvalkitError
from evalkit.merging import fold_adapter, read_adapter
from evalkit.merging.lora import fold_adapters

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "rank pattern": {"rank_pattern": {"linear": 5, "^conv": 1}, "use_rslora": True},
    "alpha pattern": {"alpha_pattern": {"embedding": 7, "im.ge": 1}, "rank_pattern": {"point": 1}},
    "dora": {"use_dora": True},
    "bias of the targets": {"bias": "lora_only"},
    "every bias": {"bias": "all", "target_modules": ["conv"]},
    "bias of the update": {"lora_bias": True, "target_modules": ["linear", "conv", "image", "point"]},
    "modules to save": {"modules_to_save": ["norm", "point"], "target_modules": ["linear", "conv"]},
    "bias and modules to save": {"bias": "all", "modules_to_save": ["norm"], "use_dora": True},
    "orthogonal start": {"init_lora_weights": "orthogonal", "target_modules": ["linear"]},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_folded_base_answers_as_peft_does_beside_it(tmp_path: Path, settings: dict[str, Any]) -> None:
    model = small_model()
    wrapped = with_adapter(model, **settings)
    folded = fold_adapter(model.state_dict(), read_adapter(saved(wrapped, tmp_path)))
    expected = heard(wrapped)
    assert (expected - heard(model)).abs().max() > 0.01, "the adapter does something"
    torch.testing.assert_close(heard(model, folded), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dora", [False, True])
def test_every_kind_of_layer_alone(tmp_path: Path, target: str, dora: bool) -> None:
    model = small_model()
    wrapped = with_adapter(model, target_modules=[target], use_dora=dora)
    folded = fold_adapter(model.state_dict(), read_adapter(saved(wrapped, tmp_path)))
    torch.testing.assert_close(heard(model, folded), heard(wrapped), rtol=1e-5, atol=1e-5)
    changed = {key for key, tensor in folded.items() if not torch.equal(tensor, model.state_dict()[key])}
    assert changed == {f"{target}.weight"}


class Transposed(nn.Module):
    """Hugging Face's Conv1D, which stores its weight [in, out]; square, so that the wrong way round would fit."""

    def __init__(self) -> None:
        from transformers.pytorch_utils import Conv1D

        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.inner = Conv1D(8, 8)
        self.outer = Conv1D(5, 8)

    def forward(self, words: Tensor) -> Tensor:
        output: Tensor = self.outer(torch.tanh(self.inner(self.embedding(words))))
        return output


@pytest.mark.parametrize("dora", [False, True])
def test_weights_that_are_stored_transposed(tmp_path: Path, dora: bool) -> None:
    torch.manual_seed(0)
    model = Transposed().eval()
    wrapped = with_adapter(model, target_modules=["inner", "outer", "embedding"], fan_in_fan_out=True, use_dora=dora)
    folder = saved(wrapped, tmp_path)
    assert json.loads((folder / "adapter_config.json").read_text())["fan_in_fan_out"] is True
    folded = fold_adapter(model.state_dict(), read_adapter(folder))
    torch.testing.assert_close(heard(model, folded), heard(wrapped), rtol=1e-5, atol=1e-5)


def test_an_old_file_and_tensors_under_the_adapters_name(tmp_path: Path) -> None:
    model = small_model()
    wrapped = with_adapter(model, use_dora=True, bias="lora_only")
    folder = saved(wrapped, tmp_path)
    (folder / "adapter_model.safetensors").unlink()
    # As `torch.save(model.state_dict())` names them, with the adapter's name and without `save_pretrained`'s renaming.
    wanted = ("lora_", "base_layer.bias")
    named = {key: tensor for key, tensor in wrapped.state_dict().items() if any(part in key for part in wanted)}
    assert any("lora_A.default.weight" in key for key in named)
    assert any(key.endswith("lora_embedding_A.default") for key in named)
    assert any(key.endswith("lora_magnitude_vector.default.weight") for key in named)
    torch.save(named, folder / "adapter_model.bin")
    folded = fold_adapter(model.state_dict(), read_adapter(folder))
    torch.testing.assert_close(heard(model, folded), heard(wrapped), rtol=1e-5, atol=1e-5)


def test_half_of_an_adapter_is_half_of_its_change(tmp_path: Path) -> None:
    model = small_model()
    wrapped = with_adapter(model, use_dora=True, bias="lora_only")
    adapter = read_adapter(saved(wrapped, tmp_path))
    before, whole = model.state_dict(), fold_adapter(model.state_dict(), adapter)
    half = fold_adapter(before, adapter, weight=0.5)
    for key, tensor in half.items():
        torch.testing.assert_close(tensor, (before[key] + whole[key]) / 2)
    untouched = fold_adapter(before, adapter, weight=0.0)
    assert all(torch.equal(tensor, before[key]) for key, tensor in untouched.items())


def test_two_adapters_with_a_coefficient_for_every_layer(tmp_path: Path) -> None:
    """peft scales an adapter at a layer by `scaling`: there, both are active at once."""
    model = small_model()
    wrapped = with_adapter(model, seed=1, name="dialect")
    wrapped.add_adapter("emotion", wrapped.peft_config["dialect"])
    randomise(wrapped, "emotion")
    folders = [saved(wrapped, tmp_path, name) for name in ("dialect", "emotion")]
    adapters = [read_adapter(folder) for folder in folders]
    rates = {"dialect": {"embedding": 1.0, "linear": 0.5}, "emotion": {"conv": -0.75, "image": 2.0, "linear": 0.25}}
    folded = fold_adapters(
        model.state_dict(),
        [
            (adapter, lambda key, own=rates[name]: own.get(key.removesuffix(".weight"), 0.0))
            for adapter, name in zip(adapters, rates, strict=True)
        ],
    )
    wrapped.base_model.set_adapter(list(rates))
    for name, own in rates.items():
        for target in TARGETS:
            layer = wrapped.base_model.model.get_submodule(target)
            layer.scaling[name] *= own.get(target, 0.0)
    torch.testing.assert_close(heard(model, folded), heard(wrapped), rtol=1e-5, atol=1e-5)
    assert torch.equal(folded["point.weight"], model.state_dict()["point.weight"]), "both coefficients are 0"


class Normed(SmallModel):
    def __init__(self, new_spelling: bool) -> None:
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm if new_spelling else nn.utils.weight_norm
        self.conv = norm(self.conv)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("new_spelling", [False, True])
def test_peft_loses_the_update_of_a_weight_normed_layer_and_folding_does_not(
    tmp_path: Path, new_spelling: bool
) -> None:
    torch.manual_seed(0)
    model = Normed(new_spelling).eval()
    before = heard(model)  # and the old weight norm can be copied only after a forward pass without gradients
    wrapped = with_adapter(model, target_modules=["conv"])
    folded = fold_adapter(model.state_dict(), read_adapter(saved(wrapped, tmp_path)))
    expected = heard(wrapped)
    assert (expected - before).abs().max() > 0.01
    torch.testing.assert_close(heard(small_model(), folded), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(heard(wrapped.merge_and_unload()), before), "peft's merge is the base again"


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_4", "olora"])
def test_a_start_that_changes_the_base_is_refused_because_it_does(tmp_path: Path, start: str) -> None:
    model = small_model()
    wrapped = with_adapter(model, target_modules=["linear"], init_lora_weights=start)
    inside = wrapped.base_model.model.linear.base_layer.weight
    assert not torch.allclose(inside, model.linear.weight, atol=1e-3)
    with pytest.raises(EvalkitError, match="init_lora_weights"):
        read_adapter(saved(wrapped, tmp_path))


def test_a_fold_that_float32_would_lose_is_an_error(tmp_path: Path) -> None:
    model = small_model()
    adapter = read_adapter(saved(with_adapter(model), tmp_path))
    with pytest.raises(EvalkitError, match="too small to change"):
        fold_adapter(model.state_dict(), adapter, weight=1e-12)
    with pytest.raises(EvalkitError, match="not finite"):
        fold_adapter(model.state_dict(), adapter, weight=1e39)
    with pytest.raises(EvalkitError, match="is nan; give a number"):
        fold_adapter(model.state_dict(), adapter, weight=float("nan"))


def test_adapters_that_cancel_leave_the_base(tmp_path: Path) -> None:
    """0.1 + 0.2 - 0.3 is not quite 0, which is no update that was lost."""
    model = small_model()
    adapter = read_adapter(saved(with_adapter(model), tmp_path))
    parts = [(adapter, lambda _, rate=rate: rate) for rate in (0.1, 0.2, -0.3)]
    cancelled = fold_adapters(model.state_dict(), parts)
    assert all(torch.equal(tensor, model.state_dict()[key]) for key, tensor in cancelled.items())


def test_an_integer_tensor_of_a_saved_module_is_taken_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"linear": nn.Linear(4, 4), "norm": nn.BatchNorm1d(4)})
    wrapped = with_adapter(model, target_modules=["linear"], modules_to_save=["norm"])
    wrapped.base_model.model["norm"].modules_to_save["default"].num_batches_tracked.fill_(7)
    folder = saved(wrapped, tmp_path)
    assert "base_model.model.norm.num_batches_tracked" in load_file(folder / "adapter_model.safetensors")
    folded = fold_adapter(model.state_dict(), read_adapter(folder), weight=0.5)
    assert folded["norm.num_batches_tracked"].item() == 7
    untouched = fold_adapter(model.state_dict(), read_adapter(folder), weight=0.0)
    assert untouched["norm.num_batches_tracked"].item() == 0
