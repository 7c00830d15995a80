"""The package's own NeuTTS around a local backbone and codec, both of which it would otherwise download."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from evalkit.checkpoints import canonical, read_checkpoint
from evalkit.engines.base import Example
from evalkit.engines.neutts.codec import TorchCodec, load_codec
from evalkit.engines.neutts.engine import NeuTTS
from evalkit.engines.setting_up import resolve

torch.set_num_threads(1)


def package_tts(backbone: Path, codec: Path, dtype: torch.dtype | None = torch.float32) -> Any:
    """neutts.NeuTTS; dtype None leaves the backbone in bfloat16, as the package loads it."""
    from neutts import NeuTTS as PackageNeuTTS
    from transformers import AutoModelForCausalLM

    class Local(PackageNeuTTS):
        def _load_codec(self, codec_repo: str, codec_device: str) -> None:
            ours = load_codec(Path(codec_repo))
            assert isinstance(ours, TorchCodec)
            self.codec = ours.network

    with contextlib.redirect_stdout(io.StringIO()):
        tts = Local(str(backbone), codec_repo=str(codec), language="en-us", seed=0)
    if dtype is not None:
        tts.backbone = AutoModelForCausalLM.from_pretrained(str(backbone), dtype=dtype)
    return tts


def engine_of(example: Example, *settings: str) -> NeuTTS:
    """The engine, set up as its example says, but for these settings; its weights are loaded."""
    assert example.checkpoint is not None
    chosen = {setting.partition("=")[0]: setting for setting in (*example.settings, *settings)}
    engine = NeuTTS()
    engine.set_up(resolve(engine.spec, list(chosen.values()), [example.checkpoint]))
    engine.load(weights_of(example.checkpoint))
    return engine


def weights_of(folder: Path) -> Mapping[str, torch.Tensor]:
    return dict(canonical(read_checkpoint(folder).tensors).tensors)


def quietly(function: Any, *arguments: Any, **options: Any) -> Any:
    """Call what prints, without its prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*arguments, **options)


def answer(found: Mapping[str, Any]) -> None:
    sys.stdout.write("\n" + json.dumps(found) + "\n")
