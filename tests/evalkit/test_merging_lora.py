"""LoRA adapters: peft's formula computed in numpy, and the adapters that must not be folded."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lora_models import refusal
from peft.utils.other import get_pattern_key
from safetensors.torch import save_file
from torch import Tensor

from evalkit.checkpoints import CanonicalTensors, canonical
from evalkit.errors import EvalkitError
from evalkit.merging import fold_adapter, read_adapter
from evalkit.merging.adapted import AdaptedTensors
from evalkit.merging.lora_config import Settings, find_base
from evalkit.merging.lora_match import spelled_as_base

RANK, ALPHA = 2, 5
PREFIX = "base_model.model."


def base() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "encoder.proj.weight": torch.randn(6, 4, generator=generator),
        "encoder.proj.bias": torch.randn(6, generator=generator),
        "decoder.conv.weight_g": torch.rand(5, 1, 1, generator=generator) + 0.5,
        "decoder.conv.weight_v": torch.randn(5, 4, 3, generator=generator),
    }


def factors(rank: int = RANK) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        f"{PREFIX}encoder.proj.lora_A.weight": torch.randn(rank, 4, generator=generator),
        f"{PREFIX}encoder.proj.lora_B.weight": torch.randn(6, rank, generator=generator),
        f"{PREFIX}decoder.conv.lora_A.weight": torch.randn(rank, 4, 3, generator=generator),
        f"{PREFIX}decoder.conv.lora_B.weight": torch.randn(5, rank, 1, generator=generator),
    }


def adapter(folder: Path, tensors: dict[str, Tensor] | None = None, **settings: Any) -> Path:
    """A folder as peft's save_pretrained leaves it, with the fields that LoraConfig writes."""
    config = {
        "peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "lora_dropout": 0.0, "target_modules": ["proj", "conv"],
        "bias": "none", "use_dora": False, "use_rslora": False, "fan_in_fan_out": False, "modules_to_save": None,
        "rank_pattern": {}, "alpha_pattern": {}, "lora_bias": False, "layer_replication": None,
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(config | settings))
    save_file(factors() if tensors is None else tensors, folder / "adapter_model.safetensors")
    return folder


