"""Merging: evalkit against copying the same files, and against mergekit.

    .venv/bin/python benchmarks/merging.py [--rounds 5] [--mergekit MERGEKIT_ENVIRONMENT/bin/python] [--small]

1. Three files of Kokoro-82M's shapes (330 MB each, random weights, weight norm): `evalkit merge` against torch.load of
   the same three files and torch.save of one. evalkit waits until its file is on the disk (fsync); the copy is shown
   without and with that.
2. The same weights as flat safetensors: `evalkit merge` against `mergekit-pytorch`, method by method.

Every measurement is a whole process of its own with one thread per library; the arms alternate and the
ratios are those of medians. "Inside" leaves out starting Python and importing; evalkit also takes the sha256 of every
file. Memory is read from outside every 3 ms: RssAnon is what the process allocated, VmHWM also counts the pages of
memory-mapped files. Without --mergekit, which names the Python of an environment that has it, part 2 does not run.
--small shows in two minutes that the script works.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
SAMPLE_S = 0.003
CLOSE_ENOUGH = 1e-6
COEFFICIENTS = {"a": 0.6, "b": 1.0}

# What each arm runs, as `python -c`. The last line that it prints is the time inside, in seconds.
EVALKIT = """
import sys, time
import torch, evalkit.merging.files
from evalkit.cli.main import app
began = time.perf_counter()
status = app(sys.argv[1:], standalone_mode=False)
print(time.perf_counter() - began)
sys.exit(status)
"""
COPY = """
import os, sys, time
import torch
began = time.perf_counter()
for path in sys.argv[1:4]:
    weights = None
    weights = torch.load(path, weights_only=True)
with open(sys.argv[4], "wb") as file:
    torch.save(weights, file)
    if sys.argv[5] == "fsync":
        os.fsync(file.fileno())
print(time.perf_counter() - began)
"""
MERGEKIT = """
import sys, time
from mergekit.scripts.merge_raw_pytorch import main
began = time.perf_counter()
main([*sys.argv[1:], "--quiet"], standalone_mode=False)
print(time.perf_counter() - began)
"""


@dataclass(frozen=True)
class Method:
    """One merge, as both tools are told to do it. base: whether it has one; ours: evalkit's options."""

    weights: Mapping[str, float]
    base: bool
    ours: Sequence[str] = ()
    theirs: Mapping[str, Any] | None = None  # mergekit's global parameters


METHODS = {
    "linear": Method({"a": 0.6, "b": 0.4}, base=False, theirs={"normalize": False}),
    "task_arithmetic": Method(COEFFICIENTS, base=True),
    "ties": Method(COEFFICIENTS, base=True, ours=("density=0.2", "scope=tensor"), theirs={"density": 0.2}),
    "slerp": Method({"a": 0.6, "b": 0.4}, base=False, theirs={"t": 0.4}),
    "nuslerp": Method({"a": 0.6, "b": 0.4}, base=True),
}


@dataclass(frozen=True)
class Run:
    """One process. whole, inside, cpu: seconds; resident, allocated: the most bytes at once (VmHWM, RssAnon)."""

    whole: float
    inside: float
    cpu: float  # of the whole command, all threads
    resident: int
    allocated: int


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="evalkit-merging-") as folder:
        against_copying(Path(folder), arguments.rounds, arguments.small)
    if arguments.mergekit:
        with tempfile.TemporaryDirectory(prefix="evalkit-merging-") as folder:
            against_mergekit(Path(folder), arguments.mergekit, arguments.rounds, arguments.small)
    else:
        print("mergekit: not run; name the Python of an environment that has it with --mergekit")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mergekit", metavar="PYTHON", help="the Python of an environment with mergekit")
    parser.add_argument("--small", action="store_true", help="every dimension divided by 16: does the script work?")
    return parser.parse_args()


def against_copying(folder: Path, rounds: int, small: bool) -> None:
    files = write_models(folder, ".pth", small)
    ours, copied = folder / "merged.pth", folder / "copied.pth"
    copy = [*map(str, files.values()), str(copied)]
    arms = {
        "evalkit merge": [sys.executable, "-c", EVALKIT, *merge_command("task_arithmetic", files, ours)],
        "copy": [sys.executable, "-c", COPY, *copy, ""],
        "copy and fsync": [sys.executable, "-c", COPY, *copy, "fsync"],
    }
    runs = alternate(arms, rounds)
    size = next(iter(files.values())).stat().st_size
    print(f"three checkpoints of {size / 1e6:.0f} MB into one, medians of {rounds} alternating rounds")
    for name, found in runs.items():
        print(f"  {name}: {described(found)}")
    for name in ("copy", "copy and fsync"):
        print(f"  evalkit merge / {name}: {ratios(runs['evalkit merge'], runs[name])}")
    print(f"  parity: differs by at most {furthest_from_formula(ours, files):.1e} from the formula in float64")


def against_mergekit(folder: Path, python: str, rounds: int, small: bool) -> None:
    files = write_models(folder, ".safetensors", small)
    size = files["base"].stat().st_size
    print(f"flat safetensors of {size / 1e6:.0f} MB, medians of {rounds} alternating rounds")
    for name, method in METHODS.items():
        ours, theirs = folder / "ours.safetensors", folder / "theirs"
        config = folder / f"{name}.yaml"
        config.write_text(json.dumps(mergekit_recipe(name, method, files)))  # JSON is YAML
        arms = {
            "evalkit": [sys.executable, "-c", EVALKIT, *merge_command(name, files, ours)],
            "mergekit": [python, "-c", MERGEKIT, str(config), str(theirs)],
        }
        runs = alternate(arms, rounds)
        print(f"  {name}: mergekit / evalkit = {ratios(runs['mergekit'], runs['evalkit'])}")
        for arm, found in runs.items():
            print(f"    {arm}: {described(found)}")
        print(f"    parity: {compared(ours, theirs / 'model.safetensors')}")


