"""A wav2vec2 phoneme recogniser in Hugging Face's format: which symbol is heard in each frame of a clip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from metrics.precision import full_float32

SAMPLE_RATE = 16_000
# Tensors of training only, which checkpoints have or lack as they like.
_OPTIONAL_KEYS = frozenset({"wav2vec2.masked_spec_embed"})


@dataclass(frozen=True)
class Emissions:
    """log_probs: float32 [clips, frames, symbols] on the model's device; lengths: int64 [clips], frames, on the CPU."""

    log_probs: Tensor
    lengths: Tensor


class Wav2Vec2Phones:
    """Wav2Vec2ForCTC of transformers with the vocabulary beside it.

    Clips of one batch do not touch each other. Models whose feature extractor normalises each frame (`layer`, the large
    ones) take clips padded, with an attention mask; in those that normalise over time (`group`) padding would leak
    through the mean and variance of the first layer, so only clips of one length share a batch.
    """

    def __init__(self, folder: Path, device: str) -> None:
        """folder: config.json, vocab.json, model.safetensors or pytorch_model.bin; preprocessor_config.json if any.

        Raises ValueError naming the file that is missing or damaged, or the tensors that the model lacks.
        """
        preprocessor = folder / "preprocessor_config.json"
        settings = _read_json(preprocessor) if preprocessor.is_file() else {}
        if settings.get("sampling_rate", SAMPLE_RATE) != SAMPLE_RATE:
            raise ValueError(f"{folder} takes audio at {settings['sampling_rate']} Hz; the judge gives {SAMPLE_RATE}.")
        self._normalize = bool(settings.get("do_normalize", True))
        self.vocabulary: dict[str, int] = _read_json(folder / "vocab.json")
        self._model = _load(folder).to(device).eval()
        config = self._model.config
        if len(self.vocabulary) > config.vocab_size or config.pad_token_id not in self.vocabulary.values():
            raise ValueError(
                f"{folder}: vocab.json has {len(self.vocabulary)} symbols and the model {config.vocab_size} outputs, "
                f"with the blank at {config.pad_token_id}; the two do not belong together."
            )
        self.blank: int = config.pad_token_id
        self.samples_per_frame: int = config.inputs_to_logits_ratio
        self._device = device

    def frames(self, samples: int) -> int:
        """How many frames a clip of so many samples gives; 0 if it is too short for one."""
        for kernel, stride in zip(self._model.config.conv_kernel, self._model.config.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1 if samples >= kernel else 0
        return samples

    @torch.inference_mode()
    def emissions(self, clips: Sequence[Tensor]) -> Emissions:
        """clips: float32 [samples] each at 16 kHz, each long enough for a frame."""
        lengths = [self.frames(len(clip)) for clip in clips]
        padded = torch.zeros(len(clips), max(lengths), self._model.config.vocab_size, device=self._device)
        for group in self._groups(clips):
            found = self._forward([clips[place] for place in group])
            padded[group, : found.shape[1]] = found
        return Emissions(padded, torch.tensor(lengths))

    def _groups(self, clips: Sequence[Tensor]) -> list[list[int]]:
        """Places of the clips that may share a batch."""
        if self._model.config.feat_extract_norm == "layer":
            return [list(range(len(clips)))]
        by_length: dict[int, list[int]] = {}
        for place, clip in enumerate(clips):
            by_length.setdefault(len(clip), []).append(place)
        return list(by_length.values())

    def _forward(self, clips: Sequence[Tensor]) -> Tensor:
        """Log probabilities [clips, frames, symbols]; what stands past a clip's end means nothing."""
        inputs = [self._input(clip.to(self._device)) for clip in clips]
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(clip, dtype=torch.long) for clip in inputs], True)
        padded = torch.nn.utils.rnn.pad_sequence(inputs, batch_first=True)
        with full_float32(padded.device):
            logits: Tensor = self._model(padded, attention_mask=mask).logits
        return logits.float().log_softmax(dim=-1)

    def _input(self, clip: Tensor) -> Tensor:
        """Zero mean and unit variance, as transformers' Wav2Vec2FeatureExtractor makes it."""
        if not self._normalize:
            return clip
        return (clip - clip.mean()) / (clip.var(correction=0) + 1e-7).sqrt()


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path.parent} has no {path.name}: give the whole folder of the model.")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): fetch the model again.") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} is not a JSON object: fetch the model again.")
    return data


def _load(folder: Path) -> Any:
    """Only safetensors or tensors of a pickle that holds nothing else are read, and every tensor must be there.

    transformers would leave tensors that it does not find at random values, with a warning.
    """
    import transformers
    from safetensors import SafetensorError

    model_class: Any = transformers.Wav2Vec2ForCTC
    logging: Any = transformers.utils.logging
    if _read_json(folder / "config.json").get("model_type") != "wav2vec2":
        raise ValueError(f"{folder}/config.json is not of a wav2vec2 model; the judge takes Wav2Vec2ForCTC only.")
    if not any((folder / name).is_file() for name in ("model.safetensors", "pytorch_model.bin")):
        raise ValueError(f"{folder} has neither model.safetensors nor pytorch_model.bin: fetch the model again.")
    verbosity, progress = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # what it would warn of is an error here
    logging.disable_progress_bar()
    try:
        model, info = model_class.from_pretrained(
            folder, local_files_only=True, weights_only=True, output_loading_info=True, dtype=torch.float32
        )
    except (OSError, RuntimeError, ValueError, SafetensorError, UnpicklingError) as error:
        raise ValueError(f"The model in {folder} cannot be loaded: {str(error).splitlines()[0]}") from error
    finally:
        logging.set_verbosity(verbosity)
        if progress:
            logging.enable_progress_bar()
    wrong = {kind: set(info[kind]) - _OPTIONAL_KEYS for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    for kind, keys in wrong.items():
        if keys:
            listed = ", ".join(sorted(map(str, keys))[:5])
            raise ValueError(f"The model in {folder} has {kind.replace('_', ' ')}: {listed}; fetch it again.")
    _fold_weight_norm(model)
    return model


def _fold_weight_norm(model: Any) -> None:
    """The weights are final: the product of direction and length need not be taken in every pass."""
    for module in list(model.modules()):
        if is_parametrized(module):
            for name in list(module.parametrizations):
                remove_parametrizations(module, name)
