"""A merge holds its result and not its parents."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

MEBIBYTE = 2**20
TENSORS = 96  # of one MiB each

# Peak memory (VmHWM, which counts pages of mapped files too) of one merge, above what an earlier small one left.
SCRIPT = """
import sys
from pathlib import Path
from evalkit.merging.files import merge_files
from evalkit.merging.recipe import make_recipe

def peak():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

def merge(folder, suffix):
    models = [{"path": str(folder / f"{name}.pth")} for name in ("one", "other")]
    recipe = make_recipe({"base": str(folder / "base.pth"), "models": models}, "")
    merge_files(recipe, folder / f"merged{suffix}")

small, large, suffix = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
merge(small, suffix)
before = peak()
merge(large, suffix)
print(peak() - before)
"""


def write(folder: Path, tensors: int) -> Path:
    folder.mkdir()
    for value, name in enumerate(("base", "one", "other")):
        numbers = torch.arange(MEBIBYTE // 4, dtype=torch.float32)
        torch.save({f"layer.{n}": numbers + value + n for n in range(tensors)}, folder / f"{name}.pth")
    return folder


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="counts memory as Linux reports it")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_peak_is_the_result_and_a_quarter(tmp_path: Path, suffix: str) -> None:
    folders = write(tmp_path / "small", 2), write(tmp_path / "large", TENSORS)
    command = [sys.executable, "-c", SCRIPT, *map(str, folders), suffix]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1.25 * TENSORS * MEBIBYTE
