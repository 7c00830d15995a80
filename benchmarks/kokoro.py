"""Kokoro in batches against the kokoro package one sentence at a time: the same network, texts, voice and seeds.

    OMP_NUM_THREADS=1 evalkit engines python kokoro benchmarks/kokoro.py [--device cuda] [--batch 32] [--small]

Random weights in the shapes of Kokoro-82M, with durations and pitch such as speech has; phonemes are given, so that no
front end is timed. Ours and theirs in turn, the first round does not count; the result is the ratio of the medians.
Beside it, with the same seeds: whether the durations are the package's, the largest difference of a sample from the
package with the same effective weights to the bit (on a GPU pitch is float64 here, so that a voiced phase differs), and
from the same sentence spoken alone. --processor-time counts this process's CPU time, for a busy machine.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evalkit.checkpoints import canonical
from evalkit.engines.base import Request, Setup, Speech, Voice
from evalkit.engines.kokoro import example, network
from evalkit.engines.kokoro.config import Config, read_config
from evalkit.engines.kokoro.engine import SAMPLE_RATE, Kokoro
from evalkit.engines.kokoro.voice import SHAPE

WORDS = ("həlˈO", "wˈɜɹld", "ɡˈʊd", "mˈɔɹnɪŋ", "lˈækʃmi", "ðə", "tɹˈAn", "lˈivz", "ɪf", "ju", "kˈæn", "plˈiz", "ænd")


def main() -> None:
    arguments = parse()
    # This file has the package's name, and Python looks beside a script first.
    sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).resolve().parent]
    torch.set_num_threads(arguments.threads)
    config = example.small_config() if arguments.small else read_config(None)
    weights = weights_of(config)
    engine, package = ours(config, weights, arguments), theirs(config, weights, arguments.device)
    requests = sentences(arguments.batch, arguments.shortest, arguments.longest)
    folded: Any = network.build(config)
    network.load_strictly(folded, weights)
    clips, reference = list(engine.synthesize(requests)), speak_each(folded.to(arguments.device), requests)
    alone = [engine.synthesize([request])[0] for request in requests]
    seconds = sum(len(clip.audio) for clip in clips) / SAMPLE_RATE
    arms: tuple[Callable[[], object], ...] = (
        lambda: engine.synthesize(requests),
        lambda: speak_each(package, requests),
    )
    quick, slow = alternate(arms, arguments)
    print(f"{len(requests)} sentences, {seconds:.1f} s of audio, {arguments.device}, batching {arguments.batching}")
    print(f"evalkit {quick:.2f} s, the package one by one {slow:.2f} s: {slow / quick:.2f} times (medians)")
    same = sum(clip.details["frames"] == frames for clip, (_, frames) in zip(clips, reference, strict=True))
    print(f"durations as the package's: {same} of {len(clips)}")
    print(f"largest difference from the package: {largest(clips, [audio for audio, _ in reference]):.1e}")
    print(f"largest difference from the sentence alone: {largest(clips, [clip.audio for clip in alone]):.1e}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=0, help="sentences; 32 on a GPU, 4 on a CPU")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shortest", type=int, default=40, help="phonemes of the shortest sentence")
    parser.add_argument("--longest", type=int, default=110, help="phonemes of the longest sentence")
    parser.add_argument("--batching", default="auto", choices=("auto", "padded", "single"))
    parser.add_argument("--small", action="store_true", help="the engine's example instead of the real shapes")
    parser.add_argument("--processor-time", action="store_true", help="CPU time instead of elapsed time")
    found = parser.parse_args()
    found.batch = found.batch or (4 if found.device == "cpu" else 32)
    return found


def weights_of(config: Config) -> dict[str, Tensor]:
    sections = example.random_checkpoint(config, 1)
    nested = {f"{section}.{name}": tensor for section, tensors in sections.items() for name, tensor in tensors.items()}
    return dict(canonical(nested).tensors)


def ours(config: Config, weights: dict[str, Tensor], arguments: argparse.Namespace) -> Kokoro:
    engine = Kokoro(arguments.device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(config.values), encoding="utf-8")
        engine.set_up(Setup({"config": path}, {"batching": arguments.batching, "front_end": "espeak"}))
    engine.load(weights)
    return engine


def theirs(config: Config, weights: dict[str, Tensor], device: str) -> Any:
    """KModel with weight norm, as its users have it: it folds that anew in every call, to the last bit but one."""
    model: Any = network.construct(config).eval()
    for name, module in model.named_modules():
        if hasattr(module, "weight_g"):
            weight = weights[f"{name}.weight"]
            module.weight_v.data.copy_(weight)
            module.weight_g.data.copy_(weight.norm(dim=list(range(1, weight.ndim)), keepdim=True))
    state = model.state_dict()
    with torch.no_grad():
        for key in state.keys() & weights.keys():
            state[key].copy_(weights[key])
    return model.to(device)


def sentences(count: int, shortest: int, longest: int) -> list[Request]:
    """Lengths spread evenly from the shortest to the longest, in random order."""
    chance = random.Random(0)
    table = torch.randn(SHAPE, generator=torch.Generator().manual_seed(2)) * 0.3
    voice = Voice("random", "", table)
    lengths = [shortest + (longest - shortest) * n // max(1, count - 1) for n in range(count)]
    chance.shuffle(lengths)
    found = []
    for number, length in enumerate(lengths):
        text = ""
        while len(text) < length:
            text += chance.choice(WORDS) + " "
        found.append(Request(str(number), "", number, voice, phonemes=text[:length].strip()))
    return found


def speak_each(model: Any, requests: Sequence[Request]) -> list[tuple[Tensor, list[int]]]:
    found = []
    for request in requests:
        assert request.voice is not None and request.phonemes is not None
        torch.manual_seed(request.seed)
        row = request.voice.data[len(request.phonemes) - 1]
        output = model(request.phonemes, row, 1.0, return_output=True)
        found.append((output.audio, output.pred_dur.tolist()))
    return found


def largest(clips: Sequence[Speech], others: Sequence[Tensor]) -> float:
    pairs = [(clip.audio.cpu(), other.cpu()) for clip, other in zip(clips, others, strict=True)]
    return max(float((a - b).abs().max()) if a.shape == b.shape else float("inf") for a, b in pairs)


def alternate(arms: Sequence[Callable[[], object]], arguments: argparse.Namespace) -> list[float]:
    """Median seconds of each arm; the first round warms up and does not count."""
    clock = time.process_time if arguments.processor_time else time.perf_counter
    took: list[list[float]] = [[] for _ in arms]
    for number in range(arguments.rounds + 1):
        for arm, work in zip(took, arms, strict=True):
            began = clock()
            work()
            if arguments.device != "cpu":
                torch.cuda.synchronize()
            if number:
                arm.append(clock() - began)
    return [statistics.median(arm) for arm in took]


if __name__ == "__main__":
    main()
