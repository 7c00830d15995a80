"""F5-TTS: evalkit's batches against the package, one sentence at a time, with random weights.

    OMP_NUM_THREADS=1 evalkit engines python f5 benchmarks/f5.py [--size full] [--device cuda] [--batch 16]

The package's arm is its own `CFM.sample` and Vocos, from the same
mel frames of the reference, with the same noise, so that the clips can be compared. Ours and theirs in turn; the result
is the ratio of the medians (of CPU time on a CPU), and beside it the largest difference of a sample.
On CUDA a second arm is the package in float16, which is what its own commands take there; evalkit stays in float32.
"""

from __future__ import annotations

import argparse
import copy
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from evalkit.engines.base import Request, Setup
from evalkit.engines.f5 import configuration, text
from evalkit.engines.f5.engine import F5TTS
from evalkit.engines.f5.example import CLIP_TEXT, random_weights, write_clip, write_example, write_vocoder

WORDS = (
    "the",
    "river",
    "ran",
    "slow",
    "past",
    "seven",
    "quiet",
    "houses",
    "while",
    "nobody",
    "named",
    "either",
    "bank",
)


def make(folder: Path, size: str) -> dict[str, Path]:
    """Assets of a small or a full-sized system."""
    draw = torch.Generator().manual_seed(0)
    if size == "small":
        write_example(folder, 0)
    else:
        package = files("f5_tts")
        (folder / "model_cfg.yaml").write_text((package / "configs" / "F5TTS_v1_Base.yaml").read_text())
        (folder / "vocab.txt").write_text((package / "infer" / "examples" / "vocab.txt").read_text())
        write_vocoder(folder / "vocos-mel-24khz", draw, width=512, hidden=1536, layers=8)
        write_clip(folder / "heron.wav", draw)
    names = {"vocoder": "vocos-mel-24khz", "vocab": "vocab.txt", "model_cfg": "model_cfg.yaml"}
    return {name: folder / file for name, file in names.items()}


def sentences(count: int) -> list[str]:
    """3 to 12 words, about 1 to 5 s at the clip's rate."""
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=draw.randint(3, 12))).capitalize() + "." for _ in range(count)]


def package_speaks(
    cfm: Any, vocoder: Any, requests: Sequence[Request], steps: int, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """As infer_batch_process does it for one text (utils_infer.py:476), the noise drawn on the CPU from each seed."""
    from f5_tts.model.utils import convert_char_to_pinyin

    clips = []
    for request in requests:
        assert request.voice is not None
        reference = request.voice.data
        frames = text.frames_for(request.text, reference.text, reference.frames, 1.0)
        draw = torch.Generator().manual_seed(request.seed)
        plain = torch.randn
        noise = lambda *size, device, dtype, g=draw, r=plain: r(*size, generator=g).to(device, dtype)  # noqa: E731
        with torch.inference_mode(), mock.patch.object(torch, "randn", noise):
            mel, _ = cfm.sample(
                reference.mel[None].to(dtype),
                convert_char_to_pinyin([reference.text + request.text]),
                frames,
                steps=steps,
                cfg_strength=2.0,
                sway_sampling_coef=-1.0,
            )
            new = mel.float()[0, reference.frames :]
            clips.append(vocoder.decode(new.T[None])[0] * reference.gain)
    return clips


def untouched(engine: F5TTS, assets: dict[str, Path]) -> Any:
    """The package's own CFM with the engine's weights."""
    from f5_tts.model import CFM, DiT

    arch = configuration.read(assets["model_cfg"]).arch
    vocabulary = text.read_vocabulary(assets["vocab"])
    transformer = DiT(**arch, text_num_embeds=len(vocabulary.index), mel_dim=100)
    cfm = CFM(transformer, mel_spec_kwargs=dict(configuration.MEL), vocab_char_map=dict(vocabulary.index))
    cfm.load_state_dict(dict(engine.weights()), strict=False)  # but for the rotary table, which it computes
    return cfm.to(engine.device).eval()


def seconds(work: Callable[[], object], device: str) -> float:
    clock = time.perf_counter if device == "cuda" else time.process_time
    if device == "cuda":
        torch.cuda.synchronize()
    start = clock()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        assets = make(folder, arguments.size)
        engine = F5TTS(arguments.device)
        engine.set_up(Setup(assets))
        engine.load(random_weights(folder, torch.Generator().manual_seed(1)))
        compare(engine, untouched(engine, assets), engine.prepare_voice(folder / "heron.wav", CLIP_TEXT), arguments)


def compare(engine: F5TTS, cfm: Any, voice: Any, arguments: argparse.Namespace) -> None:
    options = {"steps": arguments.steps}
    asked = [Request(str(i), said, i, voice, options=options) for i, said in enumerate(sentences(arguments.batch))]
    vocoder = engine._vocoder
    arms: dict[str, Callable[[], Any]] = {
        "evalkit, one batch": lambda: engine.synthesize(asked),
        "evalkit, one by one": lambda: [engine.synthesize([request]) for request in asked],
        "package, one by one": lambda: package_speaks(cfm, vocoder, asked, arguments.steps),
    }
    if arguments.device == "cuda":
        half = copy.deepcopy(cfm).half()
        arms["package in float16"] = lambda: package_speaks(half, vocoder, asked, arguments.steps, torch.float16)
    ours, theirs = engine.synthesize(asked), package_speaks(cfm, vocoder, asked, arguments.steps)
    apart = max(float((a.audio - b).abs().max()) for a, b in zip(ours, theirs, strict=True))
    spoken = sum(len(speech.audio) for speech in ours) / engine.spec.sample_rate
    print(
        f"{arguments.size}, {arguments.device}, {arguments.steps} steps, {len(asked)} sentences, {spoken:.1f} s spoken"
    )
    if "package in float16" in arms:
        arms["package in float16"]()  # warm, as the others are by now
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(arguments.rounds):
        for name, work in arms.items():
            taken[name].append(seconds(work, arguments.device))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    for name, value in medians.items():
        print(f"  {name}: {value:.2f} s, {value / medians['evalkit, one batch']:.2f} times evalkit's batch")
    print(f"  largest difference of a sample from the package's: {apart:.1e}")


if __name__ == "__main__":
    main()
