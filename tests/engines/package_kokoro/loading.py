"""What the engine loads, refuses and reads back, on the example's network. Prints one JSON object."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evalkit.checkpoints import canonical, fingerprint, read_checkpoint
from evalkit.engines.base import Request, Setup
from evalkit.engines.kokoro.engine import Kokoro
from evalkit.errors import EvalkitError

CHANGED = {
    "bert": "bert.encoder.embedding_hidden_mapping_in.weight",
    "bert_encoder": "bert_encoder.weight",
    "predictor": "predictor.shared.weight_ih_l0",
    "decoder": "decoder.decode.1.conv1.weight",
    "text_encoder": "text_encoder.cnn.0.0.weight",
}
NORM = "decoder.generator.resblocks.0.adain1.0.norm.weight"


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        example = Kokoro.example(folder, 2)
        assert example.checkpoint is not None
        engine = Kokoro()
        engine.set_up(Setup({"config": folder / "config.json"}))
        voice = engine.prepare_voice(folder / "voice.pt", None)
        request = Request("a", "", 5, voice, phonemes="həlˈO")
        sections = torch.load(example.checkpoint, weights_only=True)
        weights = dict(canonical(read_checkpoint(example.checkpoint).tensors).tensors)
        found = {
            "refused": refused(engine, weights),
            "spelled": spelled(engine, request, folder, sections),
            "read_back": read_back(folder, weights),
            "changed": changed(engine, request, weights),
            "norms": norms(engine, request, weights),
            "seeds": seeds(engine, request),
        }
    print(json.dumps(found))


def say(engine: Kokoro, request: Request) -> Tensor:
    [speech] = engine.synthesize([request])
    assert speech.status == "ok", speech.reason
    return speech.audio


def refused(engine: Kokoro, weights: Mapping[str, Tensor]) -> dict[str, str]:
    key = CHANGED["decoder"]
    without = {k: v for k, v in weights.items() if k != key}
    cases = {
        "missing": without,
        "extra": {**weights, "decoder.spare.weight": torch.zeros(2)},
        "shape": {**weights, key: weights[key][:-1]},
        "renamed": {**without, key.replace("conv1", "conv9"): weights[key]},
        "section": {k: v for k, v in weights.items() if not k.startswith("text_encoder.")},
        "half": {**weights, key: weights[key].half()},
        "178": {k + "_" * (n % 3 == 0): v for n, (k, v) in enumerate(weights.items())},
        "hifigan": {**weights, "decoder.generator.conv_post.weight": torch.zeros(1, 128, 7)},
    }
    return {name: _error(engine, case) for name, case in cases.items()}


def _error(engine: Kokoro, weights: Mapping[str, Tensor]) -> str:
    try:
        engine.load(weights)
    except EvalkitError as error:
        return str(error)
    return ""


def spelled(engine: Kokoro, request: Request, folder: Path, sections: dict[str, dict[str, Tensor]]) -> dict[str, Any]:
    """The same weights in four spellings: fingerprints, and whether the audio is the same to the bit."""
    new = {
        section: {
            key.replace("weight_g", "parametrizations.weight.original0").replace(
                "weight_v", "parametrizations.weight.original1"
            ): tensor
            for key, tensor in tensors.items()
        }
        for section, tensors in sections.items()
    }
    plain = {s: {k.removeprefix("module."): t for k, t in tensors.items()} for s, tensors in sections.items()}
    extra = {
        "style_encoder": {"module.a.weight": torch.ones(2, 2)},
        "predictor_encoder": {"module.b.weight": torch.ones(2)},
    }
    ids = {"module.embeddings.position_ids": torch.arange(512)[None]}
    styletts2 = {
        "net": {**sections, "bert": {**sections["bert"], **ids}, **extra},
        "iters": 3,
        "optimizer": {"state": {}},
    }
    audio, digests, notes = {}, {}, {}
    for name, content in {"old": sections, "new": new, "plain": plain, "net": styletts2}.items():
        path = folder / f"{name}.pth"
        torch.save(content, path)
        digests[name] = engine.load(canonical(read_checkpoint(path).tensors).tensors)
        audio[name], notes[name] = say(engine, request), list(engine.notes)
    return {
        "new_keys": sum("parametrizations" in key for tensors in new.values() for key in tensors),
        "digests": digests,
        "same_audio": [torch.equal(audio["old"], other) for other in audio.values()],
        "notes": notes,
    }


def read_back(folder: Path, weights: Mapping[str, Tensor]) -> dict[str, list[bool]]:
    found = {}
    for batching in ("single", "padded"):
        engine = Kokoro()
        engine.set_up(Setup({"config": folder / "config.json"}, {"batching": batching}))
        digest = engine.load(weights)
        back = engine.weights()
        found[batching] = [
            set(back) == set(weights),
            all(torch.equal(back[key], tensor) and back[key].dtype == tensor.dtype for key, tensor in weights.items()),
            digest == fingerprint(weights) == fingerprint(back),
        ]
    return found


def changed(engine: Kokoro, request: Request, weights: Mapping[str, Tensor]) -> dict[str, float]:
    """Largest difference of the audio when one tensor of a section differs."""
    engine.load(weights)
    before = say(engine, request)
    found = {}
    for section, key in CHANGED.items():
        engine.load({**weights, key: weights[key].flip(0)})  # a factor would be normalised away
        after = say(engine, request)
        shorter = min(len(before), len(after))
        found[section] = float((before[:shorter] - after[:shorter]).abs().max())
    engine.load(weights)
    found["again"] = float((before - say(engine, request)).abs().max())
    return found


def norms(engine: Kokoro, request: Request, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """An InstanceNorm's weight is taken where a checkpoint has it, and does not outlive the checkpoint."""
    engine.load(weights)
    before = say(engine, request)
    ones = torch.ones(engine._model.get_parameter(NORM).shape)  # type: ignore[union-attr]
    engine.load({**weights, NORM: 2 * ones})
    taken = say(engine, request)
    kept = torch.equal(engine.weights()[NORM], 2 * ones)
    engine.load(weights)
    return {
        "taken": not torch.equal(before, taken) and kept,
        "gone": torch.equal(before, say(engine, request)) and NORM not in engine.weights(),
    }


def seeds(engine: Kokoro, request: Request) -> list[bool]:
    first, other = say(engine, request), say(engine, Request("b", "", 6, request.voice, phonemes=request.phonemes))
    return [torch.equal(first, say(engine, request)), not torch.equal(first, other)]


if __name__ == "__main__":
    sys.exit(main())
