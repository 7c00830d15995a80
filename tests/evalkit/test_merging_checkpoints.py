"""Merging whole checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from evalkit.checkpoints import canonical, fingerprint
from evalkit.errors import EvalkitError
from evalkit.merging import LayerWeights, merge_checkpoints

Weights = dict[str, Tensor]


def weights(seed: int) -> Weights:
    generator = torch.Generator().manual_seed(seed)
    return {
        "encoder.w": torch.randn(3, 4, generator=generator),
        "decoder.w": torch.randn(5, generator=generator),
        "decoder.scale": torch.randn((), generator=generator),
        "decoder.steps": torch.tensor(100),
    }


BASE, SARAH, SUMIT = weights(0), weights(1), weights(2)
PARENTS = {"sarah": SARAH, "sumit": SUMIT}
UNIFORM = {"sarah": 0.6, "sumit": 1.0}


def refusal(base: Weights | None, parents: dict[str, Weights], coefficients: Mapping[str, float | LayerWeights]) -> str:
    with pytest.raises(EvalkitError) as raised:
        merge_checkpoints(base, parents, coefficients)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_uniform_merge_and_its_report() -> None:
    merged = merge_checkpoints(BASE, PARENTS, UNIFORM)
    assert list(merged.tensors) == list(BASE)
    for key in ("encoder.w", "decoder.w", "decoder.scale"):
        expected = BASE[key] + 0.6 * (SARAH[key] - BASE[key]) + 1.0 * (SUMIT[key] - BASE[key])
        torch.testing.assert_close(merged.tensors[key], expected)
    assert merged.tensors["decoder.steps"].item() == 100
    report = merged.report
    assert report.method == "task_arithmetic"
    assert report.merged == ("encoder.w", "decoder.w", "decoder.scale")
    assert report.same == ("decoder.steps",)
    assert report.counts() == {"merged": 3, "same": 1, "counters": 0, "copied": 0, "dropped": 0, "implied": 0}
    assert report.sections["decoder"].tensors == 3
    assert report.sections["decoder"].parameters == 7
    change = (merged.tensors["encoder.w"] - BASE["encoder.w"]).norm() / BASE["encoder.w"].norm()
    assert report.sections["encoder"].relative_change == pytest.approx(change.item(), rel=1e-5)


def test_sections_take_their_own_coefficients_whatever_the_order() -> None:
    """The encoder of one parent, everything else of the other: bit for bit."""
    coefficients = {"sumit": LayerWeights(0.0, {"encoder": 1.0}), "sarah": LayerWeights(1.0, {"encoder": 0.0})}
    merged = merge_checkpoints(BASE, PARENTS, coefficients)
    assert torch.equal(merged.tensors["encoder.w"], SUMIT["encoder.w"])
    assert torch.equal(merged.tensors["decoder.w"], SARAH["decoder.w"])
    assert merged.report.sections["encoder"].coefficients == {"sarah": (0.0,), "sumit": (1.0,)}


def test_no_coefficient_gives_the_base_and_says_that_nothing_changed() -> None:
    merged = merge_checkpoints(BASE, PARENTS, {"sarah": 0.0, "sumit": 0.0})
    assert fingerprint(merged.tensors) == fingerprint(BASE)
    assert {section.relative_change for section in merged.report.sections.values()} == {0.0}


def test_linear_needs_no_base() -> None:
    merged = merge_checkpoints(None, PARENTS, {"sarah": 1.0, "sumit": 1.0}, "linear")
    torch.testing.assert_close(merged.tensors["decoder.w"], (SARAH["decoder.w"] + SUMIT["decoder.w"]) / 2)
    assert merged.report.sections["decoder"].relative_change is None
    assert "needs a base" in refusal(None, PARENTS, UNIFORM)


def test_spellings_are_merged_as_effective_weights() -> None:
    """Old weight norm, new weight norm with a rescaled direction, and a prefix: one tensor, merged as torch uses it."""
    torch.manual_seed(0)
    convs = [parametrizations.weight_norm(nn.Conv1d(3, 4, 2)) for _ in range(2)]
    with torch.no_grad():
        convs[1].parametrizations.weight.original1.mul_(3.0)  # the same function: only the direction counts
    states = [conv.state_dict() for conv in convs]
    old = {
        "dec.c.bias": states[0]["bias"],
        "dec.c.weight_g": states[0]["parametrizations.weight.original0"],
        "dec.c.weight_v": states[0]["parametrizations.weight.original1"],
    }
    new = {f"dec.module.c.{key}": tensor for key, tensor in states[1].items()}
    merged = merge_checkpoints(old, {"tuned": new}, {"tuned": 0.5})
    expected = (convs[0].weight + convs[1].weight).detach() / 2
    torch.testing.assert_close(merged.tensors["dec.c.weight"], expected, rtol=1e-6, atol=1e-7)
    assert set(merged.tensors) == {"dec.c.weight", "dec.c.bias"}
    assert merged.report.folded == {"base": ("dec.c.weight",), "tuned": ("dec.c.weight",)}
    alone = merge_checkpoints(old, {"tuned": new}, {"tuned": 1.0})
    assert fingerprint(alone.tensors) == fingerprint(canonical(new).tensors)


def test_parents_are_not_changed() -> None:
    before = [fingerprint(source) for source in (BASE, SARAH, SUMIT)]
    merged = merge_checkpoints(BASE, PARENTS, UNIFORM)
    merged.tensors["decoder.w"].zero_()
    assert [fingerprint(source) for source in (BASE, SARAH, SUMIT)] == before


def test_keys_without_a_partner_are_counted_and_named_in_both_directions() -> None:
    extra = SUMIT | {f"decoder.extra{index}": torch.zeros(1) for index in range(7)}
    message = refusal(BASE, {"sarah": SARAH, "sumit": extra}, UNIFORM)
    assert message.startswith("7 tensors of 'sumit' without a partner in 'base': decoder.extra0, ")
    assert "and 2 more" in message
    smaller = {key: tensor for key, tensor in SARAH.items() if key != "encoder.w"}
    message = refusal(BASE, {"sarah": smaller, "sumit": SUMIT}, UNIFORM)
    assert message.startswith("1 tensor of 'base' without a partner in 'sarah': encoder.w")


def test_shapes_integers_and_nan_are_named() -> None:
    wide = SUMIT | {"encoder.w": torch.zeros(3, 5)}
    message = refusal(BASE, {"sarah": SARAH, "sumit": wide}, UNIFORM)
    assert "encoder.w" in message and "[3, 4] and [3, 5]" in message
    counted = SUMIT | {"decoder.steps": torch.tensor(101)}
    assert "decoder.steps" in refusal(BASE, {"sarah": SARAH, "sumit": counted}, UNIFORM)
    typed = SUMIT | {"decoder.steps": torch.tensor(100.0)}
    assert "decoder.steps" in refusal(BASE, {"sarah": SARAH, "sumit": typed}, UNIFORM)
    broken = SUMIT | {"decoder.w": torch.full((5,), float("nan"))}
    assert "'sumit' holds NaN or infinity in 1 tensor: decoder.w" in refusal(
        BASE, {"sarah": SARAH, "sumit": broken}, UNIFORM
    )


def test_half_a_weight_norm_is_refused_with_the_name_of_its_checkpoint() -> None:
    half = SUMIT | {"decoder.c.weight_g": torch.ones(1)}
    assert refusal(BASE, {"sarah": SARAH, "sumit": half}, UNIFORM).startswith("'sumit' cannot be merged. ")


def test_an_overflow_is_not_written_out() -> None:
    assert "overflows" in refusal(BASE, PARENTS, {"sarah": 1e39, "sumit": 0.0})


@pytest.mark.parametrize(
    ("coefficients", "words"),
    [
        ({"sarah": 1.0}, "no coefficient for sumit"),
        ({"sarah": 1.0, "sumit": 1.0, "summit": 1.0}, "Unknown parent 'summit': did you mean 'sumit'?"),
        (
            UNIFORM | {"sarah": LayerWeights(1.0, {"encodr": 1.0})},
            "Unknown layer pattern 'encodr': did you mean 'encoder'?",
        ),
        (
            UNIFORM | {"sarah": LayerWeights(None, {"encoder": 1.0})},
            "2 tensors got no coefficient for 'sarah' (decoder.w",
        ),
        ({"sarah": float("nan"), "sumit": 1.0}, "The coefficient of 'sarah' is nan"),
        (UNIFORM | {"sarah": LayerWeights(1.0, {"encoder": float("inf")})}, "'sarah' for 'encoder' is inf"),
    ],
)
def test_coefficients_are_checked(coefficients: Mapping[str, float | LayerWeights], words: str) -> None:
    assert words in refusal(BASE, PARENTS, coefficients)


def test_parents_are_checked() -> None:
    assert "nothing to merge" in refusal(BASE, {}, UNIFORM)
    assert "cannot be called 'base'" in refusal(BASE, {"base": SARAH}, UNIFORM)
