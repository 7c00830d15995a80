"""The linear methods: their formulas in plain numpy, and the properties that users rely on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from evalkit.errors import EvalkitError
from evalkit.merging.base import find_method, merge_method
from evalkit.merging.methods.linear import hierarchical, linear, task_arithmetic
from evalkit.merging.methods.sums import BLOCK, combine
from evalkit.registry import MERGERS

FLOATS = st.floats(-1e6, 1e6, width=32)  # includes -0.0 and subnormal numbers
COEFFICIENTS = st.floats(-4, 4)


def tensors(count: int) -> st.SearchStrategy[list[Tensor]]:
    return st.lists(st.lists(FLOATS, min_size=5, max_size=5), min_size=count, max_size=count).map(
        lambda rows: [torch.tensor(row, dtype=torch.float32) for row in rows]
    )


def same_bits(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one.view(torch.int32), other.view(torch.int32))


def close(one: Tensor, other: Tensor, scale: Tensor) -> bool:
    """Equal to within float32 rounding of terms as large as `scale`."""
    return bool(((one.double() - other.double()).abs() <= 1e-6 * scale.double() + 1e-30).all())


@settings(max_examples=100, deadline=None)
@given(tensors(3), COEFFICIENTS, COEFFICIENTS)
def test_task_arithmetic_is_its_formula(drawn: list[Tensor], alpha: float, beta: float) -> None:
    base, one, two = (tensor.numpy().astype(np.float64) for tensor in drawn)
    expected = base + alpha * (one - base) + beta * (two - base)
    merged = task_arithmetic(drawn[0], drawn[1:], [alpha, beta])
    assert merged.dtype == torch.float32
    scale = sum(tensor.abs() for tensor in drawn) * (1 + abs(alpha) + abs(beta))
    assert close(merged, torch.from_numpy(expected), torch.as_tensor(scale))


@settings(max_examples=100, deadline=None)
@given(tensors(2), st.floats(0.01, 4), st.floats(0.01, 4))
def test_linear_is_the_weighted_average(drawn: list[Tensor], alpha: float, beta: float) -> None:
    one, two = (tensor.numpy().astype(np.float64) for tensor in drawn)
    expected = np.average([one, two], axis=0, weights=[alpha, beta])
    assert close(linear(None, drawn, [alpha, beta]), torch.from_numpy(expected), drawn[0].abs() + drawn[1].abs())


@settings(max_examples=100, deadline=None)
@given(tensors(3))
def test_one_coefficient_of_one_returns_that_parent_bit_for_bit(drawn: list[Tensor]) -> None:
    base, one, two = drawn
    for method in (task_arithmetic, hierarchical, linear):
        assert same_bits(method(base, [one, two], [1.0, 0.0]), one)
        assert same_bits(method(base, [one, two], [0.0, 1.0]), two)


@settings(max_examples=100, deadline=None)
@given(tensors(3), COEFFICIENTS)
def test_no_task_vector_leaves_the_base_bit_for_bit(drawn: list[Tensor], alpha: float) -> None:
    base, one, two = drawn
    assert same_bits(task_arithmetic(base, [one, two], [0.0, 0.0]), base)
    frozen = task_arithmetic(base, [base, base], [alpha, 0.7])  # tensors that no parent trained
    assert torch.equal(frozen, base)


@settings(max_examples=100, deadline=None)
@given(tensors(4), st.lists(COEFFICIENTS, min_size=3, max_size=3), st.permutations(range(3)))
def test_the_order_of_parents_does_not_matter(drawn: list[Tensor], weights: list[float], order: list[int]) -> None:
    base, *parents = drawn
    scale = torch.as_tensor(sum(tensor.abs() for tensor in drawn) * (1 + sum(map(abs, weights))))
    shuffled = [parents[index] for index in order], [weights[index] for index in order]
    assert close(task_arithmetic(base, parents, weights), task_arithmetic(base, *shuffled), scale)


@settings(max_examples=100, deadline=None)
@given(tensors(3), st.integers(-10, 10), COEFFICIENTS)
def test_scaling_every_tensor_scales_the_result(drawn: list[Tensor], power: int, alpha: float) -> None:
    factor = 2.0**power
    base, one, two = (tensor + 1.0 for tensor in drawn)  # away from subnormal numbers, where scaling itself rounds
    merged = task_arithmetic(base, [one, two], [alpha, 0.5])
    scaled = task_arithmetic(base * factor, [one * factor, two * factor], [alpha, 0.5])
    sizable = merged.abs() > 1e-20
    assert torch.equal((merged * factor)[sizable], scaled[sizable])


@settings(max_examples=50, deadline=None)
@given(tensors(3), COEFFICIENTS, st.sampled_from([0.0, 0.3, -1.5]))
def test_rounding_each_step_is_what_published_scripts_compute(drawn: list[Tensor], alpha: float, beta: float) -> None:
    base, one, two = drawn
    merged = task_arithmetic(base, [one, two], [alpha, beta], rounding="each_step")
    assert same_bits(merged, base + alpha * (one - base) + beta * (two - base))
    # The same in numpy: every operation gives a float32.
    start, ends = base.numpy(), [one.numpy(), two.numpy()]
    for end, weight in zip(ends, (alpha, beta), strict=True):
        start = start + np.float32(weight) * (end - base.numpy())
    assert start.dtype == np.float32 and same_bits(merged, torch.from_numpy(start))
    assert same_bits(hierarchical(base, [one, two], [alpha, beta], rounding="each_step"), merged)


def test_the_two_roundings_differ_where_base_and_parent_do_not_cancel() -> None:
    base, one = torch.tensor([1e6]), torch.tensor([0.1])
    assert same_bits(task_arithmetic(base, [one], [1.0]), one)
    assert not same_bits(task_arithmetic(base, [one], [1.0], rounding="each_step"), one)
    with pytest.raises(EvalkitError, match="takes one of once, each_step"):
        task_arithmetic(base, [one], [1.0], rounding="twice")


def test_each_layer_of_a_hierarchical_merge_needs_its_own_coefficients() -> None:
    assert hierarchical.by_layer and not task_arithmetic.by_layer


@pytest.mark.parametrize("count", [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
def test_sums_of_several_blocks_are_the_whole_sum_rounded_once(count: int) -> None:
    draw = torch.Generator().manual_seed(count)
    parts = [torch.randn(count, generator=draw) for _ in range(3)]
    whole = 0.3 * parts[0].double() + -1.7 * parts[1].double() + 0.9 * parts[2].double()
    assert same_bits(combine(parts, [0.3, -1.7, 0.9]), whole.float())
    doubles = [part.double() for part in parts]
    kept = doubles[0].clone()
    assert torch.equal(combine(doubles, [0.3, -1.7, 0.9]), whole)
    assert torch.equal(doubles[0], kept)  # float64 blocks are copies too


def test_linear_refuses_coefficients_that_cancel() -> None:
    with pytest.raises(EvalkitError, match="add up to 0"):
        linear(None, [torch.ones(1), torch.ones(1)], [1.0, -1.0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_parents_are_merged_in_float32(dtype: torch.dtype) -> None:
    base, one = torch.tensor([1.0]).to(dtype), torch.tensor([1.0078125]).to(dtype)
    merged = task_arithmetic(base, [one], [0.5])
    assert merged.dtype == torch.float32
    assert merged.item() == 1.00390625  # not representable in bfloat16


def test_tensors_without_dimensions_or_elements() -> None:
    scalar = task_arithmetic(torch.tensor(1.0), [torch.tensor(3.0)], [0.5])
    assert scalar.shape == () and scalar.item() == 2.0
    assert task_arithmetic(torch.zeros(0, 3), [torch.zeros(0, 3)], [0.5]).shape == (0, 3)


def test_built_in_methods_are_plugins_of_their_own_name() -> None:
    assert find_method("linear") is linear
    assert find_method("task_arithmetic") is task_arithmetic
    assert all(find_method(name).name == name for name in ("linear", "task_arithmetic"))
    assert {"linear", "task_arithmetic"} <= set(MERGERS.names())
    with pytest.raises(EvalkitError, match="did you mean 'task_arithmetic'"):
        find_method("task_arithmetics")


def test_a_method_guards_its_function() -> None:
    @merge_method("broken")
    def broken(base: Tensor, parents: list[Tensor], weights: list[float]) -> Tensor:
        return torch.zeros(7)

    with pytest.raises(EvalkitError, match="'broken' needs a base"):
        broken(None, [torch.ones(2)], [1.0])
    with pytest.raises(EvalkitError, match="1 tensors and 2 coefficients"):
        broken(torch.ones(2), [torch.ones(2)], [1.0, 2.0])
    with pytest.raises(EvalkitError, match=r"made \[7\] of \[2\]"):
        broken(torch.ones(2), [torch.ones(2)], [1.0])
