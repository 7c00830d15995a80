"""Writing: round trips, whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from evalkit.checkpoints import read_checkpoint, write_checkpoint
from evalkit.errors import EvalkitError

WEIGHTS = {"encoder.a.weight": torch.randn(3, 4), "decoder.b": torch.randn(2), "encoder.steps": torch.tensor(5)}


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.safetensors"])
@pytest.mark.parametrize("sections", [(), ("decoder", "encoder")])
def test_what_is_written_reads_back(tmp_path: Path, name: str, sections: tuple[str, ...]) -> None:
    path = tmp_path / name
    write_checkpoint(path, WEIGHTS, sections=sections)
    checkpoint = read_checkpoint(path)
    assert checkpoint.tensors.keys() == WEIGHTS.keys()
    assert all(torch.equal(checkpoint.tensors[key], tensor) for key, tensor in WEIGHTS.items())
    assert checkpoint.sections == (sections if path.suffix != ".safetensors" else ())
    assert [entry.name for entry in tmp_path.iterdir()] == [name]  # no temporary file stays


def test_a_nested_file_is_what_torch_users_expect(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.pth", WEIGHTS, sections=("encoder", "decoder"))
    loaded = torch.load(tmp_path / "a.pth", weights_only=True)
    assert {section: list(keys) for section, keys in loaded.items()} == {
        "encoder": ["a.weight", "steps"],
        "decoder": ["b"],
    }


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_same_weights_make_the_same_bytes_readable_by_others(tmp_path: Path, suffix: str) -> None:
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        write_checkpoint(path, WEIGHTS)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    (tmp_path / "plain").touch()
    assert paths[0].stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_dtype_applies_to_floats_only(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", WEIGHTS, dtype=torch.bfloat16)
    tensors = read_checkpoint(tmp_path / "a.safetensors").tensors
    assert tensors["decoder.b"].dtype == torch.bfloat16
    assert torch.equal(tensors["decoder.b"], WEIGHTS["decoder.b"].bfloat16())
    assert tensors["encoder.steps"].dtype == torch.int64


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_slices_and_ties_are_stored_by_content(tmp_path: Path, suffix: str) -> None:
    large = torch.randn(1000, 1000)
    weights = {"slice": large[:2, :3], "transposed": large[:3, :2].t(), "one": large[0, :4].clone()}
    weights["tied"] = weights["one"]
    write_checkpoint(tmp_path / f"a{suffix}", weights)
    assert (tmp_path / f"a{suffix}").stat().st_size < 10_000
    tensors = read_checkpoint(tmp_path / f"a{suffix}").tensors
    assert all(torch.equal(tensors[key], tensor) for key, tensor in weights.items())


def test_a_checkpoint_can_replace_itself_while_mapped(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    write_checkpoint(path, {"w": torch.ones(1000)})
    mapped = read_checkpoint(path).tensors["w"]
    write_checkpoint(path, {"w": mapped * 2})
    assert torch.equal(mapped, torch.ones(1000))
    assert torch.equal(read_checkpoint(path).tensors["w"], torch.full((1000,), 2.0))


def test_keys_outside_the_sections_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match=r"'decoder\.b' belongs to none of the sections encoder"):
        write_checkpoint(tmp_path / "a.pth", WEIGHTS, sections=("encoder",))
    with pytest.raises(EvalkitError, match="no tensors"):
        write_checkpoint(tmp_path / "a.pth", {})
    with pytest.raises(EvalkitError, match="ends in"):
        write_checkpoint(tmp_path / "a.bin", WEIGHTS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_places_that_cannot_be_written(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / f"folder{suffix}").mkdir()
    for path in (tmp_path / "none" / f"a{suffix}", tmp_path / "file" / f"a{suffix}", tmp_path / f"folder{suffix}"):
        with pytest.raises(EvalkitError, match="Cannot write") as raised:
            write_checkpoint(path, WEIGHTS)
        assert "\n" not in str(raised.value)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", f"folder{suffix}"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(EvalkitError, match="Permission denied"):
        write_checkpoint(tmp_path / "a.pth", WEIGHTS)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    """The limit on file size stands in for a full disk: the kernel refuses the write in the middle."""
    path = tmp_path / f"a{suffix}"
    write_checkpoint(path, WEIGHTS)
    before = path.read_bytes()
    script = (
        "import resource, signal, sys, torch; from pathlib import Path\n"
        "from evalkit.checkpoints import write_checkpoint; from evalkit.errors import EvalkitError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: write_checkpoint(Path(sys.argv[1]), {'w': torch.ones(1_000_000)})\n"
        "except EvalkitError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Cannot write {path}: "), done.stdout + done.stderr
    assert done.stdout.count("\n") == 1
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
