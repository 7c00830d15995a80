"""DARE and DELLA: the masks their papers describe, drawn the same whenever and wherever, and right on average."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from evalkit.errors import EvalkitError
from evalkit.merging.base import MergeMethod, Site
from evalkit.merging.methods.dare import dare_linear, dare_ties
from evalkit.merging.methods.della import della, della_linear
from evalkit.merging.methods.sparsify import drop, magprune

METHODS = [dare_linear, dare_ties, della, della_linear]
SITE = Site("decoder.weight", ("anna", "ben"), seed=7)
SHAPES = [(9,), (4, 6), (3, 4, 5)]
WEIGHTS = [[1.0, 1.0], [0.7, 0.4], [1.0, -0.5]]


def model(shape: tuple[int, ...], parents: int = 2) -> tuple[Tensor, list[Tensor]]:
    draw = torch.Generator().manual_seed(1)
    base = torch.randn(shape, generator=draw)
    return base, [base + torch.randn(shape, generator=draw) for _ in range(parents)]


def vectors(base: Tensor, tensors: list[Tensor]) -> list[np.ndarray]:
    return [(tensor.double() - base.double()).numpy() for tensor in tensors]


def elect(kept: list[np.ndarray], weights: list[float], normalise: bool) -> np.ndarray:
    """TIES steps 2 and 3 (arXiv 2306.01708, algorithm 1) on vectors that are thinned already."""
    merged = np.zeros_like(kept[0])
    for place in np.ndindex(merged.shape):
        votes = [weight * vector[place] for weight, vector in zip(weights, kept, strict=True)]
        agree = [index for index, vote in enumerate(votes) if vote * sum(votes) > 0]
        if agree:
            share = sum(abs(weights[index]) for index in agree) if normalise else 1.0
            merged[place] = sum(votes[index] for index in agree) / share
    return merged


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_dare_is_the_paper(shape: tuple[int, ...], weights: list[float]) -> None:
    # Yu et al. 2024 (arXiv 2311.03099), eq. 3: (1 - m) delta / (1 - p), m ~ Bernoulli(p), here with 1 - p = 0.3.
    base, tensors = model(shape)
    kept = []
    for vector, generator in zip(vectors(base, tensors), SITE.generators(2), strict=True):
        chance = torch.rand(vector.size, generator=generator).numpy().reshape(shape)
        kept.append(np.where(chance < 0.3, vector / 0.3, 0.0))
    added = sum(weight * vector for weight, vector in zip(weights, kept, strict=True))
    merged = dare_linear(base, tensors, weights, site=SITE, density=0.3)
    np.testing.assert_allclose(merged.numpy(), base.numpy() + added, atol=1e-5)
    for normalise in (True, False):
        merged = dare_ties(base, tensors, weights, site=SITE, density=0.3, normalise=normalise, scale=0.8)
        expected = base.numpy() + 0.8 * elect(kept, weights, normalise)
        np.testing.assert_allclose(merged.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_della_is_magprune_row_by_row(shape: tuple[int, ...], weights: list[float]) -> None:
    # Deep et al. 2024 (arXiv 2406.11617), section 3: ranks of magnitudes in a row, chances over the window, 1/p.
    base, tensors = model(shape)
    rows = (shape[0], -1) if len(shape) > 1 else (1, -1)
    kept = []
    for vector, generator in zip(vectors(base, tensors), SITE.generators(2), strict=True):
        table = vector.reshape(rows)
        chance = torch.rand(table.shape, generator=generator).numpy()
        thinned = np.zeros_like(table)
        for row, place in np.ndindex(table.shape):
            smaller = sum(abs(other) < abs(table[row, place]) for other in table[row])
            keep = 0.6 - 0.3 / 2 + 0.3 * smaller / (table.shape[1] - 1)
            if chance[row, place] < keep:
                thinned[row, place] = table[row, place] / keep
        kept.append(thinned.reshape(shape))
    options = {"density": 0.6, "window": 0.3, "scale": 0.9}
    added = sum(weight * vector for weight, vector in zip(weights, kept, strict=True))
    merged = della_linear(base, tensors, weights, site=SITE, **options)
    np.testing.assert_allclose(merged.numpy(), base.numpy() + 0.9 * added, atol=1e-5)
    merged = della(base, tensors, weights, site=SITE, **options)
    np.testing.assert_allclose(merged.numpy(), base.numpy() + 0.9 * elect(kept, weights, True), atol=1e-5)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_the_numbers_depend_on_seed_tensor_and_parent_alone(method: MergeMethod) -> None:
    base, tensors = model((20, 30))
    merged = method(base, tensors, [1.0, 0.5], site=SITE)
    torch.manual_seed(99)
    assert torch.equal(method(base, tensors, [1.0, 0.5], site=SITE), merged)
    swapped = Site(SITE.key, ("ben", "anna"), SITE.seed)
    torch.testing.assert_close(method(base, tensors[::-1], [0.5, 1.0], site=swapped), merged, rtol=0, atol=1e-6)
    for other in (Site("other", SITE.parents, 7), Site(SITE.key, SITE.parents, 8), Site(SITE.key, ("anna", "eve"), 7)):
        assert (method(base, tensors, [1.0, 0.5], site=other) != merged).float().mean() > 0.1


def test_dare_keeps_its_share_and_the_mean() -> None:
    count, density = 200_000, 0.3
    factor = drop(count, density, torch.Generator().manual_seed(5), torch.device("cpu"))
    assert factor is not None
    # Four standard errors of a share of n draws, and of their mean after rescaling.
    error = 4 * (density * (1 - density) / count) ** 0.5
    assert abs((factor > 0).double().mean() - density) < error
    assert abs(factor.double().mean() - 1) < error / density
    assert factor.unique().tolist() == pytest.approx([0.0, 1 / density])


def test_magprune_keeps_large_changes_more_often_and_the_mean() -> None:
    rows = torch.arange(11.0).flip(0).expand(40_000, 11)  # the first is the largest
    factor = magprune(rows, 0.5, 0.4, torch.Generator().manual_seed(6))
    assert factor is not None
    table = factor.double().reshape(rows.shape)
    expected = torch.linspace(0.7, 0.3, 11, dtype=torch.float64)
    assert ((table > 0).double().mean(dim=0) - expected).abs().max() < 4 * 0.5 / 200
    assert (table.mean(dim=0) - 1).abs().max() < 4 * (0.7 / 0.3) ** 0.5 / 200  # each element's mean stays


def test_magprune_in_rows_of_one_element_is_dare() -> None:
    factor = magprune(torch.rand(50_000, 1), 0.4, 0.4, torch.Generator().manual_seed(6))
    assert factor is not None and set(factor.unique().tolist()) == {0.0, 2.5}
    assert abs((factor > 0).double().mean() - 0.4) < 4 * 0.5 / 50_000**0.5


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_single_element_is_not_thinned(method: MergeMethod) -> None:
    for seed in range(20):
        site = Site("scale", ("anna",), seed)
        assert method(torch.tensor(1.0), [torch.tensor(3.5)], [1.0], site=site).item() == 3.5
        assert method(torch.ones(1, 1), [torch.zeros(1, 1)], [1.0], site=site).tolist() == [[0.0]]


def test_della_refuses_chances_outside_0_and_1() -> None:
    base, tensors = model((6,))
    with pytest.raises(EvalkitError, match=r"from 0\.8 to 1\.1; choose a smaller window"):
        della(base, tensors, [1.0, 1.0], density=0.95, window=0.3)
    with pytest.raises(EvalkitError, match=r"from 0 to 0\.2"):
        della_linear(base, tensors, [1.0, 1.0], density=0.1, window=0.2)
