"""TIES-Merging against its paper in plain numpy, and its threshold over a whole model against a sort."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from evalkit.errors import EvalkitError
from evalkit.merging.methods.consensus import elected_sign
from evalkit.merging.methods.sparsify import thresholds
from evalkit.merging.methods.ties import ties

SHAPES = [(), (1,), (7,), (5, 6), (3, 4, 5)]
WEIGHTS = [[1.0], [1.0, 1.0], [0.7, 0.2, 1.3], [1.0, -0.5]]


def model(shape: tuple[int, ...], parents: int, seed: int = 0) -> tuple[Tensor, list[Tensor]]:
    draw = torch.Generator().manual_seed(seed)
    base = torch.randn(shape, generator=draw)
    return base, [base + 0.1 * torch.randn(shape, generator=draw) for _ in range(parents)]


# Yadav et al. 2023 (arXiv 2306.01708), algorithm 1: trim each task vector to its k largest magnitudes, elect the sign
# of the sum, average those that have it. Coefficients weight the vectors; those of the paper are 1.
def by_hand(
    base: Tensor, tensors: list[Tensor], weights: Sequence[float], least: Sequence[float], normalise: bool, scale: float
) -> np.ndarray:
    start = base.double().numpy().reshape(-1)
    vectors = [tensor.double().numpy().reshape(-1) - start for tensor in tensors]
    merged = start.copy()
    for place in range(start.size):
        votes = [
            weight * vector[place] if abs(vector[place]) >= limit else 0.0
            for weight, vector, limit in zip(weights, vectors, least, strict=True)
        ]
        sign = np.sign(sum(votes))
        agree = [index for index, vote in enumerate(votes) if vote != 0 and np.sign(vote) == sign]
        if agree:
            total = sum(votes[index] for index in agree)
            merged[place] += scale * total / (sum(abs(weights[index]) for index in agree) if normalise else 1.0)
    return merged.reshape(base.shape)


def kth_largest(tensors: Sequence[Tensor], density: float) -> float:
    size = np.abs(np.concatenate([tensor.numpy().reshape(-1) for tensor in tensors]))
    kept = max(int(density * size.size), 1)
    return float(np.sort(size)[size.size - kept]) - 1e-9  # float32 differences against float64 ones


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize(("normalise", "scale"), [(True, 1.0), (False, 1.0), (True, 0.6)])
def test_ties_of_one_tensor_is_the_paper(
    shape: tuple[int, ...], weights: list[float], normalise: bool, scale: float
) -> None:
    base, tensors = model(shape, len(weights))
    merged = ties(base, tensors, weights, scope="tensor", density=0.4, normalise=normalise, scale=scale)
    least = [kth_largest([tensor - base], 0.4) for tensor in tensors]
    expected = by_hand(base, tensors, weights, least, normalise, scale)
    np.testing.assert_allclose(merged.numpy(), expected, atol=1e-6)
    assert merged.dtype == torch.float32


@pytest.mark.parametrize("weights", WEIGHTS)
def test_ties_of_a_model_trims_over_all_its_tensors(weights: list[float]) -> None:
    stream = [model(shape, len(weights), seed) for seed, shape in enumerate(SHAPES)]
    # One tensor hardly moves, so that a threshold of each tensor would differ.
    stream.append((torch.zeros(50), [torch.full((50,), 1e-4 * (index + 1)) for index in range(len(weights))]))
    survey = ties.survey(stream, **ties.settings({"density": 0.3}))
    least = [kth_largest([tensors[index] - base for base, tensors in stream], 0.3) for index in range(len(weights))]
    for base, tensors in stream:
        merged = ties(base, tensors, weights, survey=survey, density=0.3)
        np.testing.assert_allclose(merged.numpy(), by_hand(base, tensors, weights, least, True, 1.0), atol=1e-6)
    assert torch.equal(merged, base)  # all of the last tensor's changes are too small


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.floats(1e-4, 1.0), st.integers(0, 2**31), st.sampled_from([0, 2, 4]))
def test_the_threshold_over_a_model_is_the_kth_largest_magnitude(
    count: int, density: float, seed: int, coarse: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    vector = torch.randn(count, generator=draw) * 10.0 ** torch.randint(-6, 6, (count,), generator=draw)
    vector = torch.round(vector, decimals=coarse) if coarse else vector  # many equal magnitudes, many zeros
    cut = sorted(torch.randint(0, count + 1, (2,), generator=draw).tolist())
    pieces = [vector[: cut[0]], vector[cut[0] : cut[1]], vector[cut[1] :]]
    found = thresholds([(torch.zeros_like(piece), [piece, -2 * piece]) for piece in pieces], density)
    kept = max(int(density * count), 1)
    expected = np.partition(np.abs(vector.numpy()), count - kept)[count - kept]
    assert found == (float(expected), 2 * float(expected))


def test_a_model_of_many_blocks_is_surveyed_whole() -> None:
    draw = torch.Generator().manual_seed(3)
    vector = torch.randn(3 * 2**16 + 5, generator=draw)
    expected = np.partition(np.abs(vector.numpy()), vector.numel() - 1000)[vector.numel() - 1000]
    assert thresholds([(torch.zeros_like(vector), [vector])], 1000.5 / vector.numel()) == (float(expected),)


def test_a_model_without_elements_has_a_threshold() -> None:
    assert thresholds([(torch.zeros(0, 3), [torch.zeros(0, 3)])], 0.2) == (0.0,)


def test_ties_of_a_model_needs_its_survey() -> None:
    base, tensors = model((4,), 2)
    with pytest.raises(EvalkitError, match="set its option scope to tensor"):
        ties(base, tensors, [1.0, 1.0])
    assert ties.survey([], **ties.settings({"scope": "tensor"})) is None
    assert ties.survey([], **ties.settings({"density": 1.0})) is None


def test_magnitudes_equal_to_the_smallest_kept_one_are_kept() -> None:
    base, parent = torch.zeros(6), torch.tensor([1.0, -2.0, 2.0, 0.5, 2.0, 3.0])
    merged = ties(base, [parent], [1.0], scope="tensor", density=0.34)  # two of six
    assert merged.tolist() == [0.0, -2.0, 2.0, 0.0, 2.0, 3.0]


def test_a_scalar_is_never_trimmed() -> None:
    assert ties(torch.tensor(1.0), [torch.tensor(3.0)], [1.0], scope="tensor", density=0.01).item() == 3.0


def test_a_tie_of_signs_leaves_the_base_whatever_the_rounding() -> None:
    base, up = torch.tensor([1.0, 1.0]), torch.tensor([2.0, 1.0])
    down = torch.tensor([0.0, 1.0])
    assert torch.equal(ties(base, [up, down], [1.0, 1.0], density=1.0), base)
    thirds = [torch.tensor([0.1], dtype=torch.float64), torch.tensor([0.2], dtype=torch.float64)]
    assert elected_sign([*thirds, torch.tensor([-0.3], dtype=torch.float64)]).item() == 0  # 0.1 + 0.2 - 0.3 > 0


def test_weights_that_no_parent_changed_keep_even_the_sign_of_a_zero() -> None:
    base = torch.tensor([-0.0, 0.0, 1.0])
    merged = ties(base, [base.clone(), base.clone()], [0.9, 0.4], density=1.0, normalise=False)
    assert torch.equal(merged.view(torch.int32), base.view(torch.int32))


def test_only_the_ratios_of_coefficients_count_under_normalise() -> None:
    base, tensors = model((40,), 2)
    one = ties(base, tensors, [1.0, 2.0], scope="tensor")
    assert torch.equal(ties(base, tensors, [2.0, 4.0], scope="tensor"), one)
    assert torch.equal(ties(base, tensors[:1], [0.5], density=1.0), tensors[0])
    halved = ties(base, tensors, [1.0, 2.0], scope="tensor", scale=0.5)
    torch.testing.assert_close(halved - base, (one - base) / 2, atol=1e-6, rtol=1e-5)
