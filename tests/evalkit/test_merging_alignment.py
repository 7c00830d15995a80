"""What becomes of tensors that are not simply floats that everybody has: partners, buffers, ties, types."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from evalkit.checkpoints import fingerprint
from evalkit.errors import EvalkitError
from evalkit.merging import LayerWeights, Merged, merge_checkpoints

Weights = dict[str, Tensor]


def merge(base: Weights | None, one: Weights, other: Weights, **arguments: Any) -> Merged:
    weights = arguments.pop("weights", {"one": 0.5, "other": 0.25})
    return merge_checkpoints(base, {"one": one, "other": other}, weights, **arguments)


def like(value: float) -> Weights:
    return {"net.w": torch.full((2, 3), value), "net.b": torch.full((3,), value)}


BASE, ONE, OTHER = like(1.0), like(2.0), like(3.0)
EXTRA = {"net.extra": torch.tensor([7.0])}


def test_tensors_without_a_partner_are_kept_from_whom_one_says() -> None:
    merged = merge(BASE, ONE | EXTRA, OTHER, unmatched="keep:one")
    assert merged.tensors["net.extra"].tolist() == [7.0]
    assert merged.report.copied == {"net.extra": "one"} and not merged.report.dropped
    assert merged.tensors["net.w"][0, 0] == 1 + 0.5 * 1 + 0.25 * 2


def test_tensors_that_the_keeper_lacks_are_dropped_and_listed() -> None:
    for unmatched in ("base", "keep:other"):
        merged = merge(BASE, ONE | EXTRA, OTHER, unmatched=unmatched)
        assert set(merged.tensors) == set(BASE)
        assert merged.report.dropped == {"net.extra": ("one",)} and not merged.report.copied
        assert merged.report.counts()["dropped"] == 1


def test_another_shape_is_kept_from_whom_one_says() -> None:
    """Two vocabularies: rows that stand for other symbols cannot be averaged."""
    wide = ONE | {"net.w": torch.full((4, 3), 2.0)}
    assert "differ in shape: net.w (the first: [2, 3] and [4, 3])" in refusal(BASE, wide, OTHER)
    assert merge(BASE, wide, OTHER, unmatched="keep:one").tensors["net.w"].shape == (4, 3)
    assert torch.equal(merge(BASE, wide, OTHER, unmatched="base").tensors["net.w"], BASE["net.w"])


def refusal(base: Weights, one: Weights, other: Weights, **arguments: Any) -> str:
    with pytest.raises(EvalkitError) as raised:
        merge(base, one, other, **arguments)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("unmatched", ["keep:two", "keep:", "one", "drop"])
def test_a_keeper_that_does_not_exist_is_an_error(unmatched: str) -> None:
    assert "it takes one of error, base, keep:one, keep:other" in refusal(BASE, ONE, OTHER, unmatched=unmatched)


def test_a_refusal_names_both_remedies_and_counts_other_problems() -> None:
    message = refusal(BASE, ONE | EXTRA, OTHER | {"net.b": torch.zeros(4)})
    assert (
        "1 tensor of 'base' and 'other' differ in shape: net.b" in message and "and 1 more for other reasons" in message
    )
    assert "--unmatched" in message


def test_counters_of_batchnorm_take_the_largest() -> None:
    def model(steps: int, value: float) -> Weights:
        norm = nn.BatchNorm1d(3)
        state = {f"net.{key}": tensor.clone() for key, tensor in norm.state_dict().items()}
        state["net.num_batches_tracked"].fill_(steps)
        state["net.running_mean"].fill_(value)
        return state

    merged = merge(model(10, 0.0), model(30, 1.0), model(20, 2.0))
    assert merged.tensors["net.num_batches_tracked"].item() == 30
    assert merged.report.counters == ("net.num_batches_tracked",)


AVERAGE, SUM = (0.5 * 2 + 0.25 * 3) / 0.75, 1 + 0.5 * 1 + 0.25 * 2  # at the coefficients 0.5 and 0.25


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        *[(name, {}, AVERAGE) for name in ("linear", "slerp", "nuslerp", "karcher", "multislerp")],
        *[(name, {}, AVERAGE) for name in ("ties", "dare_ties", "della", "breadcrumbs_ties", "sce")],
        *[(name, {}, SUM) for name in ("task_arithmetic", "dare_linear", "della_linear", "breadcrumbs")],
        *[(name, {}, (1 + SUM) / 2) for name in ("ram", "ram_plus")],
        ("ties", {"normalise": False}, SUM),
        ("ties", {"scale": 0.5}, (1 + AVERAGE) / 2),
        ("breadcrumbs", {"scale": 0.5}, (1 + SUM) / 2),
    ],
)
def test_running_statistics_move_as_far_as_the_weights(method: str, options: dict[str, Any], expected: float) -> None:
    """Pruned or rotated they would describe no data that any of the networks saw; added up by a method that averages,
    no data that the merged network sees."""
    key = "net.running_var"
    states = [BASE | {key: torch.tensor([value, 1.0])} for value in (1.0, 2.0, 3.0)]
    merged = merge(*states, method=method, options=options)
    assert merged.tensors[key].tolist() == pytest.approx([expected, 1.0])


def test_without_a_base_running_statistics_are_averaged() -> None:
    states = [BASE | {"net.running_var": torch.tensor([value])} for value in (2.0, 3.0)]
    merged = merge(None, *states, method="slerp")
    assert merged.tensors["net.running_var"].tolist() == pytest.approx([AVERAGE])


def test_a_negative_variance_is_refused() -> None:
    states = [BASE | {"net.running_var": torch.tensor([value])} for value in (1.0, 0.1, 0.1)]
    assert "negative variance in 'net.running_var'" in refusal(*states, weights={"one": 1.0, "other": 1.0})


def test_rotary_tables_are_taken_over_or_refused_but_never_averaged() -> None:
    table = {"net.rotary_embed.inv_freq": torch.tensor([1.0, 0.1])}
    merged = merge(BASE | table, ONE | table, OTHER | table)
    assert "net.rotary_embed.inv_freq" in merged.report.same
    changed = {"net.rotary_embed.inv_freq": torch.tensor([1.0, 0.2])}
    assert "computed tables differ between 'base' and 'other'" in refusal(BASE | table, ONE | table, OTHER | changed)


def test_a_missing_affine_instance_norm_stands_for_the_identity() -> None:
    """Kokoro's release lacks what its code makes 1 and 0; a fine-tune saved by that code has it."""
    block = {"decoder.norm1.fc.weight": torch.ones(2, 2)}
    affine = {
        "decoder.norm1.norm.weight": torch.tensor([3.0, 1.0]),
        "decoder.norm1.norm.bias": torch.tensor([4.0, 0.0]),
    }
    merged = merge(block, block | affine, block, weights={"one": 0.5, "other": 1.0})
    assert merged.tensors["decoder.norm1.norm.weight"].tolist() == [2.0, 1.0]
    assert merged.tensors["decoder.norm1.norm.bias"].tolist() == [2.0, 0.0]
    assert merged.report.implied == dict.fromkeys(affine, ("base", "other"))
    without_block = {"net.norm.weight": torch.ones(2)}
    assert "without a partner" in refusal(BASE, ONE | without_block, OTHER)


