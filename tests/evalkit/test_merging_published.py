"""A published merge of two Kokoro fine-tunes, bit for bit, and the canonical merge beside it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from kokoro_shapes import LAYOUT, kokoro_checkpoint
from merge_recipes import canonical, recipe
from torch import Tensor

from evalkit.checkpoints import read_checkpoint
from evalkit.merging.files import merge_files


@pytest.fixture(scope="module")
def kokoro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and two fine-tunes with all names of Kokoro-82M: the base spells weight norm the old way, they the new."""
    folder = tmp_path_factory.mktemp("kokoro")
    kokoro_checkpoint(folder / "base.pth", seed=0, spelling="old", small=True)
    kokoro_checkpoint(folder / "sarah.pth", seed=1, spelling="new", base=0, small=True)
    kokoro_checkpoint(folder / "sumit.pth", seed=2, spelling="new", base=0, small=True)
    return folder


def test_the_layout_is_that_of_the_release(kokoro: Path) -> None:
    """548 tensors, 81,763,410 parameters with weight norm taken as the weight, 89 layers with weight norm."""
    layout = json.loads(LAYOUT.read_text())
    assert {section: sum(1 + (dim is not None) for _, dim in names.values()) for section, names in layout.items()} == {
        "bert": 25, "bert_encoder": 2, "predictor": 122, "decoder": 375, "text_encoder": 24
    }  # fmt: skip
    tensors = [entry for names in layout.values() for entry in names.values()]
    magnitudes = sum(shape[dim] for shape, dim in tensors if dim is not None)
    assert sum(math.prod(shape) for shape, _ in tensors) + magnitudes == 81_763_410
    assert sum(dim is not None for _, dim in tensors) == 89
    checkpoint = read_checkpoint(kokoro / "base.pth")
    assert len(checkpoint.tensors) == 548 and checkpoint.sections == tuple(layout)


def published(base: Path, sarah: Path, sumit: Path, alpha: float, beta: float) -> dict[str, dict[str, Tensor]]:
    """The script of the case study: float32, keys that all three have; the others are Sarah's."""
    states = [torch.load(path, weights_only=True) for path in (base, sarah, sumit)]
    merged: dict[str, dict[str, Tensor]] = {}
    for section, tensors in states[1].items():
        merged[section] = {}
        for key, value in tensors.items():
            if key in states[0][section] and key in states[2][section]:
                origin = states[0][section][key]
                delta = alpha * (value - origin)
                merged[section][key] = origin + delta + beta * (states[2][section][key] - origin)
            else:
                merged[section][key] = value
    return merged


def test_the_published_merge_is_reproduced_bit_for_bit(kokoro: Path, tmp_path: Path) -> None:
    """Names as spelled, 178 of Sarah's kept, every step rounded to float32 as the script does."""
    merged = merge_files(
        recipe(kokoro, canonical=False, unmatched="keep:sarah", parameters={"rounding": "each_step"}),
        tmp_path / "merged.pth",
    )
    assert merged.report.counts() == {
        "merged": 370, "same": 0, "counters": 0, "copied": 178, "dropped": 178, "implied": 0
    }  # fmt: skip
    by_section = [sum(key.startswith(f"{s}.") for key in merged.report.copied) for s in ("predictor", "decoder")]
    assert by_section == [32, 140]  # and 6 of the text encoder: not the decoder alone
    expected = published(kokoro / "base.pth", kokoro / "sarah.pth", kokoro / "sumit.pth", 0.6, 1.0)
    found = torch.load(tmp_path / "merged.pth", weights_only=True)
    assert list(found) == list(expected)
    for section, tensors in expected.items():
        assert list(found[section]) == list(tensors)
        for key, tensor in tensors.items():
            assert torch.equal(found[section][key].view(torch.int32), tensor.view(torch.int32)), (section, key)


def test_beside_it_the_canonical_merge_leaves_nothing_out(kokoro: Path, tmp_path: Path) -> None:
    """All 459 effective weights are merged, in the base's spelling, which Kokoro's own code loads."""
    merged = merge_files(recipe(kokoro), tmp_path / "merged.pth")
    assert merged.report.counts()["merged"] == 459
    assert {name: len(keys) for name, keys in merged.report.folded.items()} == {"base": 89, "sarah": 89, "sumit": 89}
    states = [canonical(kokoro / f"{name}.pth") for name in ("base", "sarah", "sumit")]
    found = canonical(tmp_path / "merged.pth")
    assert list(found) == list(states[0])
    for key in found:
        base, sarah, sumit = (state[key].numpy().astype(np.float64) for state in states)
        np.testing.assert_allclose(found[key], base + 0.6 * (sarah - base) + 1.0 * (sumit - base), rtol=1e-5, atol=1e-6)
    raw = read_checkpoint(tmp_path / "merged.pth").tensors
    assert list(raw) == list(read_checkpoint(kokoro / "base.pth").tensors)
    assert "decoder.module.generator.conv_post.weight_g" in raw


def test_the_published_merge_is_not_the_merge_of_the_weights(kokoro: Path, tmp_path: Path) -> None:
    merge_files(recipe(kokoro, canonical=False, unmatched="keep:sarah"), tmp_path / "raw.pth")
    merge_files(recipe(kokoro), tmp_path / "canonical.pth")
    raw, whole = canonical(tmp_path / "raw.pth"), canonical(tmp_path / "canonical.pth")
    differing = [key for key in whole if not torch.allclose(raw[key], whole[key], rtol=1e-3, atol=1e-6)]
    assert len(differing) == 89 and all(key.endswith(".weight") for key in differing)