@pytest.mark.parametrize("rslora", [False, True])
def test_folding_is_pefts_formula(tmp_path: Path, rslora: bool) -> None:
    folded = fold_adapter(base(), read_adapter(adapter(tmp_path / "a", use_rslora=rslora)))
    before = {key: tensor.numpy() for key, tensor in canonical(base()).tensors.items()}
    scale = ALPHA / (math.sqrt(RANK) if rslora else RANK)
    lora = {key.removeprefix(PREFIX): tensor.double().numpy() for key, tensor in factors().items()}
    linear = before["encoder.proj.weight"] + scale * (
        lora["encoder.proj.lora_B.weight"] @ lora["encoder.proj.lora_A.weight"]
    )
    # A Conv1d of width 1 after a Conv1d is a matrix product at every tap of the kernel.
    b = lora["decoder.conv.lora_B.weight"][:, :, 0]
    taps = [b @ lora["decoder.conv.lora_A.weight"][:, :, tap] for tap in range(3)]
    conv = before["decoder.conv.weight"] + scale * np.stack(taps, axis=-1)
    np.testing.assert_allclose(folded["encoder.proj.weight"].numpy(), linear, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(folded["decoder.conv.weight"].numpy(), conv, rtol=1e-6, atol=1e-6)
    assert torch.equal(folded["encoder.proj.bias"], base()["encoder.proj.bias"])
    assert set(folded) == set(before)
    assert all(tensor.dtype == torch.float32 for tensor in folded.values())


def test_as_a_parent_of_a_merge_it_changes_its_targets_alone(tmp_path: Path) -> None:
    read = read_adapter(adapter(tmp_path / "a"))
    start = CanonicalTensors(base())
    parent, folded = AdaptedTensors(start, read), fold_adapter(base(), read)
    changed = {key for key in parent if not torch.equal(parent[key], start[key])}
    assert changed == {"encoder.proj.weight", "decoder.conv.weight"}
    assert set(parent) == set(folded) and all(torch.equal(parent[key], folded[key]) for key in folded)


def test_a_rank_of_its_own_needs_a_rank_pattern(tmp_path: Path) -> None:
    assert "has rank 3" in refusal(adapter(tmp_path / "a", factors(rank=3)))
    read = read_adapter(adapter(tmp_path / "a", factors(rank=3), rank_pattern={"proj": 3, "conv": 3}))
    assert {update.scale for update in read.updates.values()} == {ALPHA / 3}


def test_the_base_must_have_every_target(tmp_path: Path) -> None:
    read = read_adapter(adapter(tmp_path / "a"))
    without = {key: tensor for key, tensor in base().items() if not key.startswith("encoder")}
    with pytest.raises(EvalkitError, match=r"lacks 1 of 2 tensors .*: encoder\.proj"):
        fold_adapter(without, read)
    with pytest.raises(EvalkitError, match=r"'encoder\.proj\.weight' as \[6, 4\], but the base has \[6, 5\]"):
        fold_adapter(base() | {"encoder.proj.weight": torch.zeros(6, 5)}, read)


def test_an_adapter_of_a_part_of_the_model_or_of_a_wrapper_around_it(tmp_path: Path) -> None:
    read = read_adapter(adapter(tmp_path / "a"))
    expected = fold_adapter(base(), read)
    inside = fold_adapter({f"llm.model.{key}": tensor for key, tensor in base().items()}, read)
    assert {key.removeprefix("llm.model.") for key in inside} == set(expected)
    assert all(torch.equal(inside[f"llm.model.{key}"], tensor) for key, tensor in expected.items())
    longer = {key.replace(PREFIX, f"{PREFIX}transformer."): tensor for key, tensor in factors().items()}
    around = fold_adapter(base(), read_adapter(adapter(tmp_path / "b", longer)))
    assert all(torch.equal(around[key], tensor) for key, tensor in expected.items())


def test_one_prefix_must_explain_all_names() -> None:
    assert spelled_as_base(["a.w", "b.w"], ["x.a.w", "x.b.w", "y.a.w"], "it") == {"x.a.w": "a.w", "x.b.w": "b.w"}
    assert spelled_as_base(["a.w"], ["x.a.w", "a.w"], "it") == {"a.w": "a.w"}
    assert spelled_as_base(["m.x.a.w"], ["x.a.w"], "it") == {"x.a.w": "m.x.a.w"}
    with pytest.raises(EvalkitError, match=r"fits the base in 2 places \('a\.w' could be x\.a\.w, y\.a\.w\)"):
        spelled_as_base(["a.w"], ["x.a.w", "y.a.w"], "it")
    with pytest.raises(EvalkitError, match=r"lacks 1 of 2 .*: b\.w \(the base has x\.a\.w, y\.b\.w\)"):
        spelled_as_base(["a.w", "b.w"], ["x.a.w", "y.b.w"], "it")
    with pytest.raises(EvalkitError, match="lacks 1 of 1"):
        spelled_as_base(["a.w"], ["xa.w"], "it")


@pytest.mark.parametrize(
    "settings",
    [
        {"layer_replication": [[0, 4], [2, 5]]},
        {"target_parameters": ["experts.weight"]},
        {"trainable_token_indices": {"embed_tokens": [0]}},
        {"alora_invocation_tokens": [1]},
        {"kasa_config": {"beta": 1}},
        {"arrow_config": {"top_k": 3}},
        {"monteclora_config": {"num_samples": 8}},
        {"use_qalora": True},
        {"use_bdlora": {"nblocks": 2}},
        {"init_lora_weights": "pissa_niter_16"},
        {"init_lora_weights": "OLoRA"},
        {"init_lora_weights": "corda"},
        {"init_lora_weights": "lora_ga"},
        {"init_lora_weights": "loftq"},
    ],
)
def test_settings_under_which_the_update_is_undefined_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert f"'{next(iter(settings))}'" in refusal(adapter(tmp_path / "a", **settings))


@pytest.mark.parametrize(
    "settings",
    [
        *({"init_lora_weights": start} for start in (True, False, None, "gaussian", "eva", "orthogonal", "mica")),
        {"layer_replication": [], "trainable_token_indices": None, "use_qalora": False, "rank_pattern": None},
    ],
)
def test_settings_that_leave_the_update_as_it_is_are_read(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert len(read_adapter(adapter(tmp_path / "a", **settings)).updates) == 2


def test_bad_folders(tmp_path: Path) -> None:
    assert "not a peft adapter folder" in refusal(tmp_path)
    assert "not a peft adapter folder" in refusal(tmp_path / "nowhere")
    folder = adapter(tmp_path / "a")
    (folder / "adapter_model.safetensors").unlink()
    assert "does not exist" in refusal(folder)
    for broken in (b"{", b"[" * 100_000, b'{"r": ' * 100_000, b'{"peft_type": "\xff"}', b"null", b"[1]", b""):
        (folder / "adapter_config.json").write_bytes(broken)
        assert "cannot be read" in refusal(folder)
    (folder / "adapter_config.json").write_text(" " * (4 * 2**20 + 1))
    assert "larger than 4 MiB" in refusal(folder)
    assert "not those of a LoRA adapter" in refusal(adapter(tmp_path / "a", peft_type="IA3"))
    (folder / "adapter_config.json").write_text('{"peft_type": "PROMPT_TUNING"}')
    assert "not those of a LoRA adapter" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("r", value) for value in (0, None, "8", True, float("nan"), 10**400, 2.5)),
        *(("lora_alpha", value) for value in (-1, None, "8", True, float("nan"), float("inf"), 10**400)),
        *(("rank_pattern", value) for value in ({"proj": 0}, {"proj": "3"}, [3], {"proj": None})),
        *(("alpha_pattern", value) for value in ({"proj": float("inf")}, "proj", {"proj": [1]})),
        ("use_dora", "yes"),
        ("use_rslora", 1),
        ("init_lora_weights", {"a": 1}),
        ("base_model_name_or_path", ["x" * 10_000]),
    ],
)
def test_a_setting_of_a_wrong_type_is_one_short_sentence(tmp_path: Path, name: str, value: Any) -> None:
    sentence = refusal(adapter(tmp_path / "a", **{name: value}))
    assert f"no usable '{name}'" in sentence or "cannot be read" in sentence
    assert len(sentence) < 400 + len(str(tmp_path))


