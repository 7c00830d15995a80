"""All standard metrics together, with random weights in the shapes of the real judges: seconds of audio per second.

    .venv/bin/python benchmarks/standard.py [FOLDER] --device cuda --clips 512        # shapes of the real models
    .venv/bin/python benchmarks/standard.py [FOLDER] --small --clips 8                # does the script itself work?

DNSMOS has its real weights; Whisper has the shapes of large-v3-turbo, the speaker encoder those of ResNet34, the
phoneme recogniser those of wav2vec2-lv-60. A Whisper of random weights never ends a sentence, so every clip decodes as
many tokens as its length allows: more than real speech needs. The loop gives one clip after the other to
whisper.transcribe, kaldi's fbank and the same ResNet, speechmos, and transformers' own wav2vec2. Load and warm-up are
not timed. `--tflops` (of the matrix products, in float16 and float32) gives the arithmetic bound.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

RATE = 16_000
TEXT = "The quick brown fox jumps over Lakshmi."
HALF_PRECISION = ("wer",)  # judges that run in float16 on a GPU; the others in float32


def main() -> None:
    arguments = parse()
    clips = read(Path(arguments.folder), arguments.clips)
    seconds = sum(len(clip) for clip in clips) / RATE
    with tempfile.TemporaryDirectory() as folder:
        settings = make_judges(Path(folder), small=arguments.small)
        metrics = chosen(settings, arguments.device)
        batch = batch_of(clips, arguments.reference)
        arms: dict[str, Callable[[], object]] = {f"evalkit {name}": scorer(m, batch) for name, m in metrics.items()}
        arms["evalkit, all"] = together(metrics, batch, arguments.device)
        arms |= loops(settings, clips, arguments.device)
        took = alternate(arms, arguments.rounds, arguments.device)
    loop = sum(value for name, value in took.items() if name.startswith("loop"))
    for name, value in took.items():
        print(f"{name}: {seconds / value:.1f} s of audio per second")
    print(f"the loop takes {loop / took['evalkit, all']:.1f} times as long as evalkit (medians of {arguments.rounds})")
    if arguments.tflops:
        bound(metrics, batch, seconds, arguments, took["evalkit, all"])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=os.environ.get("EVALKIT_REAL_AUDIO", "fixtures/audio/readings"))
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--small", action="store_true", help="tiny networks instead of the real shapes")
    parser.add_argument(
        "--tflops", type=float, nargs=2, metavar=("HALF", "FULL"), help="peak of the device in float16 and in float32"
    )
    found = parser.parse_args()
    found.reference = next(iter(sorted(Path(found.folder).rglob("*.flac"))), None)
    if found.reference is None:
        sys.exit(f"{found.folder} holds no .flac: name a folder with audio.")
    return found


def read(folder: Path, count: int) -> list[Tensor]:
    import soundfile

    clips = []
    for path in sorted(folder.rglob("*.flac")):
        samples, rate = soundfile.read(path, dtype="float32")
        if rate == RATE and len(samples) < 30 * RATE:
            clips.append(torch.from_numpy(samples))
    return [clips[n % len(clips)] for n in range(count)]


def batch_of(clips: Sequence[Tensor], reference: Path) -> Any:
    from metrics import ClipBatch, ClipInfo, Entity

    name = Entity("Lakshmi", ("L AH1 K SH M IY0",), ("L AE1 K SH M IY0",))
    info = [ClipInfo(str(n), text=TEXT, entities=(name,), reference=(reference,)) for n in range(len(clips))]
    return ClipBatch.of(clips, RATE, info)


def chosen(settings: dict[str, Path], device: str) -> dict[str, Any]:
    from evalkit.pipeline.judges import choose

    of_metrics = [f"{name}.model={path}" for name, path in settings.items()]
    choices = choose(["dnsmos", "wada_snr", *settings], "standard", device, of_metrics)
    return {choice.name: choice.metric for choice in choices if choice.metric is not None}


def scorer(metric: Any, batch: Any) -> Callable[[], object]:
    return lambda: metric.score(batch)


def together(metrics: dict[str, Any], batch: Any, device: str) -> Callable[[], object]:
    from evalkit.pipeline.judges import Choice
    from evalkit.pipeline.scoring import Scorer

    scoring = Scorer([Choice(name, metric) for name, metric in metrics.items()], device)
    clips = [batch.clip(index) for index in range(len(batch))]
    return lambda: scoring.score(clips, RATE, batch.info)


def loops(settings: dict[str, Path], clips: Sequence[Tensor], device: str) -> dict[str, Callable[[], object]]:
    """One clip after the other through the packages that evalkit is held to."""
    import whisper
    from speechmos import dnsmos
    from torchaudio.compliance import kaldi
    from transformers import Wav2Vec2ForCTC

    from metrics.resnet_speaker import ARCHITECTURES, SpeakerResNet

    asr = whisper.load_model(str(settings["wer"]), device=device)
    encoder = SpeakerResNet(*ARCHITECTURES["ResNet34"], 256).to(device).eval()
    recogniser = Wav2Vec2ForCTC.from_pretrained(settings["pronunciation"]).to(device).eval()

    def embed(clip: Tensor) -> Tensor:
        features = kaldi.fbank(clip[None] * 2**15, num_mel_bins=80, window_type="hamming", sample_frequency=RATE)
        features = (features - features.mean(dim=0)).to(device)
        found: Tensor = encoder(features[None], torch.tensor([len(features)], device=device))
        return found

    @torch.inference_mode()
    def each(work: Callable[[Tensor], object]) -> None:
        for clip in clips:
            work(clip)

    transcribe = {"language": "en", "without_timestamps": True, "temperature": 0.0, "fp16": device != "cpu"}
    return {
        "loop, whisper.transcribe": lambda: each(lambda clip: whisper.transcribe(asr, clip.numpy(), **transcribe)),
        "loop, kaldi fbank and ResNet": lambda: each(embed),
        "loop, speechmos": lambda: each(lambda clip: dnsmos.run(clip.numpy(), RATE)),
        "loop, wav2vec2": lambda: each(lambda clip: recogniser(clip[None].to(device)).logits.log_softmax(-1).cpu()),
    }


def alternate(arms: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, float]:
    """Median seconds of each arm; the first round warms up and does not count."""
    took: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(rounds + 1):
        for name, work in arms.items():
            began = time.perf_counter()
            work()
            if device != "cpu":
                torch.cuda.synchronize()
            if number:
                took[name].append(time.perf_counter() - began)
    return {name: statistics.median(found) for name, found in took.items()}


def bound(metrics: dict[str, Any], batch: Any, seconds: float, arguments: argparse.Namespace, took: float) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    least = 0.0
    for name, metric in metrics.items():
        with FlopCounterMode(display=False) as counter:
            metric.score(batch)
        flops = counter.get_total_flops()
        peak = arguments.tflops[name not in HALF_PRECISION] * 1e12
        least += flops / peak
        print(f"arithmetic of {name}: {flops / seconds / 1e9:.1f} GFLOP per second of audio")
    print(f"bound by arithmetic: {seconds / least:.0f} s of audio per second; reached {least / took:.1%} of it")


def make_judges(folder: Path, small: bool) -> dict[str, Path]:
    """Metric -> its judge on disk, in the real format."""
    torch.manual_seed(0)
    return {
        "wer": make_whisper(folder / "whisper.pt", small),
        "speaker_similarity": make_speaker_encoder(folder / "speaker"),
        "pronunciation": make_recogniser(folder / "phones", small),
    }


def make_whisper(path: Path, small: bool) -> Path:
    from whisper.model import ModelDimensions, Whisper

    width, heads, layers, decoder = (64, 2, 2, 1) if small else (1280, 20, 32, 4)
    dims = ModelDimensions(
        n_mels=128, n_audio_ctx=1500, n_audio_state=width, n_audio_head=heads, n_audio_layer=layers, n_vocab=51866,
        n_text_ctx=448, n_text_state=width, n_text_head=heads, n_text_layer=decoder,
    )  # fmt: skip
    model = Whisper(dims)
    torch.nn.init.normal_(model.decoder.positional_embedding, std=0.02)
    torch.save({"dims": dims.__dict__, "model_state_dict": model.state_dict()}, path)
    return path


def make_speaker_encoder(folder: Path) -> Path:
    from metrics.resnet_speaker import ARCHITECTURES, SpeakerResNet

    folder.mkdir()
    torch.save(SpeakerResNet(*ARCHITECTURES["ResNet34"], 256).state_dict(), folder / "avg_model.pt")
    arguments = {"feat_dim": 80, "embed_dim": 256, "pooling_func": "TSTP", "two_emb_layer": False}
    (folder / "config.yaml").write_text(json.dumps({"model": "ResNet34", "model_args": arguments}))
    return folder


def make_recogniser(folder: Path, small: bool) -> Path:
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    from metrics.phones import IPA

    symbols = ["<pad>", "<s>", "</s>", "<unk>", *dict.fromkeys(form for forms in IPA.values() for form in forms)]
    size = (64, 2, 2, 128) if small else (1024, 24, 16, 4096)
    config = Wav2Vec2Config(
        vocab_size=len(symbols), hidden_size=size[0], num_hidden_layers=size[1], num_attention_heads=size[2],
        intermediate_size=size[3], feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True, pad_token_id=0,
    )  # fmt: skip
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({symbol: n for n, symbol in enumerate(symbols)}))
    return folder


if __name__ == "__main__":
    main()
