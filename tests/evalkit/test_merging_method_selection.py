"""Methods that select changes or weigh parents by what they changed, each against its source in plain numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from evalkit.errors import EvalkitError
from evalkit.merging.base import MergeMethod
from evalkit.merging.methods.arcee_fusion import arcee_fusion
from evalkit.merging.methods.breadcrumbs import breadcrumbs, breadcrumbs_ties
from evalkit.merging.methods.model_stock import model_stock
from evalkit.merging.methods.ram import ram, ram_plus
from evalkit.merging.methods.sce import sce

SHAPES = [(1,), (9,), (20, 15), (3, 4, 5)]
WEIGHTS = [[1.0, 1.0], [0.7, 0.2, 1.3]]


def model(shape: tuple[int, ...], parents: int, seed: int = 0) -> tuple[Tensor, list[Tensor]]:
    draw = torch.Generator().manual_seed(seed)
    base = torch.randn(shape, generator=draw)
    common = torch.randn(shape, generator=draw)
    return base, [base + 0.3 * common + 0.5 * torch.randn(shape, generator=draw) for _ in range(parents)]


def vectors(base: Tensor, tensors: list[Tensor]) -> list[np.ndarray]:
    return [(tensor.double() - base.double()).numpy() for tensor in tensors]


def elect(kept: list[np.ndarray], weights: list[float], votes: list[float]) -> np.ndarray:
    """Per element the mean, by the weights, of the vectors with the sign of the votes' sum (arXiv 2306.01708)."""
    merged = np.zeros_like(kept[0])
    for place in np.ndindex(merged.shape):
        cast = [vote * vector[place] for vote, vector in zip(votes, kept, strict=True)]
        agree = [index for index, vote in enumerate(cast) if vote * sum(cast) > 0]
        if agree:
            total = sum(weights[index] * kept[index][place] for index in agree)
            merged[place] = total / sum(weights[index] for index in agree)
    return merged


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize(("density", "gamma"), [(0.4, 0.2), (0.9, 0.3), (0.3, 0.0)])
def test_breadcrumbs_drops_outliers_and_small_changes(
    shape: tuple[int, ...], weights: list[float], density: float, gamma: float
) -> None:
    # Davari and Belilovsky 2024 (arXiv 2312.06795), section 3: mask both tails of the magnitudes of each layer.
    base, tensors = model(shape, len(weights))
    kept = []
    for vector in vectors(base, tensors):
        order = np.argsort(np.abs(vector), axis=None)
        count = max(int(density * vector.size), 1)
        top = min(int(gamma * vector.size), vector.size - count)
        mask = np.zeros(vector.size, dtype=bool)
        mask[order[vector.size - top - count : vector.size - top]] = True
        kept.append(np.where(mask.reshape(shape), vector, 0.0))
    added = sum(weight * vector for weight, vector in zip(weights, kept, strict=True))
    merged = breadcrumbs(base, tensors, weights, density=density, gamma=gamma, scale=0.7)
    np.testing.assert_allclose(merged.numpy(), base.numpy() + 0.7 * added, atol=1e-6)
    merged = breadcrumbs_ties(base, tensors, weights, density=density, gamma=gamma)
    np.testing.assert_allclose(merged.numpy(), base.numpy() + elect(kept, weights, weights), atol=1e-6)


def test_small_tensors_keep_something_of_their_breadcrumbs() -> None:
    for count in (1, 2, 64, 99):
        base, tensors = model((count,), 1)
        changed = breadcrumbs(base, tensors, [1.0]) != base
        assert int(changed.sum()) == max(int(0.15 * count), 1)
    base, parent = torch.zeros(4), torch.full((4,), 2.0)
    assert torch.equal(breadcrumbs(base, [parent], [1.0], gamma=0.5), parent)  # equal magnitudes have no outliers