def merge_command(name: str, files: Mapping[str, Path], out: Path) -> list[str]:
    """Arguments of `evalkit merge`."""
    method = METHODS[name]
    base = ["--base", str(files["base"])] if method.base else []
    options = [part for option in method.ours for part in ("--set", option)]
    parents = [f"{files[parent]}:{weight}" for parent, weight in method.weights.items()]
    return ["merge", "--method", name, *base, *parents, *options, "-o", str(out), "--force"]


def mergekit_recipe(name: str, method: Method, files: Mapping[str, Path]) -> dict[str, Any]:
    """What `mergekit-pytorch` reads. Its slerp has no weights; it calls the first of its two models the base."""
    weighted = name != "slerp"
    models = [
        {"model": str(files[parent]), "parameters": {"weight": weight} if weighted else {}}
        for parent, weight in method.weights.items()
    ]
    recipe: dict[str, Any] = {"merge_method": name, "models": models, "parameters": dict(method.theirs or {})}
    if method.base or not weighted:
        recipe["base_model"] = str(files["base" if method.base else "a"])
    return recipe


def write_models(folder: Path, suffix: str, small: bool) -> dict[str, Path]:
    """Base and two fine-tunes: `.pth` as Kokoro's trainers write it, or the same weights as mergekit can read them."""
    from safetensors.torch import save_file

    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from kokoro_shapes import kokoro_checkpoint, kokoro_weights

    files = {name: folder / f"{name}{suffix}" for name in ("base", "a", "b")}
    for seed, (name, path) in enumerate(files.items()):
        base = None if name == "base" else 0
        if suffix == ".pth":
            kokoro_checkpoint(path, seed, base=base, small=small)
        else:
            weights = kokoro_weights(seed, base=base, small=small)
            save_file({f"{section}.{key}": weight for section, key, weight, _ in weights}, path)
    return files


def alternate(arms: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[Run]]:
    """Every arm in turn, `rounds` times, after one that does not count."""
    runs: dict[str, list[Run]] = {name: [] for name in arms}
    for number in range(rounds + 1):
        for name, command in arms.items():
            found = watch(command)
            if number:
                runs[name].append(found)
    return runs


def watch(command: Sequence[str]) -> Run:
    """Run a command, looking at its memory from outside, so that its own work is not held up."""
    peaks, cpu = {"VmHWM": 0, "RssAnon": 0}, processor_seconds()
    with tempfile.TemporaryFile("w+") as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **ONE_THREAD})
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            for name, kilobytes in re.findall(r"^(VmHWM|RssAnon):\s+(\d+)", status, re.MULTILINE):
                peaks[name] = max(peaks[name], 1024 * int(kilobytes))
            time.sleep(SAMPLE_S)
        whole = time.perf_counter() - began
        output.seek(0)
        said = output.read()
    if process.returncode:
        sys.exit(f"{' '.join(command[3:])} failed:\n{said}")
    inside = float(said.splitlines()[-1])
    return Run(whole, inside, processor_seconds() - cpu, peaks["VmHWM"], peaks["RssAnon"])


def processor_seconds() -> float:
    """Of all processes that were started here and have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def median_times(runs: Sequence[Run]) -> list[float]:
    """Whole, inside and processor time, each its own median."""
    return [statistics.median(times) for times in zip(*((r.whole, r.inside, r.cpu) for r in runs), strict=True)]


def described(runs: Sequence[Run]) -> str:
    whole, inside, cpu = median_times(runs)
    allocated, resident = (max(sizes) / 2**20 for sizes in zip(*((r.allocated, r.resident) for r in runs), strict=True))
    times = f"{whole:.2f} s, inside {inside:.2f} s, processor {cpu:.2f} s"
    return f"{times}; at most {allocated:.0f} MiB allocated, {resident:.0f} MiB resident"


def ratios(over: Sequence[Run], under: Sequence[Run]) -> str:
    whole, inside, cpu = (a / b for a, b in zip(median_times(over), median_times(under), strict=True))
    return f"{whole:.2f} of the whole command, {inside:.2f} inside, {cpu:.2f} of processor time"


def furthest_from_formula(merged: Path, files: Mapping[str, Path]) -> float:
    from evalkit.checkpoints import canonical, read_checkpoint

    found = canonical(read_checkpoint(merged).tensors).tensors
    base, *parents = (canonical(read_checkpoint(path).tensors).tensors for path in files.values())
    largest = 0.0
    for key, start in base.items():
        expected = start.double()
        for weight, parent in zip(COEFFICIENTS.values(), parents, strict=True):
            expected = expected + weight * (parent[key].double() - start.double())
        largest = max(largest, float((found[key].double() - expected).abs().max()))
    return largest


def compared(ours: Path, theirs: Path) -> str:
    """How far the results are apart. TIES may keep another of two elements of nearly one magnitude: so the count."""
    from safetensors import safe_open

    furthest, beyond, elements = 0.0, 0, 0
    with safe_open(ours, "pt") as one, safe_open(theirs, "pt") as other:
        if set(one.keys()) != set(other.keys()):
            sys.exit("The two results have different tensors.")
        for key in one.keys():  # noqa: SIM118 (not a mapping)
            apart = (one.get_tensor(key).double() - other.get_tensor(key).double()).abs()
            furthest, beyond = max(furthest, float(apart.max())), beyond + int((apart > CLOSE_ENOUGH).sum())
            elements += apart.numel()
    return f"differ by at most {furthest:.1e}; {beyond} of {elements} elements by more than {CLOSE_ENOUGH}"


if __name__ == "__main__":
    main()
