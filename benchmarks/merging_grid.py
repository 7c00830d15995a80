"""Merging as a share of a sweep: 20 merges of the fixture voices by a MergeSession, each loaded, spoken and scored.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/merging_grid.py [--scored 2]

Merging, loading and speaking the suite `smoke` are timed at every point of the grid; scoring with the bundled judges,
as `evalkit run` does it, at the first points only, since it takes by far the longest and is the same at all of them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from evalkit.checkpoints import read_checkpoint
from evalkit.engines.base import Request
from evalkit.engines.tinytts.engine import TinyTTS
from evalkit.merging.session import MergeSession
from evalkit.pipeline.existing import plan_existing
from evalkit.pipeline.job import Options
from evalkit.pipeline.run import score_files
from evalkit.suites import load_suite

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
GRID = [round(0.05 * step, 2) for step in range(1, 21)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scored", type=int, default=2, help="points that are scored too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    requests = [Request(item.id, item.spoken, seed=0) for item in load_suite("smoke").items]
    opened = time.perf_counter()
    base, sarah, sumit = (read_checkpoint(FIXTURES / "voices" / f"{n}.pth").tensors for n in ("base", "sarah", "sumit"))
    session = MergeSession(base, {"sarah": sarah, "sumit": sumit})
    opened = time.perf_counter() - opened
    engine = TinyTTS()
    merging, speaking, scoring = [], [], []
    for point, weight in enumerate(GRID):
        began = time.perf_counter()
        weights = session.merge({"sarah": weight, "sumit": 1 - weight})
        merged = time.perf_counter()
        engine.load(weights)
        speeches = engine.synthesize(requests)
        spoken = time.perf_counter()
        merging.append(merged - began)
        speaking.append(spoken - merged)
        if point < arguments.scored:
            scoring.append(score([speech.audio for speech in speeches], engine.spec.sample_rate))
    merged_s = opened + sum(merging)
    unscored = merged_s + sum(speaking)
    whole = unscored + len(GRID) * statistics.median(scoring)
    print(f"{len(GRID)} merges and opening the session: {merged_s / unscored:.1%} of merging, loading and speaking")
    print(f"{merged_s / whole:.2%} of the sweep, scoring of {len(requests)} sentences a point included")


def score(clips: list[torch.Tensor], rate: int) -> float:
    """Seconds that `evalkit score` takes for the clips, without the cache of scores."""
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        for number, clip in enumerate(clips):
            soundfile.write(Path(folder) / f"{number}.wav", clip.numpy(), rate)
        planned, content = plan_existing(Path(folder))
        reference = FIXTURES / "audio" / "reference" / "sarah"
        options = Options(out=Path(folder) / "runs", reference=reference, judges="bundled", cache=False)
        began = time.perf_counter()
        score_files("point", planned, content, options, lambda *_: lambda *_: None)
        return time.perf_counter() - began


if __name__ == "__main__":
    main()
