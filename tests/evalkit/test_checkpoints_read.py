"""Reading: every shape that checkpoints come in, and every way a file can be bad."""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import random
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from evalkit.checkpoints import read_checkpoint
from evalkit.checkpoints.safe_archive import sha256_sound
from evalkit.errors import EvalkitError


class RunsCommand:
    """A pickle of it runs a shell command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def save(path: Path, content: object, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def refusal(path: Path) -> str:
    """The sentence with which a file is refused; it must be one line and name the file."""
    with pytest.raises(EvalkitError) as raised:
        read_checkpoint(path)
    message = str(raised.value)
    assert "\n" not in message
    assert path.name in message
    return message


def test_nested_sections_are_flattened_as_spelled(tmp_path: Path) -> None:
    bert, proj, step = torch.randn(3, 4), torch.randn(2), torch.tensor(7)
    content = {"bert": {"module.w": bert}, "decoder": {"proj": {"bias": proj}, "step": step}}
    checkpoint = read_checkpoint(save(tmp_path / "kokoro.pth", content))
    assert checkpoint.sections == ("bert", "decoder")
    assert checkpoint.format == "pth"
    assert list(checkpoint.tensors) == ["bert.module.w", "decoder.proj.bias", "decoder.step"]
    assert torch.equal(checkpoint.tensors["bert.module.w"], bert)
    assert torch.equal(checkpoint.tensors["decoder.proj.bias"], proj)
    assert checkpoint.tensors["decoder.step"].dtype == torch.int64


@pytest.mark.parametrize("legacy", [False, True])
def test_flat_state_dict(tmp_path: Path, legacy: bool) -> None:
    weights = {"a.weight": torch.randn(2, 2), "a.bias": torch.randn(2)}
    path = save(tmp_path / "flat.pt", weights, _use_new_zipfile_serialization=not legacy)
    checkpoint = read_checkpoint(path)
    assert checkpoint.sections == ()
    assert checkpoint.tensors.keys() == weights.keys()
    assert all(torch.equal(checkpoint.tensors[key], weights[key]) for key in weights)


def test_a_module_saved_by_state_dict_reads_without_gradients(tmp_path: Path) -> None:
    parameters = dict(torch.nn.Linear(3, 2).named_parameters())
    checkpoint = read_checkpoint(save(tmp_path / "linear.pth", parameters))
    assert set(checkpoint.tensors) == {"weight", "bias"}
    assert not any(tensor.requires_grad for tensor in checkpoint.tensors.values())


@pytest.mark.parametrize("wrapper", ["net", "model", "state_dict", "ema_model_state_dict"])
def test_wrappers_are_unwrapped_and_training_state_is_left_out(tmp_path: Path, wrapper: str) -> None:
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(2)).sum().backward()
    optimizer.step()
    content = {
        wrapper: {"decoder": layer.state_dict()},
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "val_loss": 0.5,
        "config": {"name": "x"},
    }
    checkpoint = read_checkpoint(save(tmp_path / "wrapped.pth", content))
    assert sorted(checkpoint.tensors) == ["decoder.bias", "decoder.weight"]
    assert checkpoint.sections == ("decoder",)
    assert checkpoint.extra == {"epoch": 3, "val_loss": 0.5, "config": {"name": "x"}}


@pytest.mark.parametrize("beside", [{"w": torch.ones(1)}, torch.ones(1)])
def test_a_wrapper_beside_other_tensors_is_not_guessed_away(tmp_path: Path, beside: Any) -> None:
    checkpoint = read_checkpoint(save(tmp_path / "both.pth", {"model": {"w": torch.zeros(1)}, "ema": beside}))
    assert list(checkpoint.tensors) == ["model.w", "ema.w" if isinstance(beside, dict) else "ema"]
    assert checkpoint.wrapper == ()


def test_of_an_f5_training_file_the_averaged_weights_are_read(tmp_path: Path) -> None:
    average = {"initted": torch.tensor(True), "step": torch.tensor(70), "ema_model.transformer.w": torch.ones(2)}
    content = {
        "model_state_dict": {"transformer.w": torch.zeros(2)},
        "optimizer_state_dict": {"state": {0: {"exp_avg": torch.zeros(2)}}},
        "ema_model_state_dict": average,
        "scheduler_state_dict": {"last_epoch": 1},
        "update": 70,
    }
    checkpoint = read_checkpoint(save(tmp_path / "model_last.pt", content))
    assert list(checkpoint.tensors) == ["ema_model.transformer.w"]
    assert torch.equal(checkpoint.tensors["ema_model.transformer.w"], torch.ones(2))
    assert checkpoint.wrapper == ("ema_model_state_dict",)
    assert "ema_model_state_dict" in checkpoint.extra.pop("model_state_dict")
    assert checkpoint.extra == {"update": 70, "initted": True, "step": 70}
    save_file(average, tmp_path / "released.safetensors")
    released = read_checkpoint(tmp_path / "released.safetensors")
    assert list(released.tensors) == ["ema_model.transformer.w"]
    assert released.extra == {"initted": True, "step": 70}


def test_a_tensor_named_step_is_a_weight_unless_all_others_are_averages(tmp_path: Path) -> None:
    weights = {"step": torch.tensor(1.0), "ema_model.w": torch.ones(1), "other.w": torch.ones(1)}
    assert read_checkpoint(save(tmp_path / "a.pth", weights)).tensors.keys() == weights.keys()
    weights = {"step": torch.ones(3), "ema_model.w": torch.ones(1)}
    assert read_checkpoint(save(tmp_path / "a.pth", weights)).tensors.keys() == weights.keys()


def test_a_lightning_checkpoint(tmp_path: Path) -> None:
    content = {
        "state_dict": {"decoder.w": torch.ones(2)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}}],
        "lr_schedulers": [{"milestones": Counter({10: 1})}],
        "callbacks": {"best": {"score": torch.tensor(1.0)}},
        "epoch": 3,
    }
    checkpoint = read_checkpoint(save(tmp_path / "last.ckpt", content))
    assert list(checkpoint.tensors) == ["decoder.w"]
    assert checkpoint.wrapper == ("state_dict",)
    assert checkpoint.extra == {"epoch": 3}


def test_wrappers_are_named_outermost_first(tmp_path: Path) -> None:
    content = {"model": {"net": {"bert": {"w": torch.ones(1)}}, "step": 2}, "epoch": 1}
    path = save(tmp_path / "a.pth", content)
    checkpoint = read_checkpoint(path)
    assert (checkpoint.wrapper, checkpoint.sections) == (("model", "net"), ("bert",))
    assert checkpoint.extra == {"epoch": 1, "step": 2}
    assert checkpoint.files == (path,)


def test_counters_among_the_tensors_become_extra(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save(tmp_path / "cosy.pt", {"llm.weight": torch.ones(2), "epoch": 4, "step": 10}))
    assert list(checkpoint.tensors) == ["llm.weight"]
    assert checkpoint.extra == {"epoch": 4, "step": 10}


def test_safetensors_with_metadata(tmp_path: Path) -> None:
    weights = {"encoder.w": torch.randn(4, 2).bfloat16(), "encoder.n": torch.tensor(3)}
    save_file(weights, tmp_path / "a.safetensors", metadata={"recipe": "none"})
    checkpoint = read_checkpoint(tmp_path / "a.safetensors")
    assert checkpoint.format == "safetensors"
    assert checkpoint.extra == {"recipe": "none"}
    assert checkpoint.tensors.keys() == weights.keys()
    assert all(torch.equal(checkpoint.tensors[key], weights[key]) for key in weights)


DTYPES = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16,
    torch.float32, torch.float64, torch.complex64, torch.uint16, torch.float8_e4m3fn, torch.float8_e5m2,
]  # fmt: skip


@pytest.mark.parametrize("suffix", [".pth", ".bin", ".safetensors"])
def test_every_dtype_and_empty_and_single_numbers_are_read(tmp_path: Path, suffix: str) -> None:
    weights = {str(dtype): torch.tensor([0, 1, 1]).to(dtype) for dtype in DTYPES}
    weights |= {"empty": torch.zeros(0, 3), "none": torch.zeros(2, 0), "number": torch.tensor(2.5)}
    path = tmp_path / f"a{suffix}"
    save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
    tensors = read_checkpoint(path).tensors
    assert tensors.keys() == weights.keys()
    for key, tensor in weights.items():
        assert (tensors[key].dtype, tensors[key].shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(tensors[key].to(torch.complex64), tensor.to(torch.complex64))


@pytest.mark.parametrize("legacy", [False, True])
def test_tied_tensors_stay_tied_and_views_stay_views(tmp_path: Path, legacy: bool) -> None:
    table = torch.arange(12.0).reshape(3, 4)
    weights = {"embedding": table, "head": table, "transposed": table.t(), "row": table[1], "own": torch.zeros(4)}
    path = save(tmp_path / "a.pth", weights, _use_new_zipfile_serialization=not legacy)
    tensors = read_checkpoint(path).tensors
    assert tensors["embedding"].data_ptr() == tensors["head"].data_ptr() == tensors["transposed"].data_ptr()
    assert tensors["row"].data_ptr() == tensors["embedding"].data_ptr() + 16
    assert tensors["own"].untyped_storage().data_ptr() != table.untyped_storage().data_ptr()
    assert all(torch.equal(tensors[key], tensor) for key, tensor in weights.items())


def test_what_torch_saves_beside_tensors_is_read(tmp_path: Path) -> None:
    beside = {"shape": torch.Size([2]), "dtype": torch.float32, "device": torch.device("cpu"), "bytes": b"ab\xff"}
    beside |= {"list": [1, [2.5, None]], "symbols": {"\n": 0, " ": 1}, "counts": Counter({3: 1}), "big": 2**70}
    content = {"model": torch.nn.Linear(2, 2).state_dict(), **beside}
    checkpoint = read_checkpoint(save(tmp_path / "a.pth", content))
    assert checkpoint.extra == beside
    assert list(checkpoint.tensors) == ["weight", "bias"]


def test_names_in_any_script_and_numbers(tmp_path: Path) -> None:
    weights = {"पाठ.w": torch.zeros(1), "ж": torch.ones(1), "a b": torch.ones(2), "layers": {0: torch.zeros(1)}}
    checkpoint = read_checkpoint(save(tmp_path / "names.pth", weights))
    assert list(checkpoint.tensors) == ["पाठ.w", "ж", "a b", "layers.0"]
    assert "two tensors named '0'" in refusal(save(tmp_path / "a.pth", {0: torch.zeros(1), "0": torch.zeros(1)}))


def test_a_file_saved_without_checksums_is_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        path = save(tmp_path / "a.pth", {"w": torch.ones(3)})
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_checkpoint(path).tensors["w"], torch.ones(3))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux reports them")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_reading_twice_gives_the_same_and_leaves_no_file_open(tmp_path: Path, suffix: str) -> None:
    path, weights = tmp_path / f"a{suffix}", {"w": torch.randn(9)}
    save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
    before = len(os.listdir("/proc/self/fd"))
    first, second = read_checkpoint(path).tensors["w"], read_checkpoint(path).tensors["w"]
    assert len(os.listdir("/proc/self/fd")) == before
    first.zero_()  # a private mapping: neither the file nor the other reader sees it
    assert torch.equal(second, weights["w"])
    assert torch.equal(read_checkpoint(path).tensors["w"], weights["w"])


def test_the_pickle_protocols_that_torch_reads_are_read_and_the_others_named(tmp_path: Path) -> None:
    assert list(read_checkpoint(save(tmp_path / "a.pth", {"w": torch.ones(1)}, pickle_protocol=3)).tensors) == ["w"]
    assert "protocol 4" in refusal(save(tmp_path / "b.pth", {"w": torch.ones(1)}, pickle_protocol=4))


def test_one_shard_alone_is_refused(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(1)}, tmp_path / "model-00001-of-00003.safetensors")
    assert "one of 3 shards" in refusal(tmp_path / "model-00001-of-00003.safetensors")
    save_file({"w": torch.zeros(1)}, tmp_path / "model-00001-of-00001.safetensors")
    assert list(read_checkpoint(tmp_path / "model-00001-of-00001.safetensors").tensors) == ["w"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="counts memory as Linux reports it")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_is_mapped_not_copied(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"large{suffix}"
    weights = {"w": torch.ones(24 * 2**20)}  # 96 MiB
    save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
    script = (
        "import re, sys; from pathlib import Path; from evalkit.checkpoints import read_checkpoint\n"
        "own = lambda: int(re.search(r'RssAnon:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1])\n"
        "before = own()\n"
        "checkpoint = read_checkpoint(Path(sys.argv[1]))\n"
        "print(own() - before)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 24 * 1024  # KiB


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.pth")
    (tmp_path / "folder.pth").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.pth")


def test_unknown_suffix(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    assert "unknown suffix" in refusal(tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    weights = {"w": torch.randn(100)}
    if path.suffix == ".pth":
        torch.save(weights, path)
    else:
        save_file(weights, path)
    whole = path.read_bytes()
    for cut in (1, 5, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:cut])
        message = refusal(path)
        assert "cut short" in message or "damaged" in message
    path.write_bytes(b"")
    assert "is empty" in refusal(path)
    path.write_text("learning rate: 0.1\n")
    assert "damaged or not" in refusal(path)


@pytest.mark.parametrize("kind", ["archive", "legacy", "safetensors"])
def test_changed_bytes_are_read_or_refused_in_one_sentence(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{'safetensors' if kind == 'safetensors' else 'pth'}"
    weights = {"encoder.w": torch.randn(3, 4), "decoder.w": torch.randn(10)}
    if kind == "safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=kind == "archive")
    whole, generator, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(150):
        changed = bytearray(whole)
        for _ in range(generator.choice([1, 1, 2, 8])):
            changed[generator.randrange(len(changed))] = generator.randrange(256)
        path.write_bytes(changed)
        try:
            read_checkpoint(path)
        except EvalkitError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 25


def test_a_cut_legacy_file(tmp_path: Path) -> None:
    path = save(tmp_path / "legacy.pth", {"w": torch.randn(100)}, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-50])
    assert "damaged" in refusal(path)


def test_a_compressed_zip(tmp_path: Path) -> None:
    save(tmp_path / "plain.pth", {"w": torch.zeros(1000)})
    packed = zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain, packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    assert "compressed" in refusal(tmp_path / "packed.pth")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("archive", [True, False])
def test_a_pickle_that_would_run_code_is_refused_by_name(tmp_path: Path, protocol: int, archive: bool) -> None:
    marker, path = tmp_path / "executed", tmp_path / "evil.pth"
    content = {"w": torch.zeros(2) if archive else 0, "x": RunsCommand(f"touch {marker}")}
    if archive:
        torch.save(content, path, pickle_protocol=protocol)
    else:
        path.write_bytes(pickle.dumps(content, protocol=protocol))
    message = refusal(path)
    assert f"{os.system.__module__}.system" in message
    assert "nothing was executed" in message
    assert not marker.exists()
    pickle.loads(pickle.dumps(RunsCommand(f"touch {marker}")))
    assert marker.exists()  # the file was indeed armed


def test_a_harmless_foreign_class_is_refused_by_name_too(tmp_path: Path) -> None:
    path = save(tmp_path / "args.pth", {"w": torch.zeros(2), "args": argparse.Namespace(lr=1)})
    assert "argparse.Namespace" in refusal(path)


def test_files_without_tensors(tmp_path: Path) -> None:
    assert "no tensors" in refusal(save(tmp_path / "counters.pth", {"epoch": 1}))
    assert "no tensors" in refusal(save(tmp_path / "optimizer.pth", {"optimizer": {"m": torch.zeros(1)}}))
    assert "holds a Tensor" in refusal(save(tmp_path / "bare.pth", torch.zeros(3)))


def test_weights_that_would_be_dropped_are_refused(tmp_path: Path) -> None:
    for layers in ([torch.ones(1)], [{"w": torch.ones(1)}], ({"a": [torch.ones(1)]},)):
        assert "in a list at 'layers'" in refusal(save(tmp_path / "list.pth", {"layers": layers}))
    deep = {"a": {"b.c": torch.ones(1)}, "a.b": {"c": torch.zeros(1)}}
    assert "two tensors named 'a.b.c'" in refusal(save(tmp_path / "sections.pth", deep))
    clash = {"a": {"b": torch.ones(1)}, "a.b": torch.zeros(1)}
    assert "two tensors named 'a.b'" in refusal(save(tmp_path / "clash.pth", clash))
    assert "not dense" in refusal(save(tmp_path / "sparse.pth", {"w": torch.eye(3).to_sparse()}))


def test_a_dict_that_contains_itself(tmp_path: Path) -> None:
    content: dict[str, Any] = {"w": torch.zeros(1)}
    content["model"] = content
    assert "deep" in refusal(save(tmp_path / "loop.pth", content))


@pytest.mark.parametrize("checksums", [True, False])
def test_a_sound_file_has_the_sha256_of_its_bytes(tmp_path: Path, checksums: bool) -> None:
    torch.serialization.set_crc32_options(checksums)
    try:
        path = save(tmp_path / "a.pth", {"w": torch.randn(300, 300), "empty": torch.zeros(0), "b": torch.ones(3)})
    finally:
        torch.serialization.set_crc32_options(True)
    other = tmp_path / "a.json"
    other.write_bytes(b"")
    for file in (path, other, save(tmp_path / "b.pth", {"w": torch.ones(3)}, _use_new_zipfile_serialization=False)):
        assert sha256_sound(file) == hashlib.sha256(file.read_bytes()).hexdigest()