def test_equal_tensors_are_taken_over_bit_for_bit_by_every_method() -> None:
    frozen = {"net.frozen": torch.tensor([0.1, -0.0, 1e-42])}
    for method in ("linear", "ties", "dare_ties", "slerp"):
        merged = merge(BASE | frozen, ONE | frozen, OTHER | frozen, method=method)
        assert torch.equal(merged.tensors["net.frozen"].view(torch.int32), frozen["net.frozen"].view(torch.int32))
        assert "net.frozen" in merged.report.same


def tied(value: float, apart: bool = False) -> Weights:
    weight = torch.full((4, 2), value)
    return {"net.embed.weight": weight, "net.w": torch.zeros(1), "net.head.weight": weight + 1 if apart else weight}


def test_tied_tensors_stay_one_tensor_even_by_a_random_method() -> None:
    for method, options in (("dare_linear", {"density": 0.5}), ("task_arithmetic", {})):
        merged = merge(tied(1.0), tied(2.0), tied(3.0), method=method, options=options).tensors
        assert merged["net.embed.weight"].data_ptr() == merged["net.head.weight"].data_ptr()


def test_tensors_that_a_fine_tune_pulled_apart_are_merged_apart() -> None:
    merged = merge(tied(1.0), tied(2.0), tied(3.0, apart=True)).tensors
    assert merged["net.embed.weight"][0, 0] == 1 + 0.5 + 0.5 and merged["net.head.weight"][0, 0] == 1 + 0.5 + 0.75


def test_equal_copies_in_a_fine_tune_are_still_tied() -> None:
    copies = {key: tensor.clone() for key, tensor in tied(2.0).items()}
    merged = merge(tied(1.0), copies, tied(3.0), method="dare_linear", options={"density": 0.5}).tensors
    assert merged["net.embed.weight"].data_ptr() == merged["net.head.weight"].data_ptr()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_parents_are_merged_in_float32(dtype: torch.dtype) -> None:
    halves = [{"net.w": torch.tensor([value]).to(dtype)} for value in (1.0, 1.0078125, 1.0078125)]
    merged = merge(*halves, weights={"one": 0.5, "other": 0.0})
    assert merged.tensors["net.w"].dtype == torch.float32
    assert merged.tensors["net.w"].item() == 1.00390625  # between two numbers of bfloat16


