"""The spherical methods against their geometry, written with whole vectors in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from evalkit.errors import EvalkitError
from evalkit.merging.base import MergeMethod
from evalkit.merging.methods.spherical import karcher, multislerp, nuslerp, slerp

SHAPES = [(2,), (7,), (5, 6), (3, 4, 5)]
ALL = [slerp, nuslerp, multislerp, karcher]


def draw(shape: tuple[int, ...], count: int, spread: float = 1.0, seed: int = 0) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    centre = torch.randn(shape, generator=random)
    lengths = [1.0 + index for index in range(count)]
    return [length * (centre + spread * torch.randn(shape, generator=random)) for length in lengths]


def arc(one: np.ndarray, two: np.ndarray, t: float) -> np.ndarray:
    """Shoemake 1985: sin((1 - t) a) / sin(a) one + sin(t a) / sin(a) two."""
    cosine = np.vdot(one, two) / np.linalg.norm(one) / np.linalg.norm(two)
    angle = np.arccos(np.clip(cosine, -1, 1))
    if np.sin(angle) < 1e-6:
        return (1 - t) * one + t * two
    return np.sin((1 - t) * angle) / np.sin(angle) * one + np.sin(t * angle) / np.sin(angle) * two


def exp(mean: np.ndarray, step: np.ndarray) -> np.ndarray:
    size = np.linalg.norm(step)
    return mean if size == 0 else np.cos(size) * mean + np.sin(size) * step / size


def log(mean: np.ndarray, unit: np.ndarray) -> np.ndarray:
    cosine = np.clip(np.vdot(mean, unit), -1, 1)
    angle = np.arccos(cosine)
    away = unit - cosine * mean
    return np.zeros_like(mean) if np.linalg.norm(away) < 1e-12 else angle * away / np.linalg.norm(away)


def barycentre(vectors: list[np.ndarray], weights: list[float], steps: int) -> np.ndarray:
    """Buss and Fillmore 2001, algorithm A1, from the normalised weighted mean; times the mean length."""
    shares = np.array(weights) / sum(weights)
    units = [vector / np.linalg.norm(vector) for vector in vectors]
    mean = sum(share * unit for share, unit in zip(shares, units, strict=True))
    mean = mean / np.linalg.norm(mean)
    for _ in range(steps):
        mean = exp(mean, sum(share * log(mean, unit) for share, unit in zip(shares, units, strict=True)))
    return mean * sum(share * np.linalg.norm(vector) for share, vector in zip(shares, vectors, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spread", [0.5, 3.0])
@pytest.mark.parametrize("weights", [[1.0, 1.0], [0.2, 0.8], [3.0, 1.0], [1.5, -0.5]])
def test_slerp_and_nuslerp_go_along_the_arc(shape: tuple[int, ...], spread: float, weights: list[float]) -> None:
    tensors, base = draw(shape, 2, spread), torch.full(shape, 0.3)
    t = weights[1] / sum(weights)
    one, two = (tensor.double().numpy() for tensor in tensors)
    for method in (slerp, nuslerp):
        np.testing.assert_allclose(method(None, tensors, weights).numpy(), arc(one, two, t), atol=1e-5)
    start = base.double().numpy()
    expected = start + arc(one - start, two - start, t)
    np.testing.assert_allclose(nuslerp(base, tensors, weights).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("row_wise", [False, True])
@pytest.mark.parametrize("with_base", [False, True])
def test_nuslerp_of_single_vectors_goes_along_each_arc(row_wise: bool, with_base: bool) -> None:
    tensors = draw((4, 5, 6), 2)
    base = torch.full((4, 5, 6), 0.2) if with_base else None
    start = np.full((4, 5, 6), 0.2 if with_base else 0.0)
    one, two = (np.moveaxis(tensor.numpy() - start, 0 if row_wise else -1, -1) for tensor in tensors)
    expected = np.empty_like(one)
    for place in np.ndindex(one.shape[:-1]):
        expected[place] = arc(one[place], two[place], 0.25)
    expected = start + np.moveaxis(expected, -1, 0 if row_wise else -1)
    merged = nuslerp(base, tensors, [3.0, 1.0], flatten=False, row_wise=row_wise)
    np.testing.assert_allclose(merged.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weights", [[1.0, 1.0], [0.2, 0.8], [1.0, 2.0, 0.5], [0.0, 1.0, 1.0, 3.0]])
def test_multislerp_and_karcher_are_the_mean_on_the_sphere(shape: tuple[int, ...], weights: list[float]) -> None:
    tensors, base = draw(shape, len(weights), 0.7), torch.full(shape, 0.3)
    vectors = [tensor.double().numpy() for tensor in tensors]
    merged = multislerp(None, tensors, weights)
    np.testing.assert_allclose(merged.numpy(), barycentre(vectors, weights, 1), atol=1e-5)
    merged = karcher(None, tensors, weights, iterations=50, tolerance=1e-7)
    np.testing.assert_allclose(merged.numpy(), barycentre(vectors, weights, 50), atol=1e-5)
    assert torch.equal(karcher(base, tensors, weights), karcher(None, tensors, weights))
    start = base.double().numpy()
    expected = start + barycentre([vector - start for vector in vectors], weights, 1)
    np.testing.assert_allclose(multislerp(base, tensors, weights).numpy(), expected, atol=1e-5)


def test_the_karcher_mean_is_where_the_logarithms_cancel() -> None:
    tensors, weights = draw((30,), 4, 1.0), [0.1, 0.2, 0.3, 0.4]
    mean = karcher(None, [tensor.double() for tensor in tensors], weights, iterations=100, tolerance=1e-12).numpy()
    units = [tensor.double().numpy() / np.linalg.norm(tensor.double().numpy()) for tensor in tensors]
    pull = sum(weight * log(mean / np.linalg.norm(mean), unit) for weight, unit in zip(weights, units, strict=True))
    assert np.linalg.norm(pull) < 1e-6
    length = sum(weight * float(tensor.norm()) for weight, tensor in zip(weights, tensors, strict=True))
    assert np.linalg.norm(mean) == pytest.approx(length, rel=1e-6)


def test_iterations_and_tolerance_bound_the_karcher_mean() -> None:
    tensors, weights = draw((30,), 3, 2.0), [1.0, 2.0, 3.0]
    one = karcher(None, tensors, weights, iterations=1)
    torch.testing.assert_close(one, multislerp(None, tensors, weights), rtol=1e-6, atol=1e-6)
    assert not torch.allclose(one, karcher(None, tensors, weights), rtol=1e-4, atol=1e-4)
    unmoved = karcher(None, tensors, weights, tolerance=10.0)
    shares = torch.tensor(weights) / 6
    mean = sum(share * tensor / tensor.norm() for share, tensor in zip(shares, tensors, strict=True))
    torch.testing.assert_close(unmoved / unmoved.norm(), mean / mean.norm(), rtol=1e-5, atol=1e-6)


def test_two_equal_parents_meet_halfway_in_every_method() -> None:
    one, two = (tensor / tensor.norm() for tensor in draw((40,), 2, 1.0))
    expected = slerp(None, [one, two], [1.0, 1.0])
    for method in (nuslerp, multislerp, karcher):
        torch.testing.assert_close(method(None, [one, two], [1.0, 1.0]), expected, rtol=1e-5, atol=1e-6)
    assert float(expected.norm()) == pytest.approx(1.0, abs=1e-6)


def test_almost_parallel_parents_are_interpolated_linearly_by_slerp_alone() -> None:
    # 0.0315 rad has the cosine 0.99950, on the linear side of mergekit's bound: 1.2e-4 shorter than the arc.
    one, two = torch.tensor([1.0, 0.0]), torch.tensor([np.cos(0.0315), np.sin(0.0315)], dtype=torch.float32)
    assert slerp(None, [one, two], [1.0, 1.0]).norm().item() == pytest.approx(np.cos(0.0315 / 2), abs=1e-7)
    assert nuslerp(None, [one, two], [1.0, 1.0]).norm().item() == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize("method", ALL, ids=lambda method: method.name)
def test_vectors_without_an_angle_between_them_give_no_nan(method: MergeMethod) -> None:
    parent = draw((50,), 1)[0]
    zero = torch.zeros(50)
    torch.testing.assert_close(method(None, [parent, parent], [0.3, 0.7]), parent)
    torch.testing.assert_close(method(None, [parent, 3 * parent], [1.0, 1.0]), 2 * parent)
    assert torch.equal(method(None, [zero, zero], [1.0, 1.0]), zero)
    # Opposite: there is no direction between them, so the lengths decide, as on a line.
    torch.testing.assert_close(method(None, [parent, -parent], [1.0, 1.0]), zero, rtol=0, atol=1e-6)
    torch.testing.assert_close(method(None, [parent, -3 * parent], [1.0, 1.0]), -parent)
    half = method(None, [parent, zero], [1.0, 1.0])
    torch.testing.assert_close(half, parent / 2)


@pytest.mark.parametrize("flatten", [True, False])
def test_nuslerp_with_parents_that_equal_the_base_gives_the_base(flatten: bool) -> None:
    base = draw((4, 5), 1)[0]
    assert torch.equal(nuslerp(base, [base, base], [0.3, 0.7], flatten=flatten), base)


@pytest.mark.parametrize("method", [slerp, nuslerp])
def test_coefficients_that_cancel_have_no_position(method: MergeMethod) -> None:
    with pytest.raises(EvalkitError, match="add up to 0"):
        method(None, draw((3,), 2), [1.0, -1.0])


@pytest.mark.parametrize("method", [multislerp, karcher])
@pytest.mark.parametrize("weights", [[1.0, -0.1], [0.0, 0.0]])
def test_a_mean_on_the_sphere_takes_no_negative_coefficient(method: MergeMethod, weights: list[float]) -> None:
    with pytest.raises(EvalkitError, match="coefficients of 0 or more, not all 0"):
        method(None, draw((3,), 2), weights)
