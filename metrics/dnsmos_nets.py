"""What the scoring of windows needs of the DNSMOS networks, whichever runtime computes them."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor

from metrics.dnsmos_weights import P808_FILE, p835_file, read_weights, weight_files

# Where a piece of a window lies: zeros are put before its first row, after its last row, or nowhere.
Edge = Literal["inside", "first", "last"]


class DnsMosNets(Protocol):
    """The networks in parts, float32 on `device`, in the layout [pieces, channels, time, frequency].

    The convolutions are 3x3; along time they are zero-padded only at an `Edge` of a window, and lose a row elsewhere.
    """

    device: torch.device
    stft: Tensor  # [320, 322]
    chunk_frames: int  # how many frames of a signal to hand to `front` as one piece
    pieces_per_pass: int  # how many such pieces at a time

    def front(self, x: Tensor, edge: Edge) -> Tensor:
        """Four convolutions and the larger of every two neighbours along time (at every frame, not at every other).

        [pieces, 1, t, 161] of log power -> [pieces, 32, t - 9 (inside) or t - 5 (edge), 80].
        """
        ...

    def middle(self, x: Tensor, edge: Edge) -> Tensor:
        """Fifth convolution and its pooling: [pieces, 32, t, 80] -> [pieces, 32, (t - 2 or t - 1) // 2, 40]."""
        ...

    def back(self, x: Tensor) -> Tensor:
        """The rest, for whole windows: [windows, 32, 225, 40] -> [windows, 3], sig, bak and ovrl before polynomials."""
        ...

    def p808(self, x: Tensor) -> Tensor:
        """[windows, 900, 120] of normalised mels -> [windows, 1], MOS."""
        ...


def load_nets(personalised: bool, device: torch.device, threads: int) -> DnsMosNets:
    """onnxruntime with so many threads on the CPU, where it is about 1.7 times as fast as torch; torch elsewhere."""
    files = weight_files(personalised)
    p835 = read_weights(files[p835_file(personalised)])
    if device.type == "cpu":
        from metrics.dnsmos_onnx import OnnxNets

        return OnnxNets(p835, files[P808_FILE], threads)
    from metrics.dnsmos_torch import TorchNets

    return TorchNets(p835, read_weights(files[P808_FILE]), device)
