"""Latency of a NeuTTS backbone by where it runs and in what: torch in float32, llama.cpp in f32 and q8_0, with LoRA.

Runs in the environment of `neutts-gguf`, from the repository's root:

    OMP_NUM_THREADS=1 evalkit engines python neutts-gguf benchmarks/neutts_latency.py --size full
    ... benchmarks/neutts_latency.py --row base=neutts-air/ --row q8=neutts-air-q8.gguf --codec neucodec/ --voice emily

Without --row it makes backbones with random weights, which say a fixed number of tokens. The rows take turns at every
sentence, so that a busy minute hits them all, and `cpu_s` does not count what others computed. Every sentence goes
through `stream`, alone, after a warm-up.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evalkit.checkpoints import CanonicalTensors, read_checkpoint
from evalkit.engines.base import Request, Setup, Voice
from evalkit.engines.neutts.engine import NeuTTS
from evalkit.engines.neutts.gguf import NeuTTSGguf
from evalkit.errors import EvalkitError

TEXTS = (
    "Good morning.",
    "The train to Pune leaves at seven.",
    "Please call Ananya before the meeting begins.",
    "The compensation is eighteen lakh rupees a year, and the office is in Bengaluru.",
)
FULL = {  # Qwen2.5-0.5B, with NeuTTS' 65536 speech tokens
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 217_216,
}
MEASURES = ("first_chunk_s", "first_chunk_rtf", "second_chunk_rtf", "total_s", "rtf", "cpu_s")
RANDOM = (
    "Random weights: what is said is noise of a fixed length, so that a trained adapter that makes sentences longer or "
    "shorter does not show here. "
)
SIZES = {
    "tiny": "A tiny backbone: this shows that it runs, not how fast.",
    "full": "Shapes of Qwen2.5-0.5B with 217,216 tokens and of NeuCodec's width with one block.",
}


@dataclass
class Row:
    """A system to be timed, and what was measured: one value of each of MEASURES a sentence."""

    name: str
    checkpoint: Path
    adapter: Path | None = None
    times: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in MEASURES})


def main() -> None:
    given = arguments()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory(prefix="neutts-latency-") as work:
        rows, codec, voice, text = made(given, Path(work)) if not given.row else named(given)
        engines = {row.name: engine(row, codec, given) for row in rows}
        voices = {name: one.prepare_voice(Path(voice), text) for name, one in engines.items()}
        load = os.getloadavg()[0]
        for _, row, request in turns(rows, voices, given):
            measured = timed(engines[row.name], request)
            for name, value in measured.items():
                row.times[name].append(value)
        for one in engines.values():
            getattr(one, "close", lambda: None)()
    print(f"{given.device}, {given.threads} threads of {os.cpu_count()} cores, load {load:.1f} at the start")
    print(f"{len(rows[0].times['total_s'])} sentences a row, watermark {'on' if given.watermark else 'off'}")
    show(rows)
    if not given.row:
        print(RANDOM + SIZES[given.size])
    if given.json:
        print(json.dumps({row.name: row.times for row in rows}))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--row", action="append", default=[], metavar="NAME=PATH", help="a backbone's folder or a .gguf"
    )
    parser.add_argument("--codec", type=Path, help="NeuCodec's decoder, with --row")
    parser.add_argument("--voice", default="emily", help="codes (.pt, .npy) or a speaker of the package, with --row")
    parser.add_argument("--size", choices=("tiny", "full"), default="tiny", help="of the backbones made")
    parser.add_argument("--tokens", type=int, default=100, help="that the backbones made say; 50 a second")
    parser.add_argument("--only", nargs="*", default=[], help="names of the made rows to run")
    parser.add_argument("--sentences", type=int, default=len(TEXTS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--watermark", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def named(given: argparse.Namespace) -> tuple[list[Row], Path, str, str | None]:
    if given.codec is None:
        raise SystemExit("--row needs --codec.")
    pairs = [text.partition("=") for text in given.row]
    return [Row(name, Path(path)) for name, _, path in pairs], given.codec, given.voice, None


def made(given: argparse.Namespace, work: Path) -> tuple[list[Row], Path, str, str | None]:
    """Backbones with and without a LoRA of the published study: rank 8, alpha 16, on q, k and v."""
    from evalkit.engines.neutts.codec import write_random_codec
    from evalkit.engines.neutts.gguf_write import write_folder

    generator = torch.Generator().manual_seed(0)
    plain, folded = work / "plain", work / "folded"
    write_talker(plain, generator, FULL if given.size == "full" else {})
    adapter = write_adapter(plain, work / "adapter", folded)
    rows = [
        Row("F32 torch", plain),
        Row("LoRA F32 torch, folded", folded),
        Row("LoRA F32 torch, not folded", plain, adapter),
    ]
    for kind in ("f32", "q8_0"):
        for label, folder in (("", plain), ("LoRA ", folded)):
            rows.append(Row(f"{label}{kind.upper()} llama.cpp", work / f"{folder.name}.{kind}.gguf"))
    rows = [row for row in rows if not given.only or row.name in given.only]
    for row in rows:
        if row.checkpoint.suffix == ".gguf":
            folder, kind, _ = row.checkpoint.name.split(".")
            write_folder(work / folder, row.checkpoint, kind)
    codec, voice = work / "codec.safetensors", work / "voice.npy"
    write_random_codec(codec, seed=1, **({"width": 1024} if given.size == "full" else {}))
    np.save(voice, torch.randint(0, 512, (250,), generator=generator).numpy())  # a clip of five seconds
    return rows, codec, str(voice), "So I said hello, and nobody answered; that was the end of it."


def write_talker(folder: Path, generator: torch.Generator, sizes: Mapping[str, int]) -> None:
    """A random backbone that ends its speech as soon as it may."""
    from safetensors.torch import load_file, save_file

    from evalkit.engines.neutts.example import make_tokenizer, write_backbone

    write_backbone(folder, generator, **sizes)
    tensors = load_file(folder / "model.safetensors")
    embedding = tensors["model.embed_tokens.weight"]
    end = make_tokenizer().convert_tokens_to_ids("<|SPEECH_GENERATION_END|>")
    # Logits are sums over the width: kept as they are at width 64, so that the first channel goes on deciding.
    embedding[:, 1:] *= (64 / embedding.shape[1]) ** 0.5
    embedding[:, 0] *= (embedding.shape[1] / 64) ** 0.5
    embedding[end, 0] *= 3.0
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def write_adapter(plain: Path, folder: Path, folded: Path) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32)
    settings = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "k_proj", "v_proj"], task_type="CAUSAL_LM")
    network = get_peft_model(base, settings)
    generator = torch.Generator().manual_seed(1)
    for name, weight in network.named_parameters():
        if "lora_B" in name:  # zero when made: an adapter that does nothing
            weight.data.normal_(0.0, 0.02, generator=generator)
    network.save_pretrained(folder)
    network.merge_and_unload().save_pretrained(folded)
    AutoTokenizer.from_pretrained(plain).save_pretrained(folded)
    return folder


def engine(row: Row, codec: Path, given: argparse.Namespace) -> Any:
    changed: dict[str, Any] = {"watermark": given.watermark}
    if not given.row:
        changed |= {"min_new_tokens": given.tokens}
    kind = NeuTTSGguf if row.checkpoint.suffix == ".gguf" else NeuTTS
    changed |= {"n_threads": given.threads} if kind is NeuTTSGguf else {"dtype": "float32"}
    options = {name: option.default for name, option in kind.spec.options.items()} | changed
    assets = {"codec": codec} | ({"backbone": row.checkpoint} if kind is NeuTTS else {})
    if row.adapter is not None:
        assets["adapter"] = row.adapter
    one = kind(given.device)
    one.set_up(Setup(assets, options))
    if isinstance(one, NeuTTSGguf):
        one.load_file(row.checkpoint)
    else:
        one.load(dict(CanonicalTensors(read_checkpoint(row.checkpoint).tensors)))
    return one


def turns(
    rows: list[Row], voices: Mapping[str, Voice], given: argparse.Namespace
) -> Iterator[tuple[int, Row, Request]]:
    """Every row in turn, sentence by sentence; the first turn is the warm-up, whose times are dropped."""
    for turn in range(given.repeats * given.sentences + 1):
        for row in rows:
            text = TEXTS[turn % given.sentences % len(TEXTS)]
            yield turn, row, Request(f"{turn}", text, turn, voices[row.name])
        if turn == 0:
            for row in rows:
                row.times = {name: [] for name in MEASURES}


def timed(one: Any, request: Request) -> dict[str, float]:
    """Seconds of one sentence. A chunk's factor is the time that passed before it over the seconds that it holds.

    cpu_s is what this process computed on all threads: on a busy machine the figure to go by.
    """
    started = before = time.perf_counter()
    worked = time.process_time()
    passed, held = [], []
    try:
        for chunk in one.stream(request):
            chunk.cpu()  # waits for the device
            now = time.perf_counter()
            passed.append(now - before)
            held.append(len(chunk) / one.spec.sample_rate)
            before = now
    except EvalkitError as error:
        print(f"{request.text}: {error}")
    total, worked = time.perf_counter() - started, time.process_time() - worked
    if not held:
        return {}
    found = {"first_chunk_s": passed[0], "first_chunk_rtf": passed[0] / held[0]}
    found |= {"total_s": total, "rtf": total / sum(held), "cpu_s": worked}
    return found | ({"second_chunk_rtf": passed[1] / held[1]} if len(held) > 1 else {})


def show(rows: list[Row]) -> None:
    """Medians and 95th percentiles, and the median over the first row's."""
    width = max(len(row.name) for row in rows)
    print(" " * width + "".join(f"{name:>28}" for name in MEASURES))
    print(" " * width + "".join(f"{'median':>10}{'p95':>9}{'ratio':>9}" for _ in MEASURES))
    for row in rows:
        cells = []
        for name in MEASURES:
            values, first = row.times[name], rows[0].times[name]
            if not values or not first:
                cells.append(f"{'-':>10}{'-':>9}{'-':>9}")
                continue
            median = statistics.median(values)
            ratio = median / statistics.median(first)
            cells.append(f"{median:>10.3f}{np.percentile(values, 95):>9.3f}{ratio:>8.2f}x")
        print(f"{row.name:<{width}}" + "".join(cells))


if __name__ == "__main__":
    main()
