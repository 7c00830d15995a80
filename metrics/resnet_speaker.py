"""The ResNet speaker encoders of wespeaker, with its parameter names, on batches of clips of unequal length.

Zeng, Wang et al.: Wespeaker: a research and production oriented speaker embedding learning toolkit, ICASSP 2023;
reference code: wespeaker/models/resnet.py at commit dfa7419.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from metrics.fbank import MELS

_CHANNELS = 32  # of the first stage; each stage after it has twice as many and half the frames and mels
_STRIDES = (1, 2, 2, 2)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut around them."""

    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = _shortcut(inputs, planes, stride)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """x: [clips, channels, mels, frames]; real: its frames that are no padding, 1 or 0, [clips, 1, 1, frames]."""
        real = real[..., :: self.stride]
        y = self.bn1(self.conv1(x)).relu_().mul_(real)
        outputs: Tensor = self.bn2(self.conv2(y)).add_(self.shortcut(x)).relu_().mul_(real)
        return outputs


class Bottleneck(nn.Module):
    """A 3x3 convolution between two of 1x1 with a shortcut around them."""

    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        outputs = self.expansion * planes
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """As `BasicBlock.forward`."""
        y = self.bn1(self.conv1(x)).relu_().mul_(real)
        y = self.bn2(self.conv2(y)).relu_()
        outputs: Tensor = self.bn3(self.conv3(y)).add_(self.shortcut(x)).relu_().mul_(real[..., :: self.stride])
        return outputs


Block = type[BasicBlock] | type[Bottleneck]

# wespeaker's name of each network -> its block, and how many of them each stage has.
ARCHITECTURES: dict[str, tuple[Block, tuple[int, int, int, int]]] = {
    "ResNet18": (BasicBlock, (2, 2, 2, 2)),
    "ResNet34": (BasicBlock, (3, 4, 6, 3)),
    "ResNet50": (Bottleneck, (3, 4, 6, 3)),
    "ResNet101": (Bottleneck, (3, 4, 23, 3)),
    "ResNet152": (Bottleneck, (3, 8, 36, 3)),
    "ResNet221": (Bottleneck, (6, 16, 48, 3)),
    "ResNet293": (Bottleneck, (10, 20, 64, 3)),
}


class SpeakerResNet(nn.Module):
    """Features in, one embedding per clip out: four stages of residual blocks, temporal statistics, a linear layer.

    For inference only: it works in place, which is a tenth faster on a CPU, and keeps nothing for gradients.
    """

    def __init__(self, block: Block, blocks: Sequence[int], dimensions: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, _CHANNELS, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_CHANNELS)
        planes = [_CHANNELS * 2**stage for stage in range(4)]
        inputs = [_CHANNELS, *(block.expansion * plane for plane in planes[:3])]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(block, *shape) for shape in zip(blocks, inputs, planes, _STRIDES, strict=True)
        )
        self.seg_1 = nn.Linear(2 * block.expansion * planes[3] * MELS // 8, dimensions)

    def forward(self, features: Tensor, counts: Tensor) -> Tensor:
        """Embeddings, float32 [clips, dimensions], not normalised.

        features: float32 [clips, frames, 80], zero after the first `counts`, int64 [clips], of each clip. No frame
        after those changes an embedding: whatever a convolution reads there is zero, as at the end of a clip that is
        alone. A clip needs 9 frames, so that the last stage has two of them to take a deviation of.
        """
        positions = torch.arange(features.shape[1], device=features.device)
        real = (positions < counts.to(features.device)[:, None])[:, None, None].to(features.dtype)
        x = self.bn1(self.conv1(features.transpose(1, 2)[:, None])).relu_().mul_(real)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                x = block(x, real)
                real = real[..., :: block.stride]
        embeddings: Tensor = self.seg_1(_statistics(x, real))
        return embeddings


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def _stage(block: Block, blocks: int, inputs: int, planes: int, stride: int) -> nn.ModuleList:
    outputs = block.expansion * planes
    return nn.ModuleList([block(inputs, planes, stride), *(block(outputs, planes, 1) for _ in range(blocks - 1))])


def _statistics(x: Tensor, real: Tensor) -> Tensor:
    """Mean and unbiased deviation over the real frames, [clips, 2 * channels * mels], of x, zero on the others."""
    count = real.sum(dim=3)
    mean = x.sum(dim=3) / count
    variance = ((x - mean[..., None]) * real).square().sum(dim=3) / (count - 1)
    return torch.cat([mean.flatten(1), (variance + 1e-7).sqrt().flatten(1)], dim=1)
