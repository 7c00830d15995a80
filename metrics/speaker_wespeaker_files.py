"""Reading a model of wespeaker from disk, strictly: a network that was loaded in part must not judge anything."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metrics.fbank import MELS, SAMPLE_RATE
from metrics.packages import missing_packages
from metrics.resnet_speaker import ARCHITECTURES, SpeakerResNet
from metrics.speaker_encoders import Encoder, OnnxEncoder, ResNetEncoder

CHECKPOINT, CONFIG = "avg_model.pt", "config.yaml"

_ONNX = "ONNX"
_KEYS_NAMED = 3  # of the wrong ones


@dataclass(frozen=True)
class WespeakerModel:
    """A model as its files describe it; `encoder` reads the weights.

    path: the ONNX file, or the folder with avg_model.pt and config.yaml. network: "ResNet34" and the like, or "ONNX".
    dimensions: of an embedding; 0 where only the ONNX file knows.
    """

    path: Path
    network: str
    dimensions: int = 0

    @property
    def onnx(self) -> bool:
        return self.network == _ONNX

    def encoder(self, device: torch.device) -> Encoder:
        """Raises ValueError, naming the file and what is wrong with it, if the weights are not those of the network."""
        if self.onnx:
            return OnnxEncoder(self.path)
        network = SpeakerResNet(*ARCHITECTURES[self.network], self.dimensions)
        state = _read_state(self.path / CHECKPOINT)
        if wrong := _mismatch(network.state_dict(), state):
            raise ValueError(f"{self.path / CHECKPOINT} has not the weights of a {self.network}: {wrong}.")
        network.load_state_dict(state)
        return ResNetEncoder(network, device)


def find_model(path: Path) -> WespeakerModel:
    """The model in a folder with `avg_model.pt` and `config.yaml`, in an `.onnx` file, or in a folder with just one.

    Reads the configuration at most. Raises ValueError, saying what is wrong, if there is none that can run here.
    """
    if (path / CHECKPOINT).is_file():
        return _configured(path)
    files = sorted(path.glob("*.onnx")) if path.is_dir() else [path]
    if len(files) != 1 or files[0].suffix != ".onnx":
        raise ValueError(
            f"{path} is no model of wespeaker: give a folder with {CHECKPOINT} and {CONFIG}, or one .onnx file."
        )
    if problem := missing_packages(("onnxruntime",), "standard"):
        raise ValueError(f"The model {files[0]} {problem}.")
    return WespeakerModel(files[0], _ONNX)


def _configured(folder: Path) -> WespeakerModel:
    """What config.yaml says, if it is a network that evalkit has, on the features that wespeaker's CLI computes."""
    config = _read_config(folder / CONFIG)
    arguments, data = _section(config, "model_args"), _section(config, "dataset_args")
    accepted = (
        ("model", config.get("model"), tuple(ARCHITECTURES)),
        ("model_args.feat_dim", arguments.get("feat_dim"), (MELS,)),
        ("model_args.pooling_func", arguments.get("pooling_func", "TSTP"), ("TSTP",)),
        ("model_args.two_emb_layer", arguments.get("two_emb_layer", False), (False,)),
        ("dataset_args.frontend", data.get("frontend", "fbank"), ("fbank",)),
        ("dataset_args.resample_rate", data.get("resample_rate", SAMPLE_RATE), (SAMPLE_RATE,)),
    )
    for key, value, choices in accepted:
        if value not in choices:
            raise ValueError(
                f"The model in {folder} has {key} {value}, and evalkit runs {', '.join(map(str, choices))}: "
                "give another model, or this one exported to ONNX if its features are 80 mels at 16 kHz."
            )
    dimensions = arguments.get("embed_dim")
    if not isinstance(dimensions, int) or dimensions < 1:
        raise ValueError(f"{folder / CONFIG} has no model_args.embed_dim above 0: give the file of the model.")
    return WespeakerModel(folder, str(config["model"]), dimensions)


def _read_config(path: Path) -> Mapping[str, Any]:
    if problem := missing_packages(("yaml",), "standard"):
        raise ValueError(f"The model in {path.parent} {problem}.")
    import yaml

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read ({error}): put the model's {CONFIG} beside {CHECKPOINT}.") from error
    if not isinstance(config, Mapping):
        raise ValueError(f"{path} is no configuration of wespeaker: put the model's {CONFIG} beside {CHECKPOINT}.")
    return config


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}


def _read_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint by name, without those of the training loss ("projection.")."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it holds {named[1]}, which could run code" if named else "it is no checkpoint of torch"
        raise ValueError(f"{path} is not read, because {what}: give a checkpoint of tensors only.") from error
    except (OSError, EOFError, RuntimeError) as error:
        reason = str(error).partition("\n")[0] or "it is cut off"
        raise ValueError(f"{path} cannot be read ({reason}): get the file again.") from error
    if isinstance(state, Mapping) and "state_dict" in state:
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} is no state dict: give the {CHECKPOINT} of a model of wespeaker.")
    return {name: value for name, value in state.items() if not name.startswith("projection.")}


def _mismatch(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """What keeps `found` from being loaded into a network with the tensors `expected`; "" if nothing does."""
    shared = [name for name in expected if name in found]
    problems = {
        "missing": [name for name in expected if name not in found],
        "not expected": [name for name in found if name not in expected],
        "of another shape": [name for name in shared if expected[name].shape != found[name].shape],
        "not finite": [name for name in shared if not bool(found[name].isfinite().all())],
    }
    return "; ".join(f"{_some(names)} {problem}" for problem, names in problems.items() if names)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _KEYS_NAMED} more" if len(names) > _KEYS_NAMED else ""
    return ", ".join(names[:_KEYS_NAMED]) + more