@pytest.mark.parametrize("shape", [(9,), (20, 15), (3, 4, 5)])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_model_stock_is_the_paper(shape: tuple[int, ...], count: int) -> None:
    # Jang et al. 2024 (arXiv 2403.19522), eq. 5: t = k cos / (1 + (k - 1) cos), merged = t average + (1 - t) base.
    base, tensors = model(shape, count)
    deltas = vectors(base, tensors)
    cosines = [
        np.vdot(one, two) / np.linalg.norm(one) / np.linalg.norm(two)
        for index, one in enumerate(deltas)
        for two in deltas[index + 1 :]
    ]
    cosine = max(sum(cosines) / len(cosines), 0.0)
    t = count * cosine / (1 + (count - 1) * cosine)
    expected = t * sum(tensor.double().numpy() for tensor in tensors) / count + (1 - t) * base.double().numpy()
    merged = model_stock(base, tensors, [0.5] * count)
    np.testing.assert_allclose(merged.numpy(), expected, atol=1e-6)


def test_model_stock_at_the_ends_of_agreement() -> None:
    base, (one, two) = model((50,), 2)
    assert torch.equal(model_stock(base, [one, one], [1.0, 1.0]), one)
    assert torch.equal(model_stock(base, [base + 1, base - 1], [1.0, 1.0]), base)
    assert torch.equal(model_stock(base, [one, base], [1.0, 1.0]), base)
    with pytest.raises(EvalkitError, match="give all of them the same coefficient"):
        model_stock(base, [one, two], [1.0, 0.5])
    with pytest.raises(EvalkitError, match="2 or more parents, not 1"):
        model_stock.check_parents(1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("select", [1.0, 0.4])
def test_sce_is_the_paper(shape: tuple[int, ...], weights: list[float], select: float) -> None:
    # Wan et al. 2024 (arXiv 2408.07990), section 3.3: select by variance, weigh by sums of squares, erase minorities.
    base, tensors = model(shape, len(weights))
    deltas = vectors(base, tensors)
    variance = np.var(np.stack(deltas), axis=0)
    least = np.sort(variance, axis=None)[variance.size - max(int(select * variance.size), 1)]
    deltas = [np.where(variance >= least, delta, 0.0) for delta in deltas]
    energies = [float((delta**2).sum()) for delta in deltas]
    scaled = [weight * energy for weight, energy in zip(weights, energies, strict=True)]
    expected = base.double().numpy() + elect(deltas, scaled, weights)
    np.testing.assert_allclose(sce(base, tensors, weights, select=select).numpy(), expected, atol=1e-6)


def test_sce_weighs_small_task_vectors_as_it_does_large_ones() -> None:
    # mergekit takes equal weights where the mean square is below 1e-6, which is where task vectors usually are.
    base = torch.zeros(3, dtype=torch.float64)
    small = [torch.full((3,), 1e-6, dtype=torch.float64), torch.full((3,), 3e-6, dtype=torch.float64)]
    assert sce(base, small, [1.0, 1.0]).tolist() == pytest.approx([2.8e-6] * 3)  # (1 * 1 + 9 * 3) / 10


@pytest.mark.parametrize("shape", [(9,), (20, 15), (3, 40, 50)])
@pytest.mark.parametrize("weight", [1.0, 0.4])
def test_arcee_fusion_takes_the_changes_that_stand_out(shape: tuple[int, ...], weight: float) -> None:
    # mergekit's arcee_fusion.py: |delta| times the divergence of the row's softmaxes, above median + 1.5 IQR.
    base, (parent,) = model(shape, 1)
    old, new = (tensor.double().numpy().reshape(-1, shape[-1]) for tensor in (base, parent))
    importance = np.empty_like(old)
    for row in range(len(old)):
        q = np.exp(old[row]) / np.exp(old[row]).sum() + 1e-8
        p = np.exp(new[row]) / np.exp(new[row]).sum() + 1e-8
        importance[row] = np.abs(new[row] - old[row]) * sum(p * np.log(p / q))
    ordered = np.sort(importance, axis=None)
    first, median, third = (ordered[math.floor(part * (ordered.size - 1))] for part in (0.25, 0.5, 0.75))
    chosen = importance >= median + 1.5 * (third - first)
    assert chosen.sum() < chosen.size / 2 and (chosen.any() or chosen.size < 10)
    expected = np.where(chosen, old + weight * (new - old), old).reshape(shape)
    np.testing.assert_allclose(arcee_fusion(base, [parent], [weight]).numpy(), expected, atol=1e-6)


def test_where_no_row_diverges_arcee_fusion_takes_the_parent() -> None:
    base, (parent,) = model((6, 1), 1)
    assert torch.equal(arcee_fusion(base, [parent], [1.0]), parent)
    assert arcee_fusion(torch.tensor(1.0), [torch.tensor(2.0)], [1.0]).item() == 2.0


def sparse(shape: tuple[int, ...], parents: int, seed: int) -> tuple[Tensor, list[Tensor]]:
    base, tensors = model(shape, parents, seed)
    draw = torch.Generator().manual_seed(seed + 100)
    return base, [torch.where(torch.rand(shape, generator=draw) < 0.4, tensor, base) for tensor in tensors]


def ram_by_hand(base: Tensor, tensors: list[Tensor], weights: list[float], strengths: list[float]) -> np.ndarray:
    """Yuan et al. 2026 (arXiv 2601.13572): unique changes times their strength, shared ones averaged."""
    deltas = vectors(base, tensors)
    merged = base.double().numpy().copy()
    for place in np.ndindex(merged.shape):
        active = [index for index, delta in enumerate(deltas) if abs(delta[place]) > 1e-5]
        for index in active:
            share = strengths[index] if len(active) == 1 else 1 / len(active)
            merged[place] += weights[index] * share * deltas[index][place]
    return merged


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_ram_keeps_unique_changes_and_averages_shared_ones(shape: tuple[int, ...], weights: list[float]) -> None:
    base, tensors = sparse(shape, len(weights), 3)
    expected = ram_by_hand(base, tensors, weights, [1.0] * len(weights))
    np.testing.assert_allclose(ram(base, tensors, weights).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 5.0])
