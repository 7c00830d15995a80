"""Adapters combined into one, against peft's add_weighted_adapter and evalkit's merge methods on the deltas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lora_models import TARGETS, heard, randomise, saved, small_model, with_adapter
from peft import LoraConfig
from torch import Tensor

from evalkit.errors import EvalkitError
from evalkit.merging import Adapter, fold_adapter, read_adapter
from evalkit.merging.base import Site, find_method
from evalkit.merging.lora_combine import combine_adapters
from evalkit.merging.lora_svd import compress, truncate
from evalkit.merging.lora_update import LowRank

WEIGHTS = [0.7, -1.3]
# peft hands a Conv1d's three-dimensional delta to the SVD as a stack of matrices, so its `svd` works without one.
NO_CONV1D = [target for target in TARGETS if target != "conv"]


def pair(folder: Path, *, ranks: tuple[int, int] = (2, 2), targets: list[list[str]]) -> tuple[Any, list[Adapter]]:
    """A peft model with the adapters "one" and "two", and both as evalkit reads them."""
    wrapped = with_adapter(small_model(), name="one", r=ranks[0], target_modules=targets[0])
    wrapped.add_adapter("two", LoraConfig(r=ranks[1], lora_alpha=7, target_modules=targets[1], use_rslora=True))
    randomise(wrapped, "two")
    return wrapped, [read_adapter(saved(wrapped, folder, name)) for name in ("one", "two")]


@pytest.mark.parametrize("weights", [WEIGHTS, [0.5, 0.5], [1.0, 0.0]])
@pytest.mark.parametrize(
    ("method", "ranks", "targets"),
    [
        ("linear", (2, 2), [TARGETS, TARGETS]),
        ("linear", (2, 2), [["embedding", "linear"], ["linear", "conv"]]),
        ("cat", (2, 3), [TARGETS, TARGETS]),
        ("cat", (2, 3), [["embedding", "linear"], ["linear", "conv"]]),
        ("svd", (1, 2), [NO_CONV1D, NO_CONV1D]),
        ("svd", (2, 3), [["embedding", "linear"], ["linear", "image"]]),
    ],
)
def test_the_combination_is_pefts(
    tmp_path: Path, method: str, ranks: tuple[int, int], targets: list[list[str]], weights: list[float]
) -> None:
    wrapped, adapters = pair(tmp_path, ranks=ranks, targets=targets)
    wrapped.add_weighted_adapter(["one", "two"], weights, "both", combination_type=method)
    wrapped.set_adapter("both")
    # peft truncates to the largest rank, which is not our default.
    combined = combine_adapters(adapters, weights, method, **({"rank": max(ranks)} if method == "svd" else {}))
    assert set(combined.updates) == {target for chosen in targets for target in chosen}
    for module, update in combined.updates.items():
        theirs = wrapped.base_model.model.get_submodule(module).get_delta_weight("both")
        torch.testing.assert_close(update.delta().float(), theirs, rtol=1e-5, atol=1e-5)
    model = small_model()
    ours = heard(model, fold_adapter(model.state_dict(), combined))
    torch.testing.assert_close(ours, heard(wrapped), rtol=1e-4, atol=1e-4)
    assert (ours - heard(model)).abs().max() > 0.01


@pytest.mark.parametrize("method", ["cat", "svd"])
def test_cat_and_full_svd_are_the_exact_sum_and_linear_is_not(tmp_path: Path, method: str) -> None:
    _, adapters = pair(tmp_path, targets=[TARGETS, TARGETS[1:]])
    combined = combine_adapters(adapters, WEIGHTS, method)
    crossed = combine_adapters(adapters, WEIGHTS, "linear")
    for module in TARGETS:
        deltas = [weight * adapter.updates[module].delta() for adapter, weight in zip(adapters, WEIGHTS, strict=True)
                  if module in adapter.updates]  # fmt: skip
        expected = torch.stack(deltas).sum(0)
        torch.testing.assert_close(combined.updates[module].delta(), expected, rtol=1e-5, atol=1e-5)
        far = (crossed.updates[module].delta() - expected).norm() / expected.norm()
        assert (far > 0.2) == (len(deltas) == 2), "cross terms, where there are two"
    ranks = {module: update.rank for module, update in combined.updates.items()}
    capped = 2 if method == "svd" else 4  # `point` maps 3 channels to 2
    assert ranks == {"embedding": 2, "linear": 4, "conv": 4, "image": 3 if method == "svd" else 4, "point": capped}
    assert set(combined.kept) == (set(TARGETS) if method == "svd" else set())
    assert all(share == pytest.approx(1) for share in combined.kept.values())


SPARSE: dict[str, dict[str, Any]] = {
    "task_arithmetic": {},
    "ties": {"density": 0.5},
    "dare_linear": {"density": 0.6},
    "dare_ties": {"density": 0.6},
}


@pytest.mark.parametrize("name", SPARSE)
def test_a_merge_method_works_on_the_whole_deltas(tmp_path: Path, name: str) -> None:
    _, adapters = pair(tmp_path, targets=[TARGETS, TARGETS[1:]])
    combined = combine_adapters(adapters, [0.7, 0.6], f"{name}_svd", rank=99, seed=3, **SPARSE[name])
    deltas = {
        module: [
            a.updates[module].delta().float() if module in a.updates else torch.zeros(update.shape) for a in adapters
        ]
        for module, update in combined.updates.items()
    }
    method = find_method(name)
    options = method.settings(SPARSE[name])
    # TIES seeks the largest changes over all modules at once.
    survey = method.survey and method.survey([(torch.zeros_like(d[0]), d) for d in deltas.values()], **options)
    for module, update in combined.updates.items():
        site = Site(f"{module}.weight", ("one", "two"), 3)
        zero = torch.zeros(update.shape)
        expected = method(zero, deltas[module], [0.7, 0.6], site=site, survey=survey, **options)
        torch.testing.assert_close(update.delta().float(), expected, rtol=1e-5, atol=1e-5)
    assert all(share == pytest.approx(1) for share in combined.kept.values()), "nothing was cut at full rank"


@pytest.mark.parametrize("name", ["ties", "dare_ties"])
def test_truncation_says_what_share_of_the_energy_it_keeps(tmp_path: Path, name: str) -> None:
    _, adapters = pair(tmp_path, targets=[TARGETS, TARGETS])
    whole = combine_adapters(adapters, [1.0, 1.0], f"{name}_svd", rank=99, **SPARSE[name])
    cut = combine_adapters(adapters, [1.0, 1.0], f"{name}_svd", rank=2, **SPARSE[name])
    for module, update in cut.updates.items():
        full = whole.updates[module].delta()
        lost = float((full - update.delta()).square().sum() / full.square().sum())
        assert cut.kept[module] == pytest.approx(1 - lost, abs=1e-5)
    assert cut.kept["linear"] < 0.99
    assert {update.rank for update in cut.updates.values()} == {2}
    default = combine_adapters(adapters, [1.0, 1.0], f"{name}_svd", **SPARSE[name])
    assert default.updates["linear"].rank == 4, "the sum of the ranks"


def test_random_methods_follow_the_seed_and_not_the_order(tmp_path: Path) -> None:
    _, (one, two) = pair(tmp_path, targets=[["linear"], ["linear"]])

    def delta(adapters: list[Adapter], seed: int) -> Tensor:
        combined = combine_adapters(adapters, [1.0, 1.0], "dare_linear_svd", rank=8, seed=seed, density=0.5)
        return combined.updates["linear"].delta()

    torch.testing.assert_close(delta([one, two], 1), delta([two, one], 1), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(delta([one, two], 1), delta([one, two], 2), atol=1e-3)


def test_adapters_that_cannot_be_combined(tmp_path: Path) -> None:
    _, adapters = pair(tmp_path, ranks=(2, 3), targets=[["linear"], ["linear"]])

    def sentence(method: str = "svd", weights: list[float] | None = None, **options: Any) -> str:
        with pytest.raises(EvalkitError) as raised:
            combine_adapters(options.pop("adapters", adapters), weights or [1.0, 1.0], method, **options)
        return str(raised.value)

    assert "has ranks [2, 3]" in sentence("linear")
    assert "no combination 'ties'" in sentence("ties")
    assert "Unknown merge method 'tie'" in sentence("tie_svd")
    assert "no option rank" in sentence("cat", rank=2)
    assert "no option density" in sentence("svd", density=0.5)
    assert "density" in sentence("task_arithmetic_svd", density=0.5)
    assert "rank 0" in sentence(rank=0)
    assert "2 adapters got 1 coefficients" in sentence(weights=[1.0])
    assert "give numbers" in sentence(weights=[1.0, float("inf")])
    other = Adapter("other", {"linear": LowRank(torch.ones(2, 5), torch.ones(8, 2), 1.0)})
    assert "[8, 8] and plain [8, 5]" in sentence(adapters=[adapters[0], other])
    turned = Adapter("turned", {"linear": LowRank(torch.ones(2, 8), torch.ones(8, 2), 1.0, "fan_in_fan_out")})
    assert "fan_in_fan_out" in sentence(adapters=[adapters[0], turned])
    dora = read_adapter(saved(with_adapter(small_model(), use_dora=True, bias="lora_only"), tmp_path / "dora"))
    assert "modules_to_save" in sentence(adapters=[adapters[0], dora])
    assert "'use_dora'" in sentence(adapters=[adapters[0], dora])
    weight, update = torch.ones(5, 4), LowRank(torch.ones(2, 5), torch.ones(4, 2), 1.0, "embedding")
    words = Adapter("words", {"words": update}, {"words.weight": weight})  # peft's doing, without any modules_to_save
    message = sentence(adapters=[words, words])
    assert "'save_embedding_layers'" in message and "modules_to_save" not in message


@settings(max_examples=50, deadline=None)
@given(
    out=st.integers(1, 6), into=st.integers(1, 6), kernel=st.integers(1, 3), rank=st.integers(1, 7),
    target=st.integers(1, 7), seed=st.integers(0, 99),
)  # fmt: skip
def test_compressing_factors_is_truncating_their_product(
    out: int, into: int, kernel: int, rank: int, target: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(rank, into, kernel, generator=generator)
    update = LowRank(a, torch.randn(out, rank, 1, generator=generator), -0.5)
    short, kept = compress(update, target)
    expected, share = truncate(update.delta(), target)
    torch.testing.assert_close(short.delta(), expected.delta(), rtol=1e-4, atol=1e-5)
    assert short.shape == update.shape
    assert short.rank == min(target, rank, out, into * kernel)
    assert kept == pytest.approx(share)


def test_an_update_of_zeros_is_kept_whole() -> None:
    update, kept = truncate(torch.zeros(3, 4), 2)
    assert kept == 1
    assert torch.equal(update.delta(), torch.zeros(3, 4).double())