@pytest.mark.parametrize("pattern", ["(a+)+b", "((ab)*)*c", "a*a*a*a*b", "(?:x|y){9999}"])
def test_a_pattern_that_could_match_forever_is_refused(tmp_path: Path, pattern: str) -> None:
    assert "forever" in refusal(adapter(tmp_path / "a", rank_pattern={pattern: 2}))


@pytest.mark.parametrize("pattern", ["(", "[a", "(?P<x>a)(?P<x>b)", "a{99999999999}", "(" * 5000 + ")" * 5000])
def test_a_pattern_that_is_none_is_refused(tmp_path: Path, pattern: str) -> None:
    assert "no regular expression" in refusal(adapter(tmp_path / "a", alpha_pattern={pattern: 2}))


NAMES = st.from_regex(r"[ab]{1,2}(\.[ab]{1,2}){0,3}", fullmatch=True)
PATTERNS = st.sampled_from(["a", "b", "a.b", r"a\.b", "^a", "^a.*b", "a|b", "(a|b)", "ab?", "[ab]", "^b|ab", ".a", "$"])


@given(NAMES, st.dictionaries(PATTERNS, st.integers(1, 9)), st.dictionaries(PATTERNS, st.integers(1, 9)))
def test_patterns_mean_what_they_mean_to_peft(module: str, ranks: dict[str, int], alphas: dict[str, int]) -> None:
    fields = {"peft_type": "LORA", "r": 4, "lora_alpha": 16, "rank_pattern": ranks, "alpha_pattern": alphas}
    settings = Settings.model_validate_json(json.dumps(fields))
    rank = ranks.get(get_pattern_key(list(ranks), module), 4)
    assert settings.rank_of(module) == rank
    assert settings.scale_of(module) == alphas.get(get_pattern_key(list(alphas), module), 16) / rank


