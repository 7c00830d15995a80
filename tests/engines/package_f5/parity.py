"""evalkit's F5-TTS beside the package's own: one by one, in batches, and from every form of checkpoint file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from common import SEED, System, gap, package_speech, requests

from evalkit.checkpoints import canonical, read_checkpoint
from evalkit.engines.base import Request
from evalkit.engines.f5 import reference, sampling
from evalkit.engines.f5.engine import F5TTS, Job
from evalkit.engines.f5.example import CLIP_TEXT, TEXTS

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "v1": {"text_mask_padding": True, "pe_attn_head": None},
    "base": {"text_mask_padding": False, "pe_attn_head": 1},
    "normed": {"qk_norm": "rms_norm", "long_skip_connection": True},
    "upsampled": {"text_embedding_average_upsampling": True},
    "plain": {"conv_layers": 0},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "epss": {"steps": 7},
    "even": {"steps": 5, "sway": 0.0, "cfg_strength": 3.5, "speed": 1.3},
    "unguided": {"steps": 6, "cfg_strength": 0.0},
}
NAMES = {"steps": "nfe_step", "sway": "sway_sampling_coef", "cfg_strength": "cfg_strength", "speed": "speed"}
SPOKEN = [*TEXTS, "Yes.", "Was it “late”; or not? 你好, she said."]


def architecture(folder: Path, utils: Any, arch: dict[str, Any]) -> dict[str, float]:
    system = System(folder, **arch)
    engine = system.engine()
    asked = requests(engine, system.clip, SPOKEN, steps=6)
    alone = [engine.synthesize([request])[0] for request in asked]
    together = engine.synthesize(asked)
    backwards = engine.synthesize(asked[::-1])[::-1]
    theirs = [system.package(utils, request.text, request.seed, nfe_step=6) for request in asked]
    return {
        "package": max(map(gap, alone, theirs)),
        "batch": max(map(gap, alone, together)),
        "order": max(map(gap, alone, backwards)),
        "padded": padded(engine, asked),
        "loudest": max(float(speech.audio.abs().max()) for speech in alone),
        "their_batch": their_batch(system, [request.text for request in asked]),
    }


def padded(engine: F5TTS, asked: list[Request]) -> float:
    """The mel frames of all sentences in one forward pass, long ones beside short ones, against each alone."""
    plans = [engine._plan(request) for request in asked]
    jobs = [plan for plan in plans if isinstance(plan, Job)]
    net, solver = engine._ready(), jobs[0].solver
    together = sampling.sample(net, [job.sentence for job in jobs], solver)
    alone = [sampling.sample(net, [job.sentence], solver)[0] for job in jobs]
    return max(map(gap, together, alone))


def their_batch(system: System, texts: list[str]) -> float:
    """What the package's own batching changes in mel frames, with the same noise."""
    from f5_tts.model.utils import convert_char_to_pinyin

    read = convert_char_to_pinyin([f"{CLIP_TEXT}  {text}" for text in texts])
    mel = torch.randn(1, 80, 100, generator=torch.Generator().manual_seed(SEED))
    frames = torch.tensor([200 + 20 * i for i in range(len(texts))])
    settings: dict[str, Any] = {"steps": 6, "cfg_strength": 2.0, "sway_sampling_coef": -1.0, "seed": SEED}
    together, _ = system.cfm.sample(mel.expand(len(texts), -1, -1), read, frames, **settings)
    alone = [system.cfm.sample(mel, [row], int(n), **settings)[0][0] for row, n in zip(read, frames, strict=True)]
    return max(float((row[: len(one)] - one).abs().max()) for row, one in zip(together, alone, strict=True))


def solvers(folder: Path, utils: Any) -> dict[str, float]:
    system = System(folder)
    engine = system.engine()
    found = {}
    for name, options in SETTINGS.items():
        request = requests(engine, system.clip, [TEXTS[2]], **options)[0]
        settings = {NAMES[option]: value for option, value in options.items()}
        theirs = system.package(utils, request.text, request.seed, **settings)
        found[name] = gap(engine.synthesize([request])[0], theirs)
    return found


