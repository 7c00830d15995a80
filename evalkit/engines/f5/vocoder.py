"""Vocos from a folder of vocos-mel-24khz: config.yaml and pytorch_model.bin."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evalkit.engines.f5.configuration import BANDS, HOP, SAMPLE_RATE
from evalkit.errors import EvalkitError, some

CONFIG, WEIGHTS = "config.yaml", "pytorch_model.bin"
# The classes of vocos-mel-24khz. `Vocos.from_hparams` would import whatever a file names.
CLASSES = {
    "feature_extractor": "vocos.feature_extractors.MelSpectrogramFeatures",
    "backbone": "vocos.models.VocosBackbone",
    "head": "vocos.heads.ISTFTHead",
}
_FITTING: Mapping[str, Mapping[str, int]] = {
    "feature_extractor": {"sample_rate": SAMPLE_RATE, "n_mels": BANDS, "hop_length": HOP},
    "backbone": {"input_channels": BANDS},
    "head": {"hop_length": HOP},
}


def load_vocoder(place: Path) -> Any:
    """`vocos.Vocos` in evaluation mode, on the CPU, its weights loaded strictly.

    place: the folder, or one of its files (a Hugging Face snapshot is found by its file). Raises EvalkitError.
    """
    folder = place.parent if place.is_file() else place
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise EvalkitError(
                f"The vocoder {folder} has no {name}: download charactr/vocos-mel-24khz, and name its folder with "
                "--set vocoder=FOLDER."
            )
    vocos = build_vocos(folder / CONFIG)
    _load(vocos, folder / WEIGHTS)
    return vocos.eval().requires_grad_(False)


def build_vocos(path: Path) -> Any:
    """A `vocos.Vocos` with random weights, as its config.yaml says. Raises EvalkitError for any but vocos-mel-24khz."""
    sizes = _sizes(path)
    from vocos import Vocos
    from vocos.feature_extractors import MelSpectrogramFeatures
    from vocos.heads import ISTFTHead
    from vocos.models import VocosBackbone

    try:
        with torch.random.fork_rng(devices=[]):
            return Vocos(
                MelSpectrogramFeatures(**sizes["feature_extractor"]),
                VocosBackbone(**sizes["backbone"]),
                ISTFTHead(**sizes["head"]),
            )
    except (TypeError, ValueError, RuntimeError) as error:
        raise EvalkitError(f"The vocoder's {path} describes no Vocos that can be built: {error}") from error


def _sizes(path: Path) -> dict[str, dict[str, Any]]:
    """Arguments of each part of the model, if its classes and its frames are those of vocos-mel-24khz."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        named = {part: str(content[part]["class_path"]) for part in CLASSES}
        sizes = {part: dict(content[part]["init_args"]) for part in CLASSES}
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise EvalkitError(f"The vocoder's {path} is not of the form of vocos-mel-24khz.") from error
    odd = [f"{part} {named[part]}" for part in CLASSES if named[part] != CLASSES[part]]
    for part, fitting in _FITTING.items():
        given = sizes[part]
        odd += [f"{part}.{key} {given.get(key)!r}" for key, wanted in fitting.items() if given.get(key) != wanted]
    if odd:
        raise EvalkitError(f"The vocoder's {path} describes no vocos-mel-24khz: {some(odd)}.")
    return sizes


def _load(vocos: Any, path: Path) -> None:
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise EvalkitError(f"The vocoder's {path} cannot be read safely; download it again.") from error
    if not isinstance(weights, dict) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise EvalkitError(f"The vocoder's {path} holds no dict of tensors.")
    state = vocos.state_dict()
    wrong = [key for key in state if key not in weights or weights[key].shape != state[key].shape]
    wrong += [key for key in weights if key not in state]
    if wrong:
        raise EvalkitError(f"The vocoder's {path} does not fit its {CONFIG}: {len(wrong)} tensors ({some(wrong)}).")
    if broken := [key for key, tensor in weights.items() if not bool(tensor.isfinite().all())]:
        raise EvalkitError(f"The vocoder's {path} holds NaN or Inf in {some(broken)}; download it again.")
    vocos.load_state_dict(weights)
