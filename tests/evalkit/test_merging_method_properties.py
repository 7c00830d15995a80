"""What every merge method owes its users: shapes, types, finite numbers, inputs left alone, order and scale."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from evalkit.merging.base import MergeMethod, Site, find_method
from evalkit.registry import MERGERS

BUILT_IN = [
    "linear", "task_arithmetic", "hierarchical", "ties", "dare_linear", "dare_ties", "della", "della_linear",
    "breadcrumbs", "breadcrumbs_ties", "slerp", "nuslerp", "multislerp", "karcher", "model_stock", "sce",
    "arcee_fusion", "ram", "ram_plus",
]  # fmt: skip
# Options that change which way a method goes.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in BUILT_IN),
    ("task_arithmetic", {"rounding": "each_step"}),
    ("ties", {"scope": "tensor"}),
    ("ties", {"density": 1.0, "normalise": False}),
    ("dare_linear", {"density": 1.0}),
    ("nuslerp", {"flatten": False}),
    ("nuslerp", {"flatten": False, "row_wise": True}),
    ("sce", {"select": 0.5}),
]
IDS = ["-".join([name, *(f"{key}={value}" for key, value in options.items())]) for name, options in VARIANTS]
every_method = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=IDS)
# Defined by a fixed size of change, or by a softmax: these do not scale with the weights.
UNSCALED = {"ram", "ram_plus", "arcee_fusion"}
every_scaled_method = pytest.mark.parametrize(
    ("name", "options"), [variant for variant in VARIANTS if variant[0] not in UNSCALED]
)
SHAPES = [(), (0,), (0, 3), (3, 0), (1,), (1, 1), (6,), (4, 5), (2, 3, 4), (2, 3, 1, 2)]
NAMES = ("anna", "ben", "cleo")


def count_of(method: MergeMethod) -> int:
    return method.parents[1] or 3


def draw(shape: tuple[int, ...], count: int, seed: int = 0) -> tuple[Tensor, list[Tensor]]:
    random = torch.Generator().manual_seed(seed)
    base = torch.randn(shape, generator=random)
    common = base + 0.1 * torch.randn(shape, generator=random)
    return base, [common + 0.2 * torch.randn(shape, generator=random) for _ in range(count)]


def merge(
    method: MergeMethod, base: Tensor, tensors: list[Tensor], options: dict[str, Any], names: tuple[str, ...] = NAMES
) -> Tensor:
    """Merge one tensor as if it were the whole model, each parent with its coefficient."""
    coefficients = dict(zip(NAMES, [1.0] * 3 if method.name == "model_stock" else [0.9, 0.4, 0.7], strict=True))
    weights = [coefficients[name] for name in names[: len(tensors)]]
    survey = None
    if method.survey is not None:
        survey = method.survey([(base.float(), [tensor.float() for tensor in tensors])], **method.settings(options))
    site = Site("decoder.weight", names[: len(tensors)], 5)
    return method(base, tensors, weights, site=site, survey=survey, **options)


def test_the_built_in_methods_are_registered_under_their_names() -> None:
    assert set(BUILT_IN) <= set(MERGERS.names())
    assert [find_method(name).name for name in BUILT_IN] == BUILT_IN
    for name in BUILT_IN:
        first = (find_method(name).function.__doc__ or "").splitlines()[0]
        assert first.endswith(".") and len(first) < 120


@every_method
def test_shapes_stay_and_no_input_changes(name: str, options: dict[str, Any]) -> None:
    method = find_method(name)
    for shape, dtype in itertools.product(SHAPES, (torch.float32, torch.float64)):
        base, tensors = draw(shape, count_of(method))
        base, tensors = base.to(dtype), [tensor.to(dtype) for tensor in tensors]
        before = [tensor.clone() for tensor in (base, *tensors)]
        merged = merge(method, base, tensors, options)
        assert merged.shape == shape and merged.dtype == dtype
        assert bool(merged.isfinite().all())
        assert all(torch.equal(old, new) for old, new in zip(before, (base, *tensors), strict=True))
        assert all(merged.data_ptr() != tensor.data_ptr() or not merged.numel() for tensor in (base, *tensors))


@every_method
def test_non_contiguous_tensors_merge_as_their_copies_do(name: str, options: dict[str, Any]) -> None:
    method = find_method(name)
    base, tensors = draw((6, 7, 8), count_of(method))
    views = [tensor.permute(2, 0, 1)[::2] for tensor in (base, *tensors)]
    copies = [view.contiguous() for view in views]
    assert not views[0].is_contiguous()
    merged = merge(method, views[0], views[1:], options)
    assert torch.equal(merged, merge(method, copies[0], copies[1:], options))


@every_method
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_merged_in_float32(name: str, options: dict[str, Any], dtype: torch.dtype) -> None:
    method = find_method(name)
    base, tensors = draw((12, 20), count_of(method))
    base, tensors = base.to(dtype), [tensor.to(dtype) for tensor in tensors]
    merged = merge(method, base, tensors, options)
    assert merged.dtype == torch.float32
    assert torch.equal(merged, merge(method, base.float(), [tensor.float() for tensor in tensors], options))
    if name != "arcee_fusion":  # which takes over weights of a parent, scaled by 0.9
        assert not torch.equal(merged.to(dtype).float(), merged)


@every_method
def test_the_order_of_parents_does_not_matter(name: str, options: dict[str, Any]) -> None:
    method = find_method(name)
    base, tensors = draw((12, 20), count_of(method))
    merged = merge(method, base, tensors, options)
    for order in itertools.permutations(range(len(tensors))):
        names = tuple(NAMES[index] for index in order)
        shuffled = merge(method, base, [tensors[index] for index in order], options, names)
        torch.testing.assert_close(shuffled, merged, rtol=1e-6, atol=1e-6)


@every_scaled_method
@pytest.mark.parametrize("power", [-20, -3, 7])
def test_scaling_every_checkpoint_scales_the_merge(name: str, options: dict[str, Any], power: int) -> None:
    method = find_method(name)
    base, tensors = draw((12, 20), count_of(method))
    merged = merge(method, base, tensors, options)
    factor = 2.0**power
    scaled = merge(method, base * factor, [tensor * factor for tensor in tensors], options)
    torch.testing.assert_close(scaled / factor, merged, rtol=1e-6, atol=1e-6)


@every_method
def test_parents_that_never_left_the_base_give_the_base(name: str, options: dict[str, Any]) -> None:
    method = find_method(name)
    for shape in SHAPES:
        base, _ = draw(shape, 1)
        merged = merge(method, base, [base.clone() for _ in range(count_of(method))], options)
        if method.needs_base and options.get("rounding") != "each_step":
            assert torch.equal(merged, base)
        else:
            torch.testing.assert_close(merged, base, rtol=1e-6, atol=1e-7)


@every_method
def test_degenerate_tensors_give_finite_numbers(name: str, options: dict[str, Any]) -> None:
    method = find_method(name)
    count = count_of(method)
    zero, one = torch.zeros(3, 4), torch.ones(3, 4)
    huge, tiny = torch.full((3, 4), 3e37), torch.full((3, 4), 1e-40)
    ramp = torch.linspace(-1, 1, 12).reshape(3, 4)
    for base, *parents in itertools.product(
        (zero, one, tiny, ramp), (zero, one, -one, huge, tiny, ramp, -ramp), (one,)
    ):
        tensors = [parents[index % 2] for index in range(count)]
        assert bool(merge(method, base, tensors, options).isfinite().all()), (base, tensors)


EXACT: list[tuple[str, dict[str, Any]]] = [
    ("ties", {"density": 1.0}), ("ties", {"density": 1.0, "normalise": False}), ("dare_linear", {"density": 1.0}),
    ("dare_ties", {"density": 1.0}), ("della", {"density": 1.0}), ("della_linear", {"density": 1.0}),
    ("breadcrumbs", {"density": 1.0}), ("breadcrumbs_ties", {"density": 1.0}), ("linear", {}), ("task_arithmetic", {}),
    ("hierarchical", {}), ("multislerp", {}), ("karcher", {}),
]  # fmt: skip
FLOATS = st.lists(st.floats(-1e6, 1e6, width=32), min_size=6, max_size=6)


def same_bits(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one.view(torch.int32), other.view(torch.int32))


@pytest.mark.parametrize(("name", "options"), EXACT, ids=str)
@settings(max_examples=20, deadline=None)
@given(st.lists(FLOATS, min_size=2, max_size=2))
def test_one_whole_task_vector_gives_its_parent_bit_for_bit(
    name: str, options: dict[str, Any], rows: list[list[float]]
) -> None:
    # + 0.0: where a parent equals the base an election takes the base's zero, so both have the same one here.
    base, parent = (torch.tensor(row) + 0.0 for row in rows)
    assert same_bits(find_method(name)(base, [parent], [1.0], **options), parent)


@settings(max_examples=30, deadline=None)
@given(st.lists(FLOATS, min_size=3, max_size=3), st.sampled_from([1.0, 0.3, 7.0]), st.booleans())
def test_an_arc_begins_and_ends_at_its_parents_bit_for_bit(
    rows: list[list[float]], coefficient: float, flatten: bool
) -> None:
    base, one, two = (torch.tensor(row).reshape(2, 3) for row in rows)
    for method, start, options in (("slerp", None, {}), ("nuslerp", None, {}), ("nuslerp", base, {"flatten": flatten})):
        assert same_bits(find_method(method)(start, [one, two], [coefficient, 0.0], **options), one)
        assert same_bits(find_method(method)(start, [one, two], [0.0, coefficient], **options), two)
