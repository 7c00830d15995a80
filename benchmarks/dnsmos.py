"""DNS-MOS: evalkit against speechmos, one file at a time, the same clips, one thread each.

    EVALKIT_REAL_AUDIO=FOLDER OMP_NUM_THREADS=1 .venv/bin/python benchmarks/dnsmos.py [--clips 10] [--repeats 3]

FOLDER holds recordings, 16 kHz FLAC. The two tools alternate clip by clip, so that a busy machine slows both, and their
models are loaded before. The result is the ratio of the medians of CPU time, with the largest difference of a score
beside it, and what the arithmetic allows: the multiplications of the convolutions in speechmos over those in evalkit.

A clip under 9 s is repeated until it holds a window. Where its length is a multiple of 10 ms it repeats itself frame by
frame, and evalkit computes one period: such clips, which many text-to-speech systems make, are also shown apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import soundfile
import torch
from numpy.typing import NDArray
from speechmos import dnsmos as speechmos
from torch import Tensor

from metrics.base import ClipBatch, ClipInfo
from metrics.dnsmos import DnsMos
from metrics.dnsmos_nets import Edge
from metrics.dnsmos_onnx import OnnxNets
from metrics.dnsmos_shared import HOP, stretches
from metrics.dnsmos_weights import P808_FILE, p835_file, read_weights, weight_files
from metrics.dnsmos_windows import distinct_windows, window_starts

RATE = 16000
COLUMNS = ("ovrl", "sig", "bak", "p808")
P835_POSITIONS = (*[900 * 161] * 4, 450 * 80, 225 * 40, 112 * 20)  # of each convolution in a window
P808_POSITIONS = (900 * 120, 450 * 60, 225 * 30, 225 * 30, 112 * 15)


@dataclass
class Clip:
    samples: NDArray[np.float32]
    ours_s: list[float] = field(default_factory=list)  # CPU time of each repeat
    theirs_s: list[float] = field(default_factory=list)
    ours_macs: int = 0
    theirs_macs: int = 0
    difference: float = 0.0  # largest of the four scores

    @property
    def in_step(self) -> bool:
        """Whether a repeated clip repeats itself frame by frame."""
        starts = [start // HOP for start in distinct_windows(len(self.samples), "compat")]
        return stretches(torch.from_numpy(self.samples), starts)[0].period is not None


class CountingNets(OnnxNets):
    """The networks, with a count of the multiplications in their 3x3 convolutions."""

    def __init__(self) -> None:
        files = weight_files(personalised=False)
        weights = read_weights(files[p835_file(personalised=False)])
        super().__init__(weights, files[P808_FILE], threads=1)
        self.p835_sizes = [weight.size for weight, _ in weights.convolutions]
        self.p808_sizes = [weight.size for weight, _ in read_weights(files[P808_FILE]).convolutions]
        self.macs = 0

    def front(self, x: Tensor, edge: Edge) -> Tensor:
        self._count(self.p835_sizes[:4], x, edge)
        return super().front(x, edge)

    def middle(self, x: Tensor, edge: Edge) -> Tensor:
        self._count(self.p835_sizes[4:5], x, edge)
        return super().middle(x, edge)

    def back(self, x: Tensor) -> Tensor:
        self.macs += len(x) * _dot(P835_POSITIONS[5:], self.p835_sizes[5:])
        return super().back(x)

    def p808(self, x: Tensor) -> Tensor:
        self.macs += len(x) * _dot(P808_POSITIONS, self.p808_sizes)
        return super().p808(x)

    def _count(self, sizes: Sequence[int], x: Tensor, edge: Edge) -> None:
        pieces, _, rows, bins = x.shape
        for size in sizes:
            rows -= 2 if edge == "inside" else 1
            self.macs += pieces * rows * bins * size


def _dot(positions: Sequence[int], sizes: Sequence[int]) -> int:
    return sum(n * size for n, size in zip(positions, sizes, strict=True))


def their_judge() -> Callable[[NDArray[np.float32]], dict[str, float]]:
    """speechmos, with its two networks held to one thread."""
    make, options = onnxruntime.InferenceSession, onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1

    def one_thread(path: str, *_: Any) -> Any:
        return make(path, options, providers=["CPUExecutionProvider"])

    speechmos.ort.InferenceSession = one_thread
    try:
        speechmos.run(np.full(RATE, 0.1, np.float32), RATE)
    finally:
        speechmos.ort.InferenceSession = make
    return lambda samples: dict(speechmos.run(samples, RATE))


def measure(clips: Sequence[Clip], repeats: int) -> None:
    metric, theirs, nets = DnsMos(threads=1), their_judge(), CountingNets()
    window_macs = _dot(P835_POSITIONS + P808_POSITIONS, nets.p835_sizes + nets.p808_sizes)
    metric.score(_batch(clips[0].samples))
    for _ in range(repeats):
        for clip in clips:
            ours_s, scores = _timed(lambda: metric.score(_batch(clip.samples)))  # noqa: B023
            theirs_s, reference = _timed(lambda: theirs(clip.samples))  # noqa: B023
            clip.ours_s.append(ours_s)
            clip.theirs_s.append(theirs_s)
            clip.difference = max(abs(scores[f"dnsmos_{name}"][0] - reference[f"{name}_mos"]) for name in COLUMNS)
    counting = DnsMos(threads=1)
    counting._nets = nets
    for clip in clips:
        nets.macs = 0
        counting.score(_batch(clip.samples))
        clip.ours_macs = nets.macs
        clip.theirs_macs = window_macs * len(window_starts(len(clip.samples), "compat"))


def _batch(samples: NDArray[np.float32]) -> ClipBatch:
    return ClipBatch.of([torch.from_numpy(samples)], RATE, [ClipInfo("clip")])


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    answer = call()
    return time.process_time() - start, answer


def report(kind: str, clips: Sequence[Clip]) -> None:
    if not clips:
        return
    ours, theirs = (
        statistics.median(sum(repeat) for repeat in zip(*times, strict=True))
        for times in ([clip.ours_s for clip in clips], [clip.theirs_s for clip in clips])
    )
    allowed = sum(clip.theirs_macs for clip in clips) / sum(clip.ours_macs for clip in clips)
    windows = sum(len(window_starts(len(clip.samples), "compat")) for clip in clips)
    print(
        f"| {kind} | {len(clips)} | {windows} | {sum(clip.theirs_macs for clip in clips) / 1e9:.0f} | "
        f"{sum(clip.ours_macs for clip in clips) / 1e9:.0f} | {allowed:.2f} | {theirs / ours:.2f} | "
        f"{100 * theirs / ours / allowed:.0f} % | {max(clip.difference for clip in clips):.1e} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    folder = os.environ.get("EVALKIT_REAL_AUDIO")
    if not folder:
        sys.exit("Set EVALKIT_REAL_AUDIO to a folder of recordings (16 kHz FLAC).")
    torch.set_num_threads(1)
    read = [soundfile.read(path, dtype="float32") for path in sorted(Path(folder).rglob("*.flac"))]
    speech = sorted((samples for samples, rate in read if rate == RATE), key=len)
    short = [samples for samples in speech if 3 <= len(samples) / RATE <= 10]
    chosen = [short[index] for index in np.linspace(0, len(short) - 1, min(arguments.clips, len(short))).astype(int)]
    clips = [Clip(samples) for samples in chosen]
    long = [Clip(np.concatenate(speech)[: 60 * RATE])]
    measure(clips, arguments.repeats)
    measure(long, arguments.repeats)
    print(
        "| clips | n | windows | speechmos, GMAC | evalkit, GMAC | allowed | measured | reached | largest difference |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    report("3-10 s", clips)
    report("3-10 s, repeated in step with 10 ms", [clip for clip in clips if clip.in_step])
    report("3-10 s, others", [clip for clip in clips if not clip.in_step])
    report("60 s", long)


if __name__ == "__main__":
    main()
