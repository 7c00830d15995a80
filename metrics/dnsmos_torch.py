"""The DNSMOS networks in torch, for a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metrics.dnsmos_nets import Edge
from metrics.dnsmos_weights import Layer, Weights


class TorchNets:
    """`DnsMosNets` by torch. A pass of 32 pieces of 512 frames takes about 2 GB for its widest layers."""

    chunk_frames = 512
    pieces_per_pass = 32

    def __init__(self, p835: Weights, p808: Weights, device: torch.device) -> None:
        self.device = device
        self.stft = torch.tensor(p835.stft, device=device)
        self._p835 = _convolutions(p835.convolutions).to(device)
        self._p835_dense = _dense(p835.dense).to(device)
        self._p808 = P808(p808).to(device)

    def front(self, x: Tensor, edge: Edge) -> Tensor:
        for convolution in self._p835[:4]:
            x = _valid(convolution, x, edge)
        return F.max_pool2d(x, 2, stride=(1, 2))

    def middle(self, x: Tensor, edge: Edge) -> Tensor:
        return F.max_pool2d(_valid(self._p835[4], x, edge), 2)

    def back(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self._p835[5](x).relu(), 2)
        raw: Tensor = self._p835_dense(self._p835[6](x).relu().amax(dim=(2, 3)))
        return raw

    def p808(self, x: Tensor) -> Tensor:
        mos: Tensor = self._p808(x)
        return mos


class P808(nn.Module):
    """Five convolutions, a global maximum and three dense layers: [windows, 900, 120] -> [windows, 1]."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.convolutions = _convolutions(weights.convolutions)
        self.dense = _dense(weights.dense)

    def forward(self, mels: Tensor) -> Tensor:
        x = mels[:, None]
        for index, convolution in enumerate(self.convolutions):
            x = convolution(x).relu()
            if index in (0, 1, 3):
                x = F.max_pool2d(x, 2)
        mos: Tensor = self.dense(x.amax(dim=(2, 3)))
        return mos


def _valid(convolution: nn.Module, x: Tensor, edge: Edge) -> Tensor:
    """Convolution and ReLU without the rows that its own zeros along time touch, except at an edge of a window."""
    y: Tensor = convolution(x).relu_()
    return y[:, :, 0 if edge == "first" else 1 : y.shape[2] - (0 if edge == "last" else 1)]


def _convolutions(layers: Sequence[Layer]) -> nn.ModuleList:
    modules = nn.ModuleList()
    for weight, bias in layers:
        module = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        module.weight = nn.Parameter(torch.tensor(weight), requires_grad=False)
        module.bias = nn.Parameter(torch.tensor(bias), requires_grad=False)
        modules.append(module)
    return modules


def _dense(layers: Sequence[Layer]) -> nn.Sequential:
    modules: list[nn.Module] = []
    for weight, bias in layers:
        module = nn.Linear(*weight.shape)
        module.weight = nn.Parameter(torch.tensor(weight.T), requires_grad=False)
        module.bias = nn.Parameter(torch.tensor(bias), requires_grad=False)
        modules += [module, nn.ReLU()]
    return nn.Sequential(*modules[:-1])
