"""Which DiT a checkpoint is of: one of the package's configurations by name, or a file of that form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError, some

# The DiT configurations in f5_tts/configs (1.1.22). Both of a size have the same shapes.
NAMED = ("F5TTS_v1_Base", "F5TTS_Base", "F5TTS_v1_Small", "F5TTS_Small")
ASSUMED = "F5TTS_v1_Base"  # what the package's commands assume (infer_cli.py)
SAMPLE_RATE = 24000
HOP = 256
BANDS = 100
MEL: Mapping[str, Any] = {
    "target_sample_rate": SAMPLE_RATE,
    "n_mel_channels": BANDS,
    "hop_length": HOP,
    "win_length": 1024,
    "n_fft": 1024,
    "mel_spec_type": "vocos",
}
# How attention is computed, not what: evalkit has its own (`padding.py`).
_BACKEND = ("attn_backend", "attn_mask_enabled", "checkpoint_activations")
_NUMBERS = ("dim", "depth", "heads", "dim_head", "ff_mult", "text_dim", "conv_layers")


@dataclass(frozen=True)
class Configuration:
    """name: for messages; arch: keyword arguments of `f5_tts.model.DiT`, without those that only choose a backend."""

    name: str
    arch: Mapping[str, Any]


def named(name: str) -> Configuration:
    """One of NAMED, read from the installed package."""
    text = (files("f5_tts") / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
    return _parse(text, name, f"the package's {name}.yaml")


def read(path: Path) -> Configuration:
    """A YAML file of the form of f5_tts/configs. Raises EvalkitError for another form, backbone or mel spectrogram."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EvalkitError(f"The F5-TTS configuration {path} cannot be read: {error}.") from error
    return _parse(text, path.name, f"The F5-TTS configuration {path}")


def _parse(text: str, name: str, where: str) -> Configuration:
    import yaml

    try:
        model = yaml.safe_load(text)["model"]
        arch, mel = dict(model["arch"]), dict(model["mel_spec"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise EvalkitError(f"{where} is not of the package's form: it needs model.arch and model.mel_spec.") from error
    if model.get("backbone") != "DiT":
        raise EvalkitError(f"{where} has the backbone {model.get('backbone')!r}; evalkit speaks through DiT only.")
    if odd := [
        f"{key} {mel.get(key)!r} instead of {wanted!r}" for key, wanted in MEL.items() if mel.get(key) != wanted
    ]:
        raise EvalkitError(f"{where} has another mel spectrogram than vocos-mel-24khz takes: {some(odd)}.")
    wrong = [key for key in _NUMBERS if key in arch and (type(arch[key]) is not int or arch[key] < 0)]
    if wrong or "dim" not in arch:
        raise EvalkitError(f"{where} needs whole numbers in model.arch: {some(wrong or ['dim'])}.")
    return Configuration(name, {key: value for key, value in arch.items() if key not in _BACKEND})