def clips(folder: Path, utils: Any) -> dict[str, float]:
    """The largest difference between cut clips, by the package and by evalkit; infinite where their lengths differ."""
    folder.mkdir()
    found = {}
    for name, (samples, rate, subtype) in _clips().items():
        path = folder / f"{name}.wav"
        soundfile.write(path, samples, rate, subtype=subtype)
        theirs, _ = utils.preprocess_ref_audio_text(str(path), CLIP_TEXT, show_info=lambda _: None)
        cut, their_rate = soundfile.read(theirs, dtype="float32", always_2d=True)
        ours = reference.read(path)
        same = ours.rate == their_rate and ours.samples.T.shape == cut.shape
        found[name] = float(np.abs(ours.samples.T.numpy() - cut).max()) if same else float("inf")
        found[f"{name}_s"] = ours.samples.shape[1] / ours.rate
    return found


def _clips() -> dict[str, tuple[Any, int, str]]:
    noise = np.random.default_rng(SEED)

    def speech(seconds: float, rate: int, pauses: Callable[[Any], Any]) -> Any:
        time = np.arange(int(seconds * rate)) / rate
        return 0.1 * noise.standard_normal(len(time)) * pauses(time)

    long_pauses = speech(19, 24000, lambda t: (t % 4 < 2.5) + 1e-4)
    short_pauses = speech(19, 16000, lambda t: (t % 3 < 2.6) + 1e-4)
    edges = speech(5, 22050, lambda t: ((t > 1.2) & (t < 3.9)) + 1e-5)
    stereo = np.stack([speech(4, 44100, lambda t: t > 0.5), 0.3 * speech(4, 44100, lambda t: t > 0.2)], 1)
    return {
        "long_pauses": (long_pauses, 24000, "PCM_16"),
        "short_pauses": (short_pauses, 16000, "PCM_16"),
        "no_pauses": (speech(14, 24000, lambda t: t > -1), 24000, "PCM_16"),
        "uneven": (speech(16, 24000, lambda t: ((t < 5) | (t > 7)) + 1e-4), 24000, "PCM_16"),
        "edges": (edges, 22050, "PCM_16"),
        "stereo": (stereo, 44100, "PCM_16"),
        "wide": (edges, 22050, "PCM_32"),
    }


def files(folder: Path, utils: Any) -> dict[str, Any]:
    """Fingerprints of what is loaded from every form of file, and the gap to what the package's loader loads."""
    from ema_pytorch import EMA
    from safetensors.torch import save_file

    system = System(folder)
    engine = system.engine()
    average = EMA(system.cfm, include_online_model=False).state_dict()
    raw = {key: tensor + 0.01 for key, tensor in system.cfm.state_dict().items()}
    legacy = {
        "mel_spec.mel_stft.mel_scale.fb": torch.ones(513, 100),
        "mel_spec.mel_stft.spectrogram.window": torch.ones(1024),
    }
    training = {"model_state_dict": raw, "ema_model_state_dict": average, "optimizer_state_dict": {}, "update": 9}
    old = average | {f"ema_model.{key}": tensor for key, tensor in legacy.items()}
    torch.save(training, folder / "training.pt")
    torch.save(training | {"ema_model_state_dict": old}, folder / "legacy.pt")
    save_file({key: tensor.contiguous() for key, tensor in average.items()}, folder / "released.safetensors")
    save_file(
        {key: tensor.contiguous() for key, tensor in system.cfm.state_dict().items()}, folder / "bare.safetensors"
    )
    request = requests(engine, system.clip, [TEXTS[1]], steps=4)[0]
    first = engine.synthesize([request])[0]
    found: dict[str, Any] = {}
    for name in ("training.pt", "legacy.pt", "released.safetensors", "bare.safetensors"):
        weights = canonical(read_checkpoint(folder / name).tensors).tensors
        digest = engine.load(weights)
        read_back = engine.weights()
        utils.load_checkpoint(system.cfm, str(folder / name), "cpu", dtype=torch.float32)
        theirs = system.cfm.state_dict()
        found[name] = {
            "digest": digest,
            "audio": gap(first, engine.synthesize([request])[0]),
            "same_as_package": all(torch.equal(read_back[key], tensor) for key, tensor in theirs.items()),
            "notes": list(engine.notes),
        }
    return found


def main(folder: Path) -> None:
    utils = package_speech()
    found: dict[str, Any] = {name: architecture(folder / name, utils, arch) for name, arch in ARCHITECTURES.items()}
    found["solvers"] = solvers(folder / "solvers", utils)
    found["clips"] = clips(folder / "clips", utils)
    found["files"] = files(folder / "files", utils)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
