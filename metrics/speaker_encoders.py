"""wespeaker's encoders at work: samples of many clips in, embeddings out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence

from metrics.fbank import MELS, fbank, frame_count, subtract_mean
from metrics.precision import full_float32
from metrics.resnet_speaker import SpeakerResNet

# Frames of one forward pass, padding included. A CPU gains nothing from more than a clip or two at a time; a GPU needs
# many, and of the order of 40 kB (ResNet34) to 160 kB (ResNet221) of memory for each.
_CPU_FRAMES = 1000
_GPU_FRAMES = 20_000


class Encoder(ABC):
    """A speaker encoder on a device. equal_lengths: whether only clips of the same number of frames share a pass."""

    equal_lengths: bool

    def __init__(self, device: torch.device) -> None:
        self._device = device

    @abstractmethod
    def _forward(self, features: Tensor, counts: Tensor) -> Tensor:
        """Embeddings, float32 [clips, dimensions], of features without their mean, float32 [clips, frames, 80].

        counts: how many of the frames are real, int64 [clips] on the CPU; the features after those are zero.
        """

    @torch.no_grad()
    def embed(self, clips: Sequence[Tensor]) -> Tensor:
        """Embeddings of length 1, float32 [clips, dimensions] on the CPU.

        clips: at least one, each float32 [samples at 16 kHz], at least 0.11 s, on any device.
        """
        counts = [frame_count(len(clip)) for clip in clips]
        limit = _CPU_FRAMES if self._device.type == "cpu" else _GPU_FRAMES
        embeddings: list[Tensor] = [torch.empty(0)] * len(clips)
        for group in groups(counts, limit, equal=self.equal_lengths):
            audio = pad_sequence([clips[index].to(self._device) for index in group], batch_first=True)
            real = torch.tensor([counts[index] for index in group])
            found = self._forward(subtract_mean(fbank(audio), real), real).cpu()
            for index, embedding in zip(group, found, strict=True):
                embeddings[index] = embedding
        return normalize(torch.stack(embeddings), dim=1)


class ResNetEncoder(Encoder):
    """A `SpeakerResNet`; clips of similar length share a pass, masked."""

    equal_lengths = False

    def __init__(self, network: SpeakerResNet, device: torch.device) -> None:
        super().__init__(device)
        self._network = network.eval().requires_grad_(False).to(device)
        if device.type == "cpu":
            # Convolutions of many channels are about a sixth faster on a CPU with the channels innermost.
            self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it

    def _forward(self, features: Tensor, counts: Tensor) -> Tensor:
        with full_float32(features.device):
            embeddings: Tensor = self._network(features, counts)
        return embeddings


class OnnxEncoder(Encoder):
    """A network that wespeaker exported, run by onnxruntime on the CPU.

    Nothing inside such a file can be masked, so padding would change its embeddings.
    """

    equal_lengths = True

    def __init__(self, path: Path) -> None:
        """Raises ValueError if `path` is not what wespeaker's `export_onnx.py` writes for features of 80 mels."""
        import onnxruntime

        super().__init__(torch.device("cpu"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions have no base class in common
            raise ValueError(f"{path} cannot be read as an ONNX network ({error}): give one of wespeaker's.") from error
        inputs = {node.name: node.shape for node in self._session.get_inputs()}
        outputs = [node.name for node in self._session.get_outputs()]
        if not _takes_any_length(inputs) or outputs != ["embs"]:
            raise ValueError(
                f"{path} has the inputs {inputs} and outputs {outputs}: give a network that takes 'feats' of any "
                "[clips, frames, 80] and returns 'embs', as wespeaker's export_onnx.py writes it without --num_frames."
            )

    def _forward(self, features: Tensor, counts: Tensor) -> Tensor:
        (embeddings,) = self._session.run(["embs"], {"feats": features.numpy()})
        return torch.from_numpy(embeddings)


def groups(counts: Sequence[int], limit: int, *, equal: bool) -> Iterator[list[int]]:
    """Indices of clips of these many frames, longest first, in groups that share a pass.

    A group has at most `limit` frames with its padding, or a single clip; if `equal`, all its clips are equally long.
    """
    group: list[int] = []
    for index in sorted(range(len(counts)), key=counts.__getitem__, reverse=True):
        longest = counts[group[0]] if group else 0
        if group and (longest * (len(group) + 1) > limit or (equal and counts[index] < longest)):
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def _takes_any_length(inputs: dict[str, list[Any]]) -> bool:
    """Whether an ONNX network's only input is "feats" of any [clips, frames, 80]; a fixed size is an integer."""
    if list(inputs) != ["feats"] or len(inputs["feats"]) != 3:
        return False
    clips, frames, mels = inputs["feats"]
    return not isinstance(clips, int) and not isinstance(frames, int) and mels == MELS
