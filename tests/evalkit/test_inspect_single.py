"""What `inspect` says of one checkpoint: layout, broken numbers, tensors that are there twice, and the merge record."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import VOICES
from safetensors.torch import save_file

from evalkit.checkpoints import CanonicalTensors, fingerprint, read_checkpoint, write_checkpoint
from evalkit.checkpoints.inspection import inspect_checkpoint
from evalkit.checkpoints.inspection.contents import scan
from evalkit.checkpoints.inspection.provenance import FORMAT, METADATA_KEY, SUFFIX
from evalkit.errors import EvalkitError

KOKORO = ("bert", "bert_encoder", "predictor", "decoder", "text_encoder")


def test_a_fixture_voice_is_described(tmp_path: Path) -> None:
    path = VOICES / "base.pth"
    found = inspect_checkpoint(path)
    assert (found.name, found.format, found.engine, found.system) == ("base", "pth", "tinytts", None)
    assert (found.tensors, found.parameters) == (114, 1632624)
    assert [(section.name, section.tensors) for section in found.sections] == [
        ("encoder", 24),
        ("predictor", 23),
        ("decoder", 56),
    ]
    assert sum(section.parameters for section in found.sections) == found.parameters
    assert found.contents.dtypes == {"float16": 113, "int64": 1}
    assert found.files[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.files[0].bytes == path.stat().st_size
    assert found.fingerprint == fingerprint(read_checkpoint(path).tensors)
    assert (found.spelling.nesting, found.spelling.weight_norm, found.spelling.folded) == ("sections", "old", 11)
    assert {said.level for said in found.judgements} == {"ok"}


def test_weight_norm_and_prefixes_are_named(tmp_path: Path) -> None:
    g, v = torch.ones(3, 1), torch.randn(3, 2)
    new = {"parametrizations.weight.original0": g, "parametrizations.weight.original1": v}
    tensors = {f"ema_model.{key}": tensor for key, tensor in {"b.module.weight_g": g, "b.module.weight_v": v}.items()}
    tensors |= {f"ema_model.c.{key}": tensor for key, tensor in new.items()}
    path = tmp_path / "m.pt"
    torch.save({"ema_model_state_dict": tensors, "update": 7}, path)
    found = inspect_checkpoint(path)
    assert found.spelling.weight_norm == "both" and found.spelling.folded == 2
    assert found.spelling.prefixes == {"module.": 2, "ema_model.": 4}
    assert found.spelling.wrapper == ("ema_model_state_dict",)
    assert found.spelling.nesting == "flat"
    assert found.extra["update"] == 7


def test_a_foreign_system_is_recognised_and_an_unknown_one_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "kokoro.pth"
    write_checkpoint(path, {f"{section}.module.w": torch.randn(2) for section in KOKORO})
    found = inspect_checkpoint(path)
    assert (found.engine, found.system) == (None, "Kokoro")
    assert any(said.topic == "engine" and "Kokoro" in said.says for said in found.judgements)
    write_checkpoint(path, {"what.w": torch.randn(2)})
    assert inspect_checkpoint(path).system is None


def test_broken_numbers_are_counted_in_each_tensor(tmp_path: Path) -> None:
    bad = torch.zeros(70_000, 2)
    bad[0, 0], bad[1, 0], bad[-1, 1] = torch.nan, torch.inf, -torch.inf
    path = tmp_path / "m.pth"
    write_checkpoint(path, {"a.w": bad, "a.b": torch.full((3,), torch.inf), "a.c": torch.ones(2)})
    found = inspect_checkpoint(path)
    assert [asdict(item) for item in found.contents.non_finite] == [
        {"key": "a.w", "nan": 1, "inf": 2},
        {"key": "a.b", "nan": 0, "inf": 3},
    ]
    (said,) = [said for said in found.judgements if said.topic == "numbers"]
    assert said.level == "problem" and "a.w (1 NaN, 2 Inf)" in said.says


def test_constants_and_twins_are_told_apart() -> None:
    table, vector = torch.randn(4, 3), torch.randn(6)
    found = scan(
        {
            "embed.w": table,
            "out.w": table,
            "copy.w": table.clone(),
            "half.w": vector[:3],
            "rest.w": vector[3:],
            "transposed.w": table.t(),
            "zero.b": torch.zeros(5),
            "zero.c": torch.zeros(5),
            "one.g": torch.ones(5),
            "single.s": torch.tensor(2.0),
            "single.t": torch.tensor(2.0),
            "empty.e": torch.zeros(0),
            "whole.n": torch.full((3,), 7),
            "truth.n": torch.tensor([True, False]),
        }
    )
    assert found.tied == (("embed.w", "out.w"),)
    assert found.equal == (("embed.w", "copy.w"),)
    assert found.zeros == ("zero.b", "zero.c")
    assert found.constant == ("one.g", "whole.n")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float8_e4m3fn])
def test_every_floating_type_is_looked_at(dtype: torch.dtype) -> None:
    bad = torch.tensor([1.0, torch.nan, 2.0]).to(dtype)
    found = scan({"a.w": bad, "a.v": bad.clone(), "a.z": torch.zeros(3).to(dtype)})
    assert [(item.key, item.nan) for item in found.non_finite] == [("a.w", 1), ("a.v", 1)]
    assert (found.zeros, found.equal) == (("a.z",), (("a.w", "a.v"),))


def test_tied_tensors_stay_tied_through_a_file(tmp_path: Path) -> None:
    table = torch.randn(4, 3)
    path = tmp_path / "m.pth"
    torch.save({"embed.w": table, "out.w": table}, path)
    assert inspect_checkpoint(path).contents.tied == (("embed.w", "out.w"),)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no checkpoint"])
def test_a_broken_file_gets_the_sentence_of_the_reader(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.pth"
    path.write_bytes(content)
    with pytest.raises(EvalkitError) as reader:
        read_checkpoint(path)
    with pytest.raises(EvalkitError) as found:
        inspect_checkpoint(path)
    assert str(found.value) == str(reader.value)


def test_half_a_weight_norm_is_refused_with_the_file_s_name(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    write_checkpoint(path, {"a.weight_g": torch.ones(2, 1)})
    with pytest.raises(EvalkitError, match=r"m\.pth: The weight norm of 'a\.weight'"):
        inspect_checkpoint(path)


def record(sha256: str | None) -> dict[str, Any]:
    recipe = {"method": "ties", "base": "base.pth", "models": [{"path": "sarah.pth", "weight": 0.6}]}
    parents = [{"name": "sarah", "path": "sarah.pth", "sha256": "ab" * 32}]
    result = {"file": "m.pth"} | ({"sha256": sha256} if sha256 else {})
    return {"format": FORMAT, "evalkit": "0.1.0", "recipe": recipe, "parents": parents, "result": result}


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    path = tmp_path / "m.pth"
    write_checkpoint(path, {"a.w": torch.randn(3)})
    return path


def beside(path: Path, text: str) -> None:
    path.with_name(path.name + SUFFIX).write_text(text)


def test_the_record_of_this_very_file_is_shown(merged: Path) -> None:
    beside(merged, json.dumps(record(hashlib.sha256(merged.read_bytes()).hexdigest())))
    found = inspect_checkpoint(merged)
    assert found.provenance is not None and found.provenance.matches is True
    assert found.provenance.record["recipe"]["method"] == "ties"
    assert not [said for said in found.judgements if said.topic == "record"]


def test_the_record_of_another_file_is_told(merged: Path) -> None:
    beside(merged, json.dumps(record("cd" * 32)))
    found = inspect_checkpoint(merged)
    assert found.provenance is not None and found.provenance.matches is False
    (said,) = [said for said in found.judgements if said.topic == "record"]
    assert said.level == "caution" and "is of another file" in said.says and "cdcdcd" in said.says


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        '{"format": "other/1"}',
        '{"format": "evalkit.merge/1", "x": NaN}',
        '{"format": "evalkit.merge/1", "x": 1e999}',
        "",
        "[" * 5000,
        f'{{"format": "evalkit.merge/1", "x": {"[" * 300}{"]" * 300}}}',
    ],
)
def test_a_record_that_is_none_is_a_caution_and_no_error(merged: Path, text: str) -> None:
    beside(merged, text)
    found = inspect_checkpoint(merged)
    assert found.provenance is None
    assert [said.level for said in found.judgements if said.topic == "record"] == ["caution"]


@pytest.mark.parametrize("result", [None, 7, "text", [1]])
def test_a_record_without_a_digest_is_shown_unchecked(merged: Path, result: object) -> None:
    beside(merged, json.dumps({**record(None), "result": result}))
    found = inspect_checkpoint(merged)
    assert found.provenance is not None and found.provenance.matches is None


def test_the_record_inside_safetensors_is_found(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a.w": torch.randn(3)}, path, {METADATA_KEY: json.dumps(record(None)), "note": "hello"})
    found = inspect_checkpoint(path)
    assert found.provenance is not None
    assert (found.provenance.source, found.provenance.matches) == ("the file's metadata", None)
    assert found.extra == {"note": "hello"}


def test_what_stands_beside_the_tensors_becomes_strict_json(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    extra = {"epoch": 3, "loss": float("nan"), "note": "x" * 1000, "shape": (1, 2), "none": None}
    torch.save({"net": {"a": {"w": torch.randn(2)}}, **extra}, path)
    found = inspect_checkpoint(path)
    text = json.dumps(asdict(found), allow_nan=False)
    assert json.loads(text)["extra"]["epoch"] == 3
    assert found.extra["loss"] == "nan" and len(found.extra["note"]) < 300


def test_a_folder_of_hugging_face_is_one_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "v1.5"
    folder.mkdir()
    save_file({"model.layers.0.w": torch.randn(3)}, folder / "model.safetensors")
    found = inspect_checkpoint(folder)
    assert found.name == "v1.5" and found.parameters == 3
    assert [Path(file.path).name for file in found.files] == ["model.safetensors"]


def test_no_tensor_is_made_to_say_what_sections_hold(merged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evalkit.checkpoints.inspection.contents import sections_of

    weights = CanonicalTensors(read_checkpoint(merged).tensors)
    monkeypatch.setattr(CanonicalTensors, "__getitem__", lambda *_: pytest.fail("a tensor was made"))
    assert sections_of(weights)[0].parameters == 3


def test_weight_norm_that_makes_nan_is_a_problem(tmp_path: Path) -> None:
    """Each half is finite: a direction that sank to zero in float16 has no length to divide by."""
    halves = {"c.weight_g": torch.ones(2, 1).half(), "c.weight_v": torch.tensor([[1.0, 0.0], [0.0, 0.0]]).half()}
    write_checkpoint(tmp_path / "a.pth", halves)
    found = inspect_checkpoint(tmp_path / "a.pth")
    assert [(broken.key, broken.nan) for broken in found.contents.non_finite] == [("c.weight", 2)]
    assert found.judgements[0].level == "problem" and "c.weight (2 NaN, 0 Inf)" in found.judgements[0].says


def test_a_flipped_bit_is_an_error(tmp_path: Path) -> None:
    torch.save({"w": torch.full((64,), 2.0)}, tmp_path / "a.pth")
    content = bytearray((tmp_path / "a.pth").read_bytes())
    content[content.index(torch.full((64,), 2.0).numpy().tobytes())] ^= 1
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(EvalkitError, match=r"a\.pth is damaged \(record 'data/0'\): copy it again"):
        inspect_checkpoint(tmp_path / "a.pth")
