"""Canonical weights and fingerprints."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils import weight_norm as old_weight_norm

from evalkit.checkpoints import (
    CanonicalTensors,
    canonical,
    fingerprint,
    non_finite,
    read_checkpoint,
    write_checkpoint,
)
from evalkit.errors import EvalkitError


def layer(kind: str) -> nn.Module:
    torch.manual_seed(0)
    return {
        "linear": lambda: nn.Linear(5, 3),
        "conv": lambda: nn.Conv1d(4, 6, 3),
        "transposed": lambda: nn.ConvTranspose1d(4, 6, 3),
        "one channel": lambda: nn.Conv1d(1, 1, 3),
    }[kind]()


@pytest.mark.parametrize("kind", ["linear", "conv", "transposed", "one channel"])
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("spelling", ["old", "new"])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_folding_gives_the_weight_that_torch_computes(kind: str, dim: int | None, spelling: str) -> None:
    module = (old_weight_norm if spelling == "old" else parametrizations.weight_norm)(layer(kind), dim=dim)
    with torch.no_grad():
        for parameter in module.parameters():  # so that magnitude and direction no longer agree
            parameter.mul_(1.7).add_(0.1)
    module(torch.zeros(1, *{"linear": (5,), "one channel": (1, 9)}.get(kind, (4, 9))))  # the old one computes here
    result = canonical(module.state_dict())
    assert result.folded == ("weight",)
    assert set(result.tensors) == {"weight", "bias"}
    torch.testing.assert_close(result.tensors["weight"], module.weight.detach(), rtol=1e-6, atol=1e-7)


def test_folding_in_numbers() -> None:
    tensors = {"c.weight_g": torch.tensor([[10.0], [1.0]]), "c.weight_v": torch.tensor([[3.0, 4.0], [0.0, -2.0]])}
    assert canonical(tensors).tensors["c.weight"].tolist() == [[6.0, 8.0], [0.0, -1.0]]


def test_prefixes_are_stripped_and_reported() -> None:
    ones = torch.ones(1)
    result = canonical(
        {"module.a.b": ones, "bert.module.x": ones, "module.bert.module.y": ones, "bert.in_module.z": ones}
    )
    assert list(result.tensors) == ["a.b", "bert.x", "bert.y", "bert.in_module.z"]
    assert result.stripped == ("module.a.b", "bert.module.x", "module.bert.module.y")


def test_floats_become_float32_and_integers_stay() -> None:
    tensors = {str(dtype): torch.ones(2, dtype=dtype) for dtype in (torch.float16, torch.bfloat16, torch.float64)}
    result = canonical(tensors | {"steps": torch.tensor(3), "flag": torch.tensor(True)})
    types = {key: tensor.dtype for key, tensor in result.tensors.items()}
    assert types.pop("steps") == torch.int64
    assert types.pop("flag") == torch.bool
    assert set(types.values()) == {torch.float32}


@pytest.mark.parametrize(
    "key", ["x.weight_g", "x.weight_v", "x.parametrizations.weight.original0", "x.parametrizations.weight.original1"]
)
def test_half_of_a_weight_norm_is_named(key: str) -> None:
    with pytest.raises(EvalkitError, match=f"'x.weight' has '{key}' but no"):
        canonical({key: torch.ones(2, 2)})


def test_shapes_that_do_not_fit_are_named() -> None:
    for shape in ([3, 1], [1, 1], [2], [2, 3]):
        with pytest.raises(EvalkitError, match=r"weight norm of 'x\.weight' does not fit"):
            canonical({"x.weight_g": torch.ones(shape), "x.weight_v": torch.ones(2, 3)})


def test_spectral_norm_is_no_weight_norm() -> None:
    module = nn.utils.spectral_norm(nn.Linear(3, 2))  # keeps a buffer called weight_v
    assert set(canonical(module.state_dict()).tensors) == {"weight_orig", "weight_u", "weight_v", "bias"}


def test_two_tensors_of_one_canonical_name() -> None:
    ones = torch.ones(2, 2)
    for tensors in (
        {"module.a": ones, "a": ones},
        {"x.weight": ones, "x.weight_g": ones[:, :1], "x.weight_v": ones},
        {"x.weight_g": ones[:, :1], "x.weight_v": ones, "x.weight": ones},
    ):
        with pytest.raises(EvalkitError, match="canonical name"):
            canonical(tensors)


def test_doing_it_twice_changes_nothing() -> None:
    tensors = {"a.module.weight_g": torch.rand(3, 1), "a.module.weight_v": torch.randn(3, 2), "b": torch.ones(1).half()}
    once = canonical(tensors).tensors
    twice = canonical(once)
    assert twice.tensors.keys() == once.keys()
    assert all(torch.equal(twice.tensors[key], once[key]) for key in once)
    assert twice.folded == twice.stripped == ()


def example() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "encoder.conv.weight_g": torch.rand(4, 1, 1, generator=generator),
        "encoder.conv.weight_v": torch.randn(4, 3, 2, generator=generator),
        "decoder.step": torch.tensor(3),
        "decoder.scale": torch.tensor(0.5),
        "decoder.mask": torch.tensor([True, False]),
    }


def test_the_fingerprint_is_of_content_alone(tmp_path: Path) -> None:
    weights = example()
    write_checkpoint(tmp_path / "nested.pth", weights, sections=("encoder", "decoder"))
    write_checkpoint(tmp_path / "flat.pt", dict(reversed(weights.items())))
    write_checkpoint(tmp_path / "a.safetensors", weights)
    new = {"encoder.module.conv.parametrizations.weight.original0": weights["encoder.conv.weight_g"]}
    new |= {"encoder.module.conv.parametrizations.weight.original1": weights["encoder.conv.weight_v"]}
    new |= {f"module.{key}": tensor for key, tensor in weights.items() if key.startswith("decoder")}
    prints = {fingerprint(read_checkpoint(path).tensors) for path in tmp_path.iterdir()}
    assert prints | {fingerprint(new), fingerprint(canonical(weights).tensors)} == {fingerprint(weights)}
    assert len(fingerprint(weights)) == 64


@pytest.mark.parametrize("key", sorted(example()))
def test_any_change_changes_the_fingerprint(key: str) -> None:
    weights = example()
    before = fingerprint(weights)
    changed = weights[key].clone()
    flat = changed.view(-1)
    flat[0] = ~flat[0] if changed.dtype == torch.bool else flat[0] + 1
    assert fingerprint(weights | {key: changed}) != before
    renamed = {("q" + name if name == "decoder.scale" else name): tensor for name, tensor in weights.items()}
    assert fingerprint(renamed) != before


def test_shape_and_type_count_for_the_fingerprint() -> None:
    zeros = torch.zeros(2, 3)
    variants = [zeros, zeros.reshape(3, 2), zeros.reshape(6), zeros.to(torch.int32), torch.zeros(6, 1)]
    assert len({fingerprint({"w": tensor}) for tensor in variants}) == len(variants)


def test_one_bit_counts_and_memory_order_does_not() -> None:
    weight = torch.randn(4, 5)
    flipped = weight.clone()
    flipped.view(torch.int32)[2, 2] ^= 1
    assert fingerprint({"w": flipped}) != fingerprint({"w": weight})
    assert fingerprint({"w": weight.t().contiguous().t()}) == fingerprint({"w": weight})


def test_non_finite_names_the_keys() -> None:
    tensors = {"ok": torch.ones(2), "nan": torch.tensor([1.0, float("nan")]), "inf": torch.tensor(float("-inf"))}
    assert non_finite(tensors | {"count": torch.tensor(3)}) == ["nan", "inf"]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100.0))
def test_the_scale_of_the_direction_does_not_matter(seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    g, v = torch.rand(3, 1, generator=generator), torch.randn(3, 4, generator=generator)
    one = canonical({"weight_g": g, "weight_v": v}).tensors["weight"]
    other = canonical({"weight_g": g, "weight_v": v.double() * scale}).tensors["weight"]
    torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


class Counted(dict[str, Tensor]):
    """Counts how often tensors are taken out."""

    taken = 0

    def __getitem__(self, key: str) -> Tensor:
        self.taken += 1
        return super().__getitem__(key)


def test_lazy_tensors_are_made_at_their_access_and_not_by_a_look_at_the_names() -> None:
    weights = Counted(example())
    lazy = CanonicalTensors(weights)
    before = weights.taken
    assert "encoder.conv.weight" in lazy and "encoder.conv.weight_g" not in lazy
    assert list(lazy) == list(canonical(weights).tensors) and lazy.shape("encoder.conv.weight") == (4, 3, 2)
    weights.taken = before
    assert "decoder.scale" in lazy and len(lazy) == 4 and weights.taken == before
    assert torch.equal(lazy["encoder.conv.weight"], canonical(weights).tensors["encoder.conv.weight"])
    assert lazy.origins["encoder.conv.weight"].keys == ("encoder.conv.weight_g", "encoder.conv.weight_v")


def test_prefixes_of_averaged_and_of_compiled_models_are_stripped() -> None:
    ones = torch.ones(1)
    tensors = {"ema_model.transformer.a": ones, "_orig_mod.b": ones, "decoder._orig_mod.c": ones, "ema_models.d": ones}
    assert list(CanonicalTensors(tensors)) == ["transformer.a", "b", "decoder.c", "ema_models.d"]


def test_folding_in_blocks_is_folding_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    g, v = torch.rand(7, 1, 1, generator=generator), torch.randn(7, 5, 3, generator=generator)
    whole = canonical({"weight_g": g, "weight_v": v}).tensors["weight"]
    for block in (1, 15, 40, 10**6):  # less than a row, a row, some rows, all
        monkeypatch.setattr(sys.modules[canonical.__module__], "BLOCK", block)
        assert torch.equal(canonical({"weight_g": g, "weight_v": v}).tensors["weight"], whole)


def test_as_the_file_spells_it_nothing_is_folded_or_stripped() -> None:
    weights = {f"module.{key}": tensor for key, tensor in example().items()}
    lazy = CanonicalTensors(weights, respell=False)
    assert list(lazy) == list(weights) and not lazy.folded and not lazy.stripped