def test_parents_of_several_types_meet_in_float32() -> None:
    parents = [{"net.w": torch.tensor([1.5]).to(dtype)} for dtype in (torch.float64, torch.float16, torch.bfloat16)]
    assert merge(*parents, weights={"one": 0.3, "other": 0.9}).tensors["net.w"].item() == 1.5


def test_complex_and_boolean_tensors_are_taken_over_or_refused() -> None:
    odd = {"net.phase": torch.tensor([1 + 2j]), "net.mask": torch.tensor([True, False])}
    assert merge(BASE | odd, ONE | odd, OTHER | odd).report.same == ("net.phase", "net.mask")
    assert "net.mask" in refusal(BASE | odd, ONE | odd, OTHER | odd | {"net.mask": torch.tensor([True, True])})


def test_as_the_files_spell_them_magnitude_and_direction_are_merged_apart() -> None:
    old = {"net.c.weight_g": torch.tensor([[1.0]]), "net.c.weight_v": torch.tensor([[3.0, 4.0]])}
    new = {"net.c.weight_g": torch.tensor([[2.0]]), "net.c.weight_v": torch.tensor([[4.0, 3.0]])}
    merged = merge(old, new, old, respell=False)
    assert set(merged.tensors) == set(old) and merged.report.folded == {"base": (), "one": (), "other": ()}
    assert merged.tensors["net.c.weight_v"].tolist() == [[3.5, 3.5]]
    prefixed = {f"module.{key}": tensor for key, tensor in new.items()}
    assert "2 tensors of 'base' without a partner in 'one'" in refusal(old, prefixed, old, respell=False)
    assert fingerprint(merge(old, prefixed, old).tensors) == fingerprint(merge(old, new, old).tensors)


def test_random_methods_do_not_depend_on_the_order_of_tensors_or_parents() -> None:
    generator = torch.Generator().manual_seed(0)
    states = [{f"net.{n}": torch.randn(50, generator=generator) for n in "abc"} for _ in range(3)]
    for method in ("dare_linear", "dare_ties", "della"):
        arguments: dict[str, Any] = {"method": method, "options": {"density": 0.5}, "seed": 3}
        first = merge_checkpoints(states[0], {"x": states[1], "y": states[2]}, {"x": 1.0, "y": 0.7}, **arguments)
        backwards = [dict(reversed(state.items())) for state in states]
        second = merge_checkpoints(
            backwards[0], {"y": backwards[2], "x": backwards[1]}, {"y": 0.7, "x": 1.0}, **arguments
        )
        for key, tensor in first.tensors.items():  # the sum of two parents rounds alike in either order
            torch.testing.assert_close(second.tensors[key], tensor, rtol=1e-6, atol=1e-6)
        other = merge_checkpoints(
            states[0], {"x": states[1], "y": states[2]}, {"x": 1.0, "y": 0.7}, **arguments | {"seed": 4}
        )
        assert fingerprint(other.tensors) != fingerprint(first.tensors)


def test_one_tensor_under_two_names_has_one_coefficient() -> None:
    """It is merged once: a coefficient of the other name would be ignored, and the report untrue."""
    states = [{"embed.weight": (weight := torch.randn(4, 4)), "head.weight": weight} for _ in range(2)]
    for layers in ({"head": 0.0}, {"embed": 0.5}):
        with pytest.raises(EvalkitError, match=r"'embed.weight' and 'head.weight' are one tensor \(tied\)"):
            merge_checkpoints(states[0], {"one": states[1]}, {"one": LayerWeights(1.0, layers)})
    merged = merge_checkpoints(states[0], {"one": states[1]}, {"one": LayerWeights(1.0, {"head": 0.5, "embed": 0.5})})
    assert merged.report.sections["head"].coefficients == {"one": (0.5,)}


@pytest.mark.parametrize("method", ["ties", "ram_plus"])
def test_a_survey_counts_a_tied_tensor_once(method: str) -> None:
    torch.manual_seed(0)
    base = {"embed.weight": torch.randn(100, 10), "layer.weight": torch.randn(100, 10)}
    parents = [{key: tensor + 0.3 * torch.randn(100, 10) for key, tensor in base.items()} for _ in range(2)]
    for parent in parents:
        parent["layer.weight"][:50] = base["layer.weight"][:50]
    alone = merge(base, *parents, method=method).tensors
    tied = [state | {"head.weight": state["embed.weight"]} for state in (base, *parents)]
    beside = merge(tied[0], tied[1], tied[2], method=method).tensors
    assert all(torch.equal(beside[key], alone[key]) for key in alone)
