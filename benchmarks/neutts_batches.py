"""NeuTTS on torch: evalkit's batches against the package, one sentence at a time, with random weights.

    OMP_NUM_THREADS=1 evalkit engines python neutts benchmarks/neutts_batches.py [--size full] [--device cuda]

The package's arm is its own `infer`, codec and watermark
included, on the same weights in the same type. Both arms draw, each from its own random numbers, so utterances differ:
what is compared is seconds of work for a second of audio, arms in turn, as the ratio of the medians. Beside it stand
the tokens that both give when they do not draw (top_k 1), where they must agree in float32. Random weights say noise,
but each utterance has its own length: --tokens, and then about 25 more.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from evalkit.checkpoints import canonical, read_checkpoint
from evalkit.engines.base import Request, Setup
from evalkit.engines.neutts.codec import load_codec, write_random_codec
from evalkit.engines.neutts.engine import NeuTTS
from evalkit.engines.neutts.example import CODES, write_backbone
from evalkit.engines.neutts.voices import make_voice

TEXTS = (
    "Good morning.",
    "The train to Pune leaves at seven.",
    "Please call Ananya before the meeting begins.",
    "The compensation is eighteen lakh rupees a year, and the office is in Bengaluru.",
)
VOICE_TEXT = "So I said hello, and nobody answered."
FULL = {  # Qwen2.5-0.5B with 65536 speech tokens, as NeuTTS-Air
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 217_216,
}
SIZES: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "tiny": ({}, {}),
    "full": (FULL, {"width": 1024, "depth": 12}),
}


def main() -> None:
    given = parse()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        backbone, codec = Path(folder) / "backbone", Path(folder) / "codec.safetensors"
        of_backbone, of_codec = SIZES[given.size]
        write_backbone(backbone, torch.Generator().manual_seed(0), "phonemes", **of_backbone)
        write_random_codec(codec, 0, **of_codec)
        engine, tts = our_engine(backbone, codec, given), package(backbone, codec, given)
    codes = tuple(torch.randint(0, CODES, (150,), generator=torch.Generator().manual_seed(1)).tolist())
    requests = [
        Request(str(n), TEXTS[n % len(TEXTS)], n, make_voice("v", codes, VOICE_TEXT)) for n in range(given.batch)
    ]
    arms = {"evalkit": lambda: ours(engine, requests), "package": lambda: theirs(tts, requests)}
    ours(engine, requests[:2])
    theirs(tts, requests[:1])
    costs: dict[str, list[float]] = {name: [] for name in arms}
    for round_number in range(given.rounds):
        for name in list(arms) if round_number % 2 == 0 else list(arms)[::-1]:
            costs[name].append(cost(arms[name], given.device))
            print(f"round {round_number} {name}: {costs[name][-1]:.4f} s for a second of audio", flush=True)
    middle = {name: statistics.median(values) for name, values in costs.items()}
    alike = agreement(engine, tts, requests[: given.compared], given.tokens)
    print(f"{given.size}, {given.device}, {given.dtype}, batch {given.batch}, {given.rounds} rounds")
    print(f"evalkit {middle['evalkit']:.4f}, package {middle['package']:.4f} s for a second of audio")
    print(f"package / evalkit: {middle['package'] / middle['evalkit']:.2f}")
    print(f"tokens alike without drawing: {alike[0]} of {alike[1]}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=tuple(SIZES), default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=150, help="the least an utterance says (50 a second)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compared", type=int, default=8, help="utterances whose tokens are compared")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def our_engine(backbone: Path, codec: Path, given: argparse.Namespace) -> NeuTTS:
    engine = NeuTTS(given.device)
    options = {name: option.default for name, option in engine.spec.options.items()}
    options |= {"dtype": given.dtype, "min_new_tokens": given.tokens}
    engine.set_up(Setup({"backbone": backbone, "codec": codec}, options))
    engine.load(canonical(read_checkpoint(backbone).tensors).tensors)
    return engine


def package(backbone: Path, codec: Path, given: argparse.Namespace) -> Any:
    """The package's own class; only its codec, which it would download, is given to it."""
    import neutts
    from transformers import AutoModelForCausalLM

    class Local(neutts.NeuTTS):  # type: ignore[misc]
        def _load_codec(self, codec_repo: str, codec_device: str) -> None:
            ours: Any = load_codec(Path(codec_repo), codec_device)
            self.codec = ours.network

    with contextlib.redirect_stdout(io.StringIO()):
        tts = Local(str(backbone), given.device, str(codec), given.device, language="en-us", seed=0)
    if given.dtype == "float32":
        tts.backbone = AutoModelForCausalLM.from_pretrained(str(backbone), dtype=torch.float32).to(given.device)
    generate = tts.backbone.generate
    tts.backbone.generate = lambda *a, **k: generate(*a, **{**k, "min_new_tokens": given.tokens})
    return tts


def ours(engine: NeuTTS, requests: Sequence[Request]) -> float:
    """Speak all; returns seconds of audio."""
    said = engine.synthesize(requests)
    assert all(speech.status == "ok" for speech in said), [speech.reason for speech in said]
    return sum(len(speech.audio) for speech in said) / 24_000


def theirs(tts: Any, requests: Sequence[Request]) -> float:
    samples = 0
    for request in requests:
        assert request.voice is not None
        tts._seed = request.seed
        with contextlib.redirect_stdout(io.StringIO()):
            samples += len(tts.infer(request.text, request.voice.data.codes, request.voice.data.text))
    return samples / 24_000


def cost(arm: Callable[[], float], device: str) -> float:
    """Seconds for a second of audio."""
    started = time.perf_counter()
    audio = arm()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / audio


def agreement(engine: NeuTTS, tts: Any, requests: Sequence[Request], tokens: int) -> tuple[int, int]:
    """How many greedy tokens of a batch are the package's, up to the first that is not, and how many there are."""
    from evalkit.engines.neutts.generation import Sampling, generate

    end = tts.tokenizer.convert_tokens_to_ids("<|SPEECH_GENERATION_END|>")
    prompts = [
        tts._apply_chat_template(r.voice.data.codes, VOICE_TEXT, r.text) for r in requests if r.voice is not None
    ]
    longest = max(len(prompt) for prompt in prompts) + tokens
    system: Any = engine._system
    batch = generate(system.backbone.network, prompts, [0] * len(prompts), Sampling(end, 1.0, 1, tokens, longest))
    alike = total = 0
    for prompt, row in zip(prompts, batch, strict=True):
        inputs = torch.tensor([prompt], device=tts.backbone.device)
        said = tts.backbone.generate(inputs, max_length=longest, eos_token_id=end, do_sample=False)
        one = said[0, len(prompt) :].tolist()
        differs = next((n for n, (a, b) in enumerate(zip(row, one, strict=False)) if a != b), min(len(row), len(one)))
        alike, total = alike + differs, total + len(one)
    return alike, total


if __name__ == "__main__":
    main()
