"""A small random F5-TTS in the released files' form, to be tried without a download."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evalkit.engines.base import Example
from evalkit.engines.f5.configuration import BANDS, HOP, MEL, SAMPLE_RATE, read
from evalkit.engines.f5.network import ROTARY, build
from evalkit.engines.f5.text import read_vocabulary

ARCH = {"dim": 64, "depth": 4, "heads": 4, "dim_head": 16, "ff_mult": 2, "text_dim": 32, "conv_layers": 2}
STEPS = 4
CLIP_S = 1.6
CLIP_TEXT = "The heron stood still."
TEXTS = (
    "Meera waved.",
    "The boats came in late.",
    "Nobody asked him where the road went.",
    "She counted the lamps twice, and then once more.",
)
# Gains of random layers. The output ones make mel frames as large as speech has.
_WEIGHT, _BIAS, _OUTPUT = 1.0, 0.3, 2.0


def write_example(folder: Path, seed: int) -> Example:
    """Checkpoint, vocabulary, configuration, vocoder and clip in an empty folder."""
    import yaml

    draw = torch.Generator().manual_seed(seed)
    configuration = {"model": {"name": "tiny", "backbone": "DiT", "arch": ARCH, "mel_spec": dict(MEL)}}
    (folder / "model_cfg.yaml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
    symbols = " " + "".join(sign for sign in string.printable if sign.isprintable() and sign != " ")
    (folder / "vocab.txt").write_text("".join(f"{symbol}\n" for symbol in symbols), encoding="utf-8")
    checkpoint = folder / "model.safetensors"
    write_checkpoint(checkpoint, random_weights(folder, draw))
    write_vocoder(folder / "vocos-mel-24khz", draw)
    write_clip(folder / "heron.wav", draw)
    files = {"vocoder": "vocos-mel-24khz", "vocab": "vocab.txt", "model_cfg": "model_cfg.yaml"}
    settings = [f"{name}={folder / file}" for name, file in files.items()]
    return Example(checkpoint, TEXTS, str(folder / "heron.wav"), CLIP_TEXT, (f"steps={STEPS}", *settings))


def random_weights(folder: Path, draw: torch.Generator) -> dict[str, Tensor]:
    """CFM tensors for a folder's configuration and vocabulary. None is zero, as the package leaves its output layers.

    The rotary table is left out, as it may be: it is computed, and no other table would be loaded.
    """
    network = build(read(folder / "model_cfg.yaml"), read_vocabulary(folder / "vocab.txt"))
    return {key: _random(key, tensor, draw) for key, tensor in network.state().items() if key != ROTARY}


def write_checkpoint(path: Path, weights: dict[str, Tensor]) -> None:
    """A released file: the averaged weights behind `ema_model.`, and ema_pytorch's counters."""
    from safetensors.torch import save_file

    counters = {"initted": torch.tensor(True), "step": torch.tensor(1000)}
    save_file({**counters, **{f"ema_model.{key}": tensor.contiguous() for key, tensor in weights.items()}}, path)


def _random(key: str, like: Tensor, draw: torch.Generator) -> Tensor:
    noise = torch.randn(like.shape, generator=draw)
    if like.ndim < 2 or key.endswith(("gamma", "beta")):
        centre = 1.0 if key.endswith("norm.weight") else 0.0
        return centre + _BIAS * noise
    gain = _OUTPUT if "proj_out" in key else _WEIGHT
    drawn: Tensor = noise * gain / like[0].numel() ** 0.5
    return drawn


def write_vocoder(folder: Path, draw: torch.Generator, width: int = 32, hidden: int = 64, layers: int = 2) -> None:
    """A random Vocos as vocos-mel-24khz is stored, which itself has 512, 1536 and 8."""
    import yaml

    from evalkit.engines.f5.vocoder import CLASSES, CONFIG, WEIGHTS, build_vocos

    frames = {"n_fft": 1024, "hop_length": HOP, "padding": "center"}
    sizes = {
        "feature_extractor": {"sample_rate": SAMPLE_RATE, "n_mels": BANDS, **frames},
        "backbone": {"input_channels": BANDS, "dim": width, "intermediate_dim": hidden, "num_layers": layers},
        "head": {"dim": width, **frames},
    }
    folder.mkdir()
    content = {part: {"class_path": name, "init_args": sizes[part]} for part, name in CLASSES.items()}
    (folder / CONFIG).write_text(yaml.safe_dump(content), encoding="utf-8")
    state = build_vocos(folder / CONFIG).state_dict()
    drawn = {key: tensor if _computed(key) else _random(key, tensor, draw) for key, tensor in state.items()}
    torch.save(drawn, folder / WEIGHTS)


def _computed(key: str) -> bool:
    return key.startswith("feature_extractor.") or key.endswith("window")


def write_clip(path: Path, draw: torch.Generator) -> None:
    """A hum with four swells, like syllables, quieter than the level that F5-TTS raises clips to."""
    import soundfile

    time = np.arange(int(CLIP_S * SAMPLE_RATE)) / SAMPLE_RATE
    swell = 0.15 + np.abs(np.sin(4 * np.pi * time / CLIP_S))
    phases = (2 * np.pi * torch.rand(12, generator=draw)).numpy()
    hum = sum(np.sin(2 * np.pi * 140 * n * time + phase) / n for n, phase in enumerate(phases, 1))
    soundfile.write(path, 0.05 * swell * hum, SAMPLE_RATE, subtype="PCM_16")
