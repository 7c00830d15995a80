"""What the scripts of this folder share: small systems, and the package's own way of speaking with them."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from evalkit.checkpoints import canonical, read_checkpoint
from evalkit.engines.base import Request, Setup, Speech
from evalkit.engines.f5.configuration import MEL
from evalkit.engines.f5.engine import F5TTS
from evalkit.engines.f5.example import ARCH, CLIP_TEXT, random_weights, write_checkpoint, write_example
from evalkit.engines.f5.vocoder import load_vocoder

torch.set_num_threads(1)
os.environ["HF_HUB_OFFLINE"] = "1"
SEED = 11


def package_speech() -> Any:
    """f5_tts.infer.utils_infer, without matplotlib and without torchaudio's reader, which the environment lacks."""
    for name in ("matplotlib", "matplotlib.pylab"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["matplotlib"].use = lambda _: None  # type: ignore[attr-defined]
    sys.modules["matplotlib"].pylab = sys.modules["matplotlib.pylab"]  # type: ignore[attr-defined]
    import soundfile
    import torchaudio

    def load(path: str) -> tuple[Tensor, int]:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return torch.from_numpy(samples.T.copy()), rate

    torchaudio.load = load
    from f5_tts.infer import utils_infer

    return utils_infer


class System:
    """A folder with a small random F5-TTS of some architecture; `cfm` and `vocoder` are the package's, untouched."""

    def __init__(self, folder: Path, seed: int = SEED, **arch: Any) -> None:
        from f5_tts.model import CFM, DiT
        from f5_tts.model.utils import get_tokenizer

        folder.mkdir()
        self.folder = folder
        self.example = write_example(folder, seed)
        self.arch = ARCH | arch
        if arch:
            content = {"model": {"backbone": "DiT", "arch": self.arch, "mel_spec": dict(MEL)}}
            (folder / "model_cfg.yaml").write_text(yaml.safe_dump(content))
            write_checkpoint(self.checkpoint, random_weights(folder, torch.Generator().manual_seed(seed)))
        index, size = get_tokenizer(str(folder / "vocab.txt"), "custom")
        transformer = DiT(**self.arch, text_num_embeds=size, mel_dim=100)
        self.cfm = CFM(transformer, mel_spec_kwargs=dict(MEL), vocab_char_map=index).eval()
        self.weights = canonical(read_checkpoint(self.checkpoint).tensors).tensors
        found = self.cfm.load_state_dict(dict(self.weights), strict=False)
        assert found.missing_keys == ["transformer.rotary_embed.inv_freq"] and not found.unexpected_keys
        self.vocoder = load_vocoder(folder / "vocos-mel-24khz")

    @property
    def checkpoint(self) -> Path:
        assert self.example.checkpoint is not None
        return self.example.checkpoint

    @property
    def clip(self) -> Path:
        return self.folder / "heron.wav"

    def engine(self, load: bool = True) -> F5TTS:
        engine = F5TTS()
        names = {"vocoder": "vocos-mel-24khz", "vocab": "vocab.txt", "model_cfg": "model_cfg.yaml"}
        engine.set_up(Setup({name: self.folder / file for name, file in names.items()}))
        if load:
            engine.load(self.weights)
        return engine

    def package(self, utils: Any, text: str, seed: int, **settings: Any) -> Tensor:
        """One text by the package's own commands, from the clip on: preprocessing, sampling, Vocos, level."""
        clip, said = utils.preprocess_ref_audio_text(str(self.clip), CLIP_TEXT, show_info=lambda _: None)
        torch.manual_seed(seed)
        audio, _, _ = utils.infer_process(
            clip, said, text, self.cfm, self.vocoder, show_info=lambda _: None, device="cpu", **settings
        )
        return torch.from_numpy(np.asarray(audio))


def requests(engine: F5TTS, clip: Path, texts: list[str], said: str = CLIP_TEXT, **options: Any) -> list[Request]:
    voice = engine.prepare_voice(clip, said)
    return [Request(str(i), text, seed=100 + i, voice=voice, options=options) for i, text in enumerate(texts)]


def gap(ours: Speech | Tensor, other: Speech | Tensor) -> float:
    """Largest difference; infinite where lengths differ or nothing was said."""
    first, second = (clip.audio if isinstance(clip, Speech) else clip for clip in (ours, other))
    if first.shape != second.shape or not len(first):
        return float("inf")
    return float((first - second).abs().max())