def test_ram_plus_strengthens_unique_changes_by_the_overlap_in_the_whole_model(alpha: float) -> None:
    weights = [1.0, 0.5, 0.8]
    stream = [sparse(shape, 3, seed) for seed, shape in enumerate(SHAPES)]
    everything = [
        np.concatenate([vectors(base, tensors)[index].reshape(-1) for base, tensors in stream]) for index in range(3)
    ]
    changed = np.abs(np.stack(everything)) > 1e-5
    ratios = [
        float((row & (changed.sum(axis=0) > 1)).sum() / (row & (changed.sum(axis=0) == 1)).sum()) for row in changed
    ]
    options = {"r": 0.3, "alpha": alpha}
    survey = ram_plus.survey(stream, **ram_plus.settings(options))
    assert survey == pytest.approx(ratios)
    strengths = [1 + 0.3 * min(ratio, alpha) for ratio in ratios]
    for base, tensors in stream:
        merged = ram_plus(base, tensors, weights, survey=survey, **options)
        np.testing.assert_allclose(merged.numpy(), ram_by_hand(base, tensors, weights, strengths), atol=1e-6)


def test_ram_plus_needs_its_survey_and_one_without_own_changes_has_no_ratio() -> None:
    base, tensors = model((4,), 2)
    with pytest.raises(EvalkitError, match="merge whole checkpoints"):
        ram_plus(base, tensors, [1.0, 1.0])
    assert ram_plus.survey([(base, tensors)], **ram_plus.settings({})) == (0.0, 0.0)


@pytest.mark.parametrize(("method", "weights"), [(breadcrumbs, [1.0]), (ram, [1.0]), (arcee_fusion, [1.0])])
def test_a_change_below_the_threshold_leaves_the_base_bit_for_bit(method: MergeMethod, weights: list[float]) -> None:
    base = torch.full((8, 50), -0.0)
    parent = base.clone()
    parent[3, :20] = torch.linspace(5.0, 9.0, 20)
    merged = method(base, [parent], weights)
    kept = merged == parent
    assert torch.equal(merged[kept].view(torch.int32), torch.where(kept, parent, base)[kept].view(torch.int32))
    assert torch.equal(merged[~kept].view(torch.int32), base[~kept].view(torch.int32))
