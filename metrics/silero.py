"""Where a clip holds speech: silero-vad, for many clips at once.

The network is that of silero-vad 6.2 at 16 kHz with the weights of its wheel; the package's own function, with its
defaults, makes stretches of speech out of the probabilities. The network is written again in torch because the
package's takes one window at a time: here the windows of all clips share the convolutions, and only the LSTM steps
through time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from metrics.base import ClipBatch
from metrics.packages import missing_packages, package_file, sha256, versions
from metrics.precision import full_float32
from metrics.recordings import resample

SAMPLE_RATE = 16000
NEEDED = ("onnx", "silero_vad")  # packages, by import name
Stretch = tuple[float, float]  # start and end of a stretch of speech, in seconds

# Of the wheel's files this one holds the weights of silero_vad.jit, which the package loads by default, and can be read
# without running it; silero_vad_16k.safetensors is, in 6.2.3, an older network that answers differently.
_WEIGHTS = "data/silero_vad_16k_op15.onnx"
_WINDOW, _CONTEXT = 512, 64  # samples: each window is seen with the end of the one before
_REFLECTED = 64
_BINS = 129
_WINDOWS_PER_PASS = 8192  # a quarter of a gigabyte in the widest layer


class SileroVad:
    """Speech of clips. Loads the network at the first use."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._network: SileroNetwork | None = None

    def speech(self, batch: ClipBatch) -> list[list[Stretch]]:
        """Stretches of speech of each clip, in order, as `silero_vad.get_speech_timestamps` finds them.

        Clips at another rate than 16 kHz are resampled for this (soxr, HQ).
        """
        clips = [resample(batch.clip(index), batch.sample_rate, SAMPLE_RATE) for index in range(len(batch))]
        probabilities = self.probabilities(clips)
        return [_stretches(own, len(clip)) for own, clip in zip(probabilities, clips, strict=True)]

    @torch.no_grad()
    def probabilities(self, clips: Sequence[Tensor]) -> list[list[float]]:
        """Probability of speech of each window of 32 ms, the last completed by zeros; clips: float32 [samples]."""
        if self._network is None:
            self._network = SileroNetwork.pretrained().to(self._device)
        counts = [-(-len(clip) // _WINDOW) for clip in clips]
        if not any(counts):
            return [[] for _ in clips]
        windows = torch.cat([_windows(clip.to(self._device)) for clip in clips])
        with full_float32(self._device):
            features = torch.cat([self._network.encode(chunk) for chunk in torch.split(windows, _WINDOWS_PER_PASS)])
            padded = nn.utils.rnn.pad_sequence(list(torch.split(features, counts)), batch_first=True)
            decoded = self._network.decode(padded).cpu()
        return [own[:count].tolist() for own, count in zip(decoded, counts, strict=True)]


class SileroNetwork(nn.Module):
    """silero-vad at 16 kHz: short-time magnitudes, four convolutions over a window, an LSTM over the windows."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 2 * _BINS, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(_BINS, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm = nn.LSTM(128, 128, batch_first=True)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def encode(self, windows: Tensor) -> Tensor:
        """float32 [windows, 64 + 512 samples] -> [windows, 128]; no window depends on another."""
        spectrum = self.stft_conv(pad(windows[:, None], (0, _REFLECTED), mode="reflect"))
        features: Tensor = (spectrum[:, :_BINS].square() + spectrum[:, _BINS:].square()).sqrt()
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            features = layer(features).relu()
        return features[:, :, 0]

    def decode(self, features: Tensor) -> Tensor:
        """[clips, windows, 128] -> probabilities [clips, windows]; a window depends on those before it only."""
        hidden, _ = self.lstm(features)
        probabilities: Tensor = self.final_conv(hidden.relu().transpose(1, 2)).sigmoid()
        return probabilities[:, 0]

    @classmethod
    def pretrained(cls) -> SileroNetwork:
        """The network with the weights of the silero-vad wheel."""
        import onnx

        arrays = {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load(weights()).graph.initializer}
        state = {ours: torch.tensor(arrays[f"model.{theirs}"]) for ours, theirs in _stored_names().items()}
        network = cls()
        network.load_state_dict(state)
        return network.eval().requires_grad_(False)


def _stored_names() -> dict[str, str]:
    """Name of each tensor here -> its name in the package's file."""
    names = {"stft_conv.weight": "stft.forward_basis_buffer"}
    for part in ("weight", "bias"):
        names |= {f"conv{layer + 1}.{part}": f"encoder.{layer}.reparam_conv.{part}" for layer in range(4)}
        names |= {f"lstm.{part}_{side}_l0": f"decoder.rnn.{part}_{side}" for side in ("ih", "hh")}
        names[f"final_conv.{part}"] = f"decoder.decoder.2.{part}"
    return names


def in_stretches(times: Tensor, stretches: Sequence[Stretch]) -> Tensor:
    """bool, as times (in seconds): whether each lies in one of the stretches."""
    inside = torch.zeros_like(times, dtype=torch.bool)
    for start, end in stretches:
        inside |= (times >= start) & (times < end)
    return inside


def weights() -> Path:
    return package_file("silero_vad", _WEIGHTS)


def weights_sha256() -> dict[str, str]:
    """For `Passport.weights_sha256`."""
    return {Path(_WEIGHTS).name: sha256(weights())}


def packages() -> dict[str, str]:
    """For `Passport.packages`."""
    return versions("silero-vad", "torch")


def unavailable() -> str | None:
    """None if the network and what runs it are installed, else one sentence for `Metric.unavailable`."""
    return missing_packages(NEEDED, "bundled")


def _windows(clip: Tensor) -> Tensor:
    """[samples] -> [windows, 64 + 512]: zeros before the first window and after the last sample."""
    padded = pad(clip, (_CONTEXT, -len(clip) % _WINDOW))
    return padded.unfold(0, _CONTEXT + _WINDOW, _WINDOW) if len(clip) else clip.new_zeros(0, _CONTEXT + _WINDOW)


def _stretches(probabilities: list[float], samples: int) -> list[Stretch]:
    threads = torch.get_num_threads()
    from silero_vad import get_speech_timestamps_from_probs

    torch.set_num_threads(threads)  # importing the package sets torch to one thread
    found = get_speech_timestamps_from_probs(probabilities, sampling_rate=SAMPLE_RATE, audio_length_samples=samples)
    return [(one["start"] / SAMPLE_RATE, one["end"] / SAMPLE_RATE) for one in found]
