"""Canonical weights in the spelling of a file: weight norm taken apart, types, and what stays as it was."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from evalkit.checkpoints import CanonicalTensors, canonical, spell
from evalkit.checkpoints.spelling import unfold_weight_norm
from evalkit.errors import EvalkitError


def layer(dim: int | None, shape: tuple[int, int, int] = (4, 3, 2)) -> dict[str, Tensor]:
    torch.manual_seed(0)
    convolution = nn.Conv1d(shape[1], shape[0], shape[2], bias=False)
    module = parametrizations.weight_norm(convolution, dim=dim)  # type: ignore[arg-type]
    return {f"net.{key}": tensor.detach().clone() for key, tensor in module.state_dict().items()}


def respelled(weight: Tensor, file: dict[str, Tensor], stored: tuple[Tensor, ...] = ()) -> dict[str, Tensor]:
    tensors = CanonicalTensors(file)
    return spell("net.weight", weight, tensors.origins["net.weight"], tensors.stored("net.weight"), None, stored)


@pytest.mark.parametrize("dim", [0, 1, 2, None])
def test_a_weight_comes_back_from_its_magnitude_and_direction(dim: int | None) -> None:
    file, weight = layer(dim), torch.randn(4, 3, 2)
    written = respelled(weight, file)
    assert {key: tensor.shape for key, tensor in written.items()} == {key: t.shape for key, t in file.items()}
    torch.testing.assert_close(canonical(written).tensors["net.weight"], weight, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("size", [1e-7, 1e-4, 1.0])
def test_small_weights_survive_float16(size: float) -> None:
    """Written as they are, their direction would be noise, or zeros that the model divides by."""
    file, weight = layer(0), size * torch.randn(4, 3, 2)
    tensors = CanonicalTensors(file)
    origin, like = tensors.origins["net.weight"], tensors.stored("net.weight")
    for stored in ((), unfold_weight_norm(weight, torch.Size([4, 1, 1]))):
        written = spell("net.weight", weight, origin, like, torch.float16, stored)
        assert {tensor.dtype for tensor in written.values()} == {torch.float16}
        direction = written["net.parametrizations.weight.original1"].float()
        torch.testing.assert_close(direction.flatten(1).norm(dim=1), torch.ones(4), rtol=1e-3, atol=0)
        found = canonical(written).tensors["net.weight"]
        torch.testing.assert_close(found, weight, rtol=2e-3, atol=size / 1000 if size > 1e-6 else size)


def test_an_unchanged_weight_keeps_the_halves_that_it_was_stored_as() -> None:
    file, other = layer(0), layer(0)
    other["net.parametrizations.weight.original1"] *= 3.0  # another direction of the same weight
    weight = canonical(other).tensors["net.weight"]
    kept = respelled(weight, file, tuple(other.values()))
    assert all(torch.equal(kept[key], other[key]) for key in other)


def test_halves_of_a_norm_over_other_dimensions_are_not_taken_over() -> None:
    file, other = layer(0), layer(1)
    weight = canonical(other).tensors["net.weight"]
    written = respelled(weight, file, tuple(other.values()))
    assert written["net.parametrizations.weight.original0"].shape == (4, 1, 1)
    torch.testing.assert_close(canonical(written).tensors["net.weight"], weight, rtol=1e-6, atol=1e-7)


def test_a_weight_of_another_size_gets_a_magnitude_of_its_own_size() -> None:
    weight = torch.randn(7, 3, 2)
    written = respelled(weight, layer(0))
    torch.testing.assert_close(canonical(written).tensors["net.weight"], weight, rtol=1e-6, atol=1e-7)
    with pytest.raises(EvalkitError, match="another shape than in this layout"):
        respelled(torch.randn(7, 3), layer(0))


def test_types_are_those_of_the_file_or_the_one_asked_for() -> None:
    file = {"net.w": torch.zeros(2, dtype=torch.bfloat16), "net.n": torch.tensor(1)}
    tensors = CanonicalTensors(file)
    for dtype, expected in ((None, torch.bfloat16), (torch.float16, torch.float16)):
        (written,) = spell("net.w", torch.ones(2), tensors.origins["net.w"], tensors.stored("net.w"), dtype).values()
        assert written.dtype == expected
        (count,) = spell("net.n", torch.tensor(5), tensors.origins["net.n"], tensors.stored("net.n"), dtype).values()
        assert count.dtype == torch.int64 and count.item() == 5
    with pytest.raises(EvalkitError, match=r"'net\.w' holds numbers too large for float16"):
        spell("net.w", torch.tensor([7e4]), tensors.origins["net.w"], tensors.stored("net.w"), torch.float16)