def test_bad_tensors(tmp_path: Path) -> None:
    linear = {key: tensor for key, tensor in factors().items() if "proj" in key}
    half = {key: tensor for key, tensor in linear.items() if "lora_A" in key}
    name = f"{PREFIX}encoder.proj.lora_B.weight"

    def sentence(extra: dict[str, Tensor], **settings: Any) -> str:
        return refusal(adapter(tmp_path / "a", linear | extra, **settings))

    assert "lora_A of 'encoder.proj' without lora_B" in refusal(adapter(tmp_path / "a", half))
    assert "'base_model.model.e.lora_E', which is no part" in sentence({f"{PREFIX}e.lora_E": torch.ones(2)})
    assert "do not fit" in sentence({name: torch.ones(6, 3)})
    assert "do not fit" in sentence({name: torch.ones(6, RANK, 1)})
    assert "do not fit" in sentence({name: torch.ones(6, RANK, dtype=torch.int32)})
    assert "NaN" in sentence({name: torch.full((6, RANK), float("nan"))})
    assert "twice" in sentence({name.replace(".weight", ".other.weight"): torch.ones(6, RANK)})
    lengths = {f"{PREFIX}encoder.proj.lora_magnitude_vector": torch.ones(6)}
    assert "do not mention" in sentence(lengths)
    assert "without lora_magnitude_vector" in sentence({}, use_dora=True)
    assert "do not fit" in sentence({key: torch.ones(5) for key in lengths}, use_dora=True)
    assert "without lora_B.bias" in sentence({}, lora_bias=True)


def test_a_grouped_convolution_has_no_update_of_its_weight(tmp_path: Path) -> None:
    """peft lets the groups into B alone: the sum of both branches is then no grouped convolution."""
    tensors = {f"{PREFIX}c.lora_A.weight": torch.ones(4, 6, 3), f"{PREFIX}c.lora_B.weight": torch.ones(6, 2, 1)}
    assert "Conv with one group" in refusal(adapter(tmp_path / "a", tensors, r=4))


def test_a_resized_embedding_is_not_put_into_a_base_of_another_size(tmp_path: Path) -> None:
    tensors = factors() | {f"{PREFIX}words.weight": torch.ones(12, 4)}
    read = read_adapter(adapter(tmp_path / "a", tensors))
    with pytest.raises(EvalkitError, match=re.escape("'words.weight' as [12, 4], but the base has [10, 4]")):
        fold_adapter(base() | {"words.weight": torch.zeros(10, 4)}, read)
    folded = fold_adapter(base() | {"words.weight": torch.zeros(12, 4)}, read)
    assert torch.equal(folded["words.weight"], torch.ones(12, 4))


def test_a_saved_module_with_weight_norm_is_folded_like_the_base(tmp_path: Path) -> None:
    whole = {f"{PREFIX}decoder.conv.weight_{half}": base()[f"decoder.conv.weight_{half}"] * 2 for half in "gv"}
    linear = {key: tensor for key, tensor in factors().items() if "proj" in key}
    folded = fold_adapter(base(), read_adapter(adapter(tmp_path / "a", linear | whole, modules_to_save=["conv"])))
    torch.testing.assert_close(folded["decoder.conv.weight"], canonical(base()).tensors["decoder.conv.weight"] * 2)


def test_the_base_is_looked_for_beside_the_adapter_and_above_it(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "a", base_model_name_or_path="base.pth")
    assert find_base(folder) is None
    (tmp_path / "base.pth").touch()
    assert find_base(folder) == tmp_path / "base.pth"
    (folder / "base.pth").touch()
    assert find_base(folder) == folder / "base.pth"
    assert find_base(adapter(tmp_path / "a", base_model_name_or_path=str(tmp_path / "base.pth"))) is not None
    for name in ("hexgrad/Kokoro-82M", "", None, "x" * 5000, "a\0b", "~/base.pth"):
        assert find_base(adapter(tmp_path / "a", base_model_name_or_path=name)) is None


def test_settings_that_are_a_pipe_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "adapter_config.json")
    assert "not a peft adapter folder" in refusal(tmp_path)
