"""Kokoro's voice packs and mixes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from evalkit.engines.kokoro.voice import SHAPE, prepare
from evalkit.errors import EvalkitError


@pytest.fixture
def packs(tmp_path: Path) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(SHAPE, generator=generator), torch.randn(SHAPE, generator=generator)
    torch.save(a, tmp_path / "a.pt")
    torch.save(b, tmp_path / "b.pt")
    return a, b


def test_a_pack_is_the_table_in_the_file(packs: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    voice = prepare(str(tmp_path / "a.pt"))
    assert voice.name == "a"
    assert torch.equal(voice.data, packs[0])
    assert voice.digest != prepare(str(tmp_path / "b.pt")).digest


def test_the_digest_is_of_the_content(packs: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    raw = tmp_path / "raw.bin"
    raw.write_bytes(packs[0].numpy().tobytes())
    assert raw.stat().st_size == 522240
    voice = prepare(str(raw))
    assert torch.equal(voice.data, packs[0])
    assert voice.digest == prepare(str(tmp_path / "a.pt")).digest
    assert prepare(f"{tmp_path}/a.pt:1,{tmp_path}/b.pt:0").digest == voice.digest


def test_a_mix_without_weights_is_the_packages_mean(packs: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    assert torch.equal(prepare(f"{tmp_path}/a.pt,{tmp_path}/b.pt").data, torch.mean(torch.stack(packs), dim=0))


def test_a_mix_with_weights(packs: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    voice = prepare(f"{tmp_path}/a.pt:0.7,b.pt:0.3")  # b.pt lies beside a.pt
    assert voice.name == "a:0.7+b:0.3"
    torch.testing.assert_close(voice.data, 0.7 * packs[0] + 0.3 * packs[1], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("mix", "sentence"),
    [
        ("{0}/a.pt:0.7,{0}/b.pt:0.2", "sum to 0.9"),
        ("{0}/a.pt:0.7,{0}/b.pt", "give all of them one"),
        ("{0}/a.pt,{0}/none.pt", "none.pt"),
        ("{0}/a.pt:0.5.5,{0}/b.pt:0.5", "no number"),
    ],
)
@pytest.mark.usefixtures("packs")
def test_a_mix_that_says_nothing_clear_is_refused(tmp_path: Path, mix: str, sentence: str) -> None:
    with pytest.raises(EvalkitError, match=sentence):
        prepare(mix.format(tmp_path))


def test_what_is_no_pack_is_refused(tmp_path: Path) -> None:
    table = torch.zeros(SHAPE)
    broken = table.clone()
    broken[7, 0, 9] = float("nan")
    cases: dict[str, tuple[object, str]] = {
        "rows": (table[:-1], r"float32 \[509, 1, 256\]"),
        "flat": (table[:, 0], r"\[510, 256\]"),
        "half": (table.half(), "float16"),
        "nan": (broken, "NaN"),
        "dict": ({"a": table}, "holds a dict"),
        "pickled": (Path("x"), "safe to open"),
    }
    for name, (content, sentence) in cases.items():
        torch.save(content, tmp_path / f"{name}.pt")
        with pytest.raises(EvalkitError, match=sentence):
            prepare(str(tmp_path / f"{name}.pt"))


def test_a_file_of_another_kind_or_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "short.bin").write_bytes(bytes(100))
    (tmp_path / "large.pt").write_bytes(bytes(2**23))
    for name, sentence in {
        "text.pt": "safe to open",
        "short.bin": "100 bytes",
        "large.pt": "522 kB",
        ".": "522 kB",
    }.items():
        with pytest.raises(EvalkitError, match=sentence):
            prepare(str(tmp_path / name))
