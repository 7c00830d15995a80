"""Weights of the DNSMOS networks, read from the `speechmos` wheel without importing it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metrics.packages import package_file

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]  # weight, bias

P808_FILE = "dnsmos_models/model_v8.onnx"


def p835_file(personalised: bool) -> str:
    return f"{'pdnsmos_models' if personalised else 'dnsmos_models'}/sig_bak_ovr.onnx"


def weight_files(personalised: bool) -> dict[str, Path]:
    """File name inside the package -> path. P.808 has one network, whether P.835 is personalised or not."""
    return {name: package_file("speechmos", name) for name in (p835_file(personalised), P808_FILE)}


@dataclass(frozen=True)
class Weights:
    """One network. P.835 has seven convolutions and a learned transform in front, P.808 has five and takes mels.

    stft: [320, 322], a frame's samples to 161 real and 161 imaginary parts, or None; convolutions: [out, in, 3, 3] over
    time and frequency; dense: [in, out].
    """

    stft: NDArray[np.float32] | None
    convolutions: tuple[Layer, ...]
    dense: tuple[Layer, ...]


def read_weights(path: Path) -> Weights:
    """Weights of a network of the wheel, in the order of its layers."""
    import onnx

    graph = onnx.load(path).graph
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    stored = [(node.op_type, [arrays[name] for name in node.input if name in arrays]) for node in graph.node]
    kernels = [weights for kind, weights in stored if kind == "Conv"]
    transforms = [kernel[0][:, :, 0].T for kernel in kernels if len(kernel) == 1]
    # Additions without a stored operand belong to the power spectrum.
    biases = [weights[0] for kind, weights in stored if kind == "Add" and weights]
    matrices = [weights[0] for kind, weights in stored if kind == "MatMul"]
    return Weights(
        stft=np.concatenate(transforms, axis=1) if transforms else None,
        convolutions=tuple((kernel[0], kernel[1]) for kernel in kernels if len(kernel) == 2),
        dense=tuple(zip(matrices, biases, strict=True)),
    )
