"""The DNSMOS networks in onnxruntime on the CPU, as graphs of any length in time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metrics.dnsmos_nets import Edge
from metrics.dnsmos_weights import Layer, Weights

EDGES: dict[Edge, tuple[int, int]] = {"inside": (0, 0), "first": (1, 0), "last": (0, 1)}  # rows of zeros


class OnnxNets:
    """`DnsMosNets` by onnxruntime. One piece a pass: more of them gain no time on a CPU."""

    device = torch.device("cpu")
    chunk_frames = 256
    pieces_per_pass = 1

    def __init__(self, p835: Weights, p808: Path, threads: int) -> None:
        convolutions = p835.convolutions
        self.stft = torch.from_numpy(p835.stft)
        self._front = {
            edge: _session(_convolutions(convolutions[:4], rows, pool=(1, 2)), threads) for edge, rows in EDGES.items()
        }
        self._middle = {
            edge: _session(_convolutions(convolutions[4:5], rows, pool=(2, 2)), threads) for edge, rows in EDGES.items()
        }
        self._back = _session(_back(convolutions[5:], p835.dense), threads)
        self._p808 = _session(p808.read_bytes(), threads)

    def front(self, x: Tensor, edge: Edge) -> Tensor:
        return _run(self._front[edge], x)

    def middle(self, x: Tensor, edge: Edge) -> Tensor:
        return _run(self._middle[edge], x)

    def back(self, x: Tensor) -> Tensor:
        return _run(self._back, x)

    def p808(self, x: Tensor) -> Tensor:
        return _run(self._p808, x)


def _session(model: bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _run(session: Any, x: Tensor) -> Tensor:
    (y,) = session.run(None, {session.get_inputs()[0].name: x.contiguous().numpy()})
    return torch.from_numpy(y)


def _convolutions(layers: Sequence[Layer], rows: tuple[int, int], pool: tuple[int, int]) -> bytes:
    """Convolutions with ReLU, `rows` of zeros before and after in time, and a 2x2 maximum with the strides `pool`."""
    graph = _Graph()
    for weight, bias in layers:
        graph.convolution(weight, bias, rows)
    graph.add("MaxPool", kernel_shape=[2, 2], strides=list(pool))
    return graph.model(channels=layers[0][0].shape[1])


def _back(layers: Sequence[Layer], dense: Sequence[Layer]) -> bytes:
    """The last two convolutions, with a pooling between them, the global maximum and the dense layers."""
    graph = _Graph()
    graph.convolution(*layers[0], (1, 1))
    graph.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    graph.convolution(*layers[1], (1, 1))
    graph.add("GlobalMaxPool")
    graph.add("Flatten")
    for index, (weight, bias) in enumerate(dense):
        if index:
            graph.add("Relu")
        graph.add("Gemm", (weight, bias))
    return graph.model(channels=layers[0][0].shape[1])


class _Graph:
    """A chain of ONNX operators from "x" to "y"."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def add(self, kind: str, weights: Iterable[NDArray[np.float32]] = (), **attributes: Any) -> None:
        """The next operator; it takes the output of the one before and its weights."""
        from onnx import helper, numpy_helper

        position = len(self._nodes)
        tensors = [numpy_helper.from_array(array, f"weight{position}.{i}") for i, array in enumerate(weights)]
        inputs = [f"value{position}" if position else "x", *(tensor.name for tensor in tensors)]
        self._nodes.append(helper.make_node(kind, inputs, [f"value{position + 1}"], **attributes))
        self._weights += tensors

    def convolution(self, weight: NDArray[np.float32], bias: NDArray[np.float32], rows: tuple[int, int]) -> None:
        self.add("Conv", (weight, bias), kernel_shape=[3, 3], pads=[rows[0], 1, rows[1], 1])
        self.add("Relu")

    def model(self, channels: int) -> bytes:
        from onnx import TensorProto, helper

        self._nodes[-1].output[0] = "y"
        graph = helper.make_graph(
            self._nodes,
            "dnsmos",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["pieces", channels, "time", "frequency"])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            self._weights,
        )
        # Old enough for every onnxruntime that evalkit allows, whichever onnx writes it.
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        serialised: bytes = model.SerializeToString()
        return serialised
