"""evalkit's forward pass against the package's own, sentence by sentence, on the example's network.

Prints one JSON object. `voiced`: the example as it is; `file`: without voiced sound, read by the package's own loader
from the file, weight norm in it (a voiced phase would show the last bit in which its effective weights differ).
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from kokoro.model import KModel

from evalkit.checkpoints import canonical, read_checkpoint
from evalkit.engines.base import Request, Setup, Speech
from evalkit.engines.kokoro import network, speaking
from evalkit.engines.kokoro.config import read_config
from evalkit.engines.kokoro.decoder import decode
from evalkit.engines.kokoro.engine import Kokoro
from evalkit.engines.kokoro.prosody import Sentence, curves, predict_durations

PHONEMES = (
    "həlˈO wˈɜɹld, ðˈɛɹ.",
    "jˈɛs",
    "ɡˈʊd mˈɔɹnɪŋ tə lˈækʃmi",
    "həlˈO wˈɜɹld",
    "ðə tɹˈAn lˈivz, ɪf ju kˈæn!",
    "a",
)
SPEEDS = (1.0, 1.3, 1.0, 0.8, 1.0, 1.0)


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        example = Kokoro.example(folder, 1)
        assert example.checkpoint is not None
        weights = canonical(read_checkpoint(example.checkpoint).tensors).tensors
        found = {"voiced": voiced(folder, weights), "file": from_file(folder, example.checkpoint)}
    print(json.dumps(found))


def engine(folder: Path, weights: Any, batching: str) -> Kokoro:
    made = Kokoro()
    made.set_up(Setup({"config": folder / "config.json"}, {"batching": batching}))
    made.load(weights)
    return made


def requests(made: Kokoro, folder: Path) -> list[Request]:
    voice = made.prepare_voice(folder / "voice.pt", None)
    return [
        Request(str(n), "", 100 + n, voice, phonemes=text, options={"speed": speed})
        for n, (text, speed) in enumerate(zip(PHONEMES, SPEEDS, strict=True))
    ]


def package(model: Any, asked: list[Request]) -> list[tuple[torch.Tensor, list[int]]]:
    """What the package says, after seeding as a user of it would."""
    found = []
    for request in asked:
        assert request.voice is not None and request.phonemes is not None
        torch.manual_seed(request.seed)
        row = request.voice.data[len(request.phonemes) - 1]
        output = model(request.phonemes, row, request.options["speed"], return_output=True)
        found.append((output.audio, output.pred_dur.tolist()))
    return found


def largest(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> float:
    same = all(a.shape == b.shape for a, b in zip(ours, theirs, strict=True))
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True)) if same else float("inf")


def voiced(folder: Path, weights: Any) -> dict[str, Any]:
    single, padded = engine(folder, weights, "single"), engine(folder, weights, "padded")
    asked = requests(single, folder)
    reference = network.build(read_config(folder / "config.json"))
    network.load_strictly(reference, weights)
    theirs = package(reference, asked)
    audio = [clip for clip, _ in theirs]
    before = torch.get_rng_state()
    ours, batch = list(single.synthesize(asked)), list(padded.synthesize(asked))
    untouched = torch.equal(before, torch.get_rng_state())
    alone = [padded.synthesize([request])[0] for request in asked]
    backwards = list(padded.synthesize(asked[::-1]))[::-1]
    speaking.MAX_PADDING = 0.95
    together = list(padded.synthesize(asked))
    return {
        "durations": [frames(a) == d == frames(b) for a, b, (_, d) in zip(ours, batch, theirs, strict=True)],
        "single_package": largest(sound(ours), audio),
        "batch_alone": largest(sound(batch), sound(alone)),
        "backwards_alone": largest(sound(backwards), sound(alone)),
        "one_group_alone": largest(sound(together), sound(alone)),
        "padded_decoder_package": largest(padded_decoder(reference, asked), audio),
        "pitch_hz": pitch_difference(reference, padded, asked),
        "rms": float(torch.cat(audio).square().mean().sqrt()),
        "global_rng_untouched": untouched,
    }


def sound(clips: list[Speech]) -> list[torch.Tensor]:
    return [clip.audio for clip in clips]


def frames(clip: Speech) -> list[int]:
    return list(clip.details["frames"])


def sentences(model: Any, asked: list[Request]) -> list[Sentence]:
    found = []
    for request in asked:
        assert request.voice is not None and request.phonemes is not None
        ids = [0, *(model.vocab[symbol] for symbol in request.phonemes), 0]
        style = request.voice.data[len(request.phonemes) - 1, 0]
        found.append(Sentence(ids, style, request.options["speed"], request.seed))
    return found


@torch.inference_mode()
def padded_decoder(model: Any, asked: list[Request]) -> list[torch.Tensor]:
    """All sentences as one padded batch from the package's own pitch on, float32 in every part."""
    timed = [predict_durations(model, [sentence])[0] for sentence in sentences(model, asked)]
    alone = [curves(model, [t]) for t in timed]
    f0, energy = (
        torch.nn.utils.rnn.pad_sequence([pair[which][0] for pair in alone], batch_first=True) for which in (0, 1)
    )
    return decode(model, timed, f0, energy)


@torch.inference_mode()
def pitch_difference(model: Any, padded: Kokoro, asked: list[Request]) -> float:
    exact = curves(padded._model, predict_durations(padded._model, sentences(model, asked)))[0]
    alone = [curves(model, predict_durations(model, [sentence]))[0][0] for sentence in sentences(model, asked)]
    return max(float((exact[n, : len(f0)] - f0).abs().max()) for n, f0 in enumerate(alone))


def from_file(folder: Path, checkpoint: Path) -> dict[str, Any]:
    sections = torch.load(checkpoint, weights_only=True)
    sections["predictor"]["module.F0_proj.bias"].zero_()
    sections["predictor"]["module.F0_proj.weight"].mul_(0.1)
    silent = folder / "unvoiced.pth"
    torch.save(sections, silent)
    made = engine(folder, canonical(read_checkpoint(silent).tensors).tensors, "auto")
    asked = requests(made, folder)
    theirs = package(KModel("hexgrad/Kokoro-82M", str(folder / "config.json"), str(silent)).eval(), asked)
    ours = list(made.synthesize(asked))
    return {
        "durations": [frames(a) == d for a, (_, d) in zip(ours, theirs, strict=True)],
        "single_package": largest(sound(ours), [clip for clip, _ in theirs]),
    }


if __name__ == "__main__":
    sys.exit(main())
