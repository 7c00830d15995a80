"""What a process of its own costs an engine: tinytts here and through the worker, alternating, parity beside it.

tinytts is the hardest case that there is: it makes a hundred seconds of audio in one, so that the pipe has the most to
carry for the least work. Run with one thread: OMP_NUM_THREADS=1 python benchmarks/worker.py
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

from evalkit.checkpoints import canonical, read_checkpoint
from evalkit.engines import Engine, Request
from evalkit.engines.remote import RemoteEngine
from evalkit.engines.tinytts.engine import TinyTTS
from evalkit.suites import load_suite

VOICE = Path(__file__).resolve().parents[1] / "fixtures" / "voices" / "merged.pth"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=16)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    weights = canonical(read_checkpoint(VOICE).tensors).tensors
    items = load_suite("indian-names").items[: arguments.batch]
    requests = [Request(item.id, item.spoken, 0) for item in items]
    local = TinyTTS()
    with RemoteEngine(TinyTTS.spec, "evalkit.engines.tinytts.engine:TinyTTS", Path(sys.executable)) as remote:
        if local.load(weights) != remote.load(weights):
            sys.exit("The worker loaded other weights.")
        times: dict[str, list[float]] = {"here": [], "worker": []}
        around: dict[str, list[float]] = {"here": [], "worker": []}
        for _ in range(arguments.rounds):
            for name, engine in (("here", local), ("worker", remote)):
                elapsed, outside = timed(engine, requests)
                times[name].append(elapsed)
                around[name].append(outside)
        pairs = list(zip(local.synthesize(requests), remote.synthesize(requests), strict=True))
    same = all(torch.equal(ours.audio, theirs.audio) for ours, theirs in pairs)
    audio = sum(len(ours.audio) for ours, _ in pairs) / TinyTTS.spec.sample_rate
    here, worker = (statistics.median(times[name]) for name in ("here", "worker"))
    print(f"{len(requests)} sentences, {audio:.0f} s of audio, {arguments.rounds} rounds, medians")
    print(f"worker / in process, elapsed: {worker / here:.3f}; audio bit for bit equal: {same}")
    for name in times:
        outside = statistics.median(around[name])
        print(f"{name}: {outside / here:.2%} of the elapsed time is outside the engine's own clock")


def timed(engine: Engine, requests: list[Request]) -> tuple[float, float]:
    """Elapsed seconds, and how many of them the engine does not count as its own."""
    began = time.perf_counter()
    speeches = engine.synthesize(requests)
    elapsed = time.perf_counter() - began
    return elapsed, elapsed - sum(speech.seconds or 0.0 for speech in speeches)


if __name__ == "__main__":
    main()
