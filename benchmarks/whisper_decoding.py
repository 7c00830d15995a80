"""How much faster the Whisper judge decodes many clips than `whisper.transcribe` one file at a time.

    .venv/bin/python benchmarks/whisper_decoding.py [--device cuda] [--clips N] [--rounds N]

Both get the same clips, the same random weights and the same number of tokens per clip, which a trained model would
choose by itself. On a CPU the model has tiny's sizes, on CUDA those of large-v3-turbo in float16. The two sides
alternate and the ratio of their medians is the result: of CPU time on a CPU, of wall time on CUDA. Parity stands
beside it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import soundfile
import torch
from torch import Tensor

from metrics.whisper_decode import Decoded, Transcriber
from metrics.whisper_model import choose_dtype

AUDIO = Path(__file__).resolve().parents[1] / "fixtures" / "audio" / "readings"
TOKENS = 40
# n_mels, audio: context, state, heads, layers; vocabulary; text: context, state, heads, layers
TINY = (80, 1500, 384, 6, 4, 51865, 448, 384, 6, 4)
LARGE_V3_TURBO = (128, 1500, 1280, 20, 32, 51866, 448, 1280, 20, 4)


def random_model(device: torch.device) -> Any:
    """`whisper.model.Whisper` that never ends by itself."""
    from whisper.model import Conv1d, Linear, ModelDimensions, Whisper
    from whisper.tokenizer import get_tokenizer

    torch.manual_seed(0)
    model = Whisper(ModelDimensions(*(LARGE_V3_TURBO if device.type == "cuda" else TINY))).to(device).eval()
    tokenizer = get_tokenizer(True, num_languages=model.num_languages)
    with torch.no_grad():
        model.decoder.positional_embedding.normal_(0, 0.3)
        model.decoder.ln.weight[0], model.decoder.ln.bias[0] = 0, 1
        model.decoder.token_embedding.weight[:, 0] = 0
        model.decoder.token_embedding.weight[tokenizer.eot :, 0] = -1e4  # no end, no timestamps
    for module in model.modules():
        if isinstance(module, Linear | Conv1d):
            module.to(choose_dtype("auto", device))
    return model


def speech(clips: int) -> list[Tensor]:
    """Clips of 3 to 10 s, joined from the rendered readings of fixtures/audio."""
    files = sorted(AUDIO.glob("*.flac"))
    joined = torch.cat([torch.from_numpy(soundfile.read(file, dtype="float32")[0]) for file in files])
    lengths = [int(16000 * (3 + 7 * index / max(1, clips - 1))) for index in range(clips)]
    return [joined.roll(-40000 * index)[:length] for index, length in enumerate(lengths)]


def ours(transcriber: Transcriber, clips: Sequence[Tensor]) -> list[Decoded]:
    found = []
    with (
        patch("metrics.whisper_decode.TEMPERATURES", (0.0,)),
        patch("metrics.whisper_decode.token_limit", lambda *_: TOKENS),
    ):
        for heard in transcriber.hear(clips):
            assert isinstance(heard.evidence, Decoded)
            found.append(heard.evidence)
    return found


def theirs(model: Any, clips: Sequence[Tensor], half: bool) -> list[dict[str, Any]]:
    from whisper import transcribe

    return [
        transcribe(
            model,
            clip,
            language="en",
            temperature=0.0,
            no_speech_threshold=None,
            without_timestamps=True,
            sample_len=TOKENS,
            fp16=half,
        )["segments"][0]
        for clip in clips
    ]


def timed(device: torch.device, work: Callable[[], Any]) -> tuple[float, Any]:
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    start = clock()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--clips", type=int, help="by default 6 on a CPU and 128 on CUDA")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    cuda = device.type == "cuda"
    if not cuda:
        torch.set_num_threads(1)
    model, clips = random_model(device), speech(arguments.clips or (128 if cuda else 6))
    clips = [clip.to(device) for clip in clips]
    transcriber = Transcriber(model, choose_dtype("auto", device), "en", 0)
    with torch.inference_mode():
        ours(transcriber, clips[:2]), theirs(model, clips[:2], cuda)  # warm
        rounds = [
            (timed(device, lambda: ours(transcriber, clips)), timed(device, lambda: theirs(model, clips, cuda)))
            for _ in range(arguments.rounds)
        ]
    fast, slow = (statistics.median(side[0] for side in sides) for sides in zip(*rounds, strict=True))
    (_, results), (_, expected) = rounds[-1]
    pairs = list(zip(results, expected, strict=True))
    same = sum(one.tokens == other["tokens"] for one, other in pairs)
    furthest = max(abs(one.avg_logprob - other["avg_logprob"]) for one, other in pairs)
    seconds = sum(len(clip) for clip in clips) / 16000
    print(
        f"whisper.transcribe one file at a time / evalkit batched: {slow / fast:.2f} on {device.type} "
        f"(medians of {arguments.rounds} alternating rounds, {len(clips)} clips, {TOKENS} tokens each)"
    )
    print(f"the same tokens for {same} of {len(clips)} clips, mean log-probability within {furthest:.1e}")
    if cuda:
        name = torch.cuda.get_device_name(device)
        print(f"{name}: {seconds / fast:.0f} s of audio per second, one by one {seconds / slow:.0f}")


if __name__ == "__main__":
    main()
