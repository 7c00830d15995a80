"""Checkpoints with the names and shapes of Kokoro-82M and random weights.

tests/data/kokoro_layout.json lists the tensors of the release, section -> name -> [shape, weight norm's dim or null],
in the order of the model; a weight-normed one stands there as its effective weight. It was made from the state dict of
`KModel` (kokoro 0.9.4) less the affine InstanceNorm tensors, which the release lacks: 548 tensors, 81,763,410
parameters, 89 convolutions with weight norm.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

LAYOUT = Path(__file__).resolve().parents[1] / "data" / "kokoro_layout.json"
# torch.nn.utils.weight_norm (kokoro 0.9.4, StyleTTS2), and torch.nn.utils.parametrizations.weight_norm (kokoro since).
SPELLINGS = {
    "old": ("weight_g", "weight_v"),
    "new": ("parametrizations.weight.original0", "parametrizations.weight.original1"),
}
NEAR_ONE = re.compile(r"gamma$|alpha[12]|[nN]orm\.weight$")  # what multiplies its input element by element
SPREAD = 0.05  # standard deviation of biases, and of those around 1
TUNED = 0.1  # a fine-tune's difference from its base, as a share of the base's own spread
SMALLEST = 8  # dimensions up to this size stay in a small checkpoint
SHRINK = 16


def kokoro_checkpoint(
    path: Path,
    seed: int,
    spelling: Literal["old", "new"] = "old",
    prefix: str = "module.",
    scale: float = 1.0,
    base: int | None = None,
    dtype: torch.dtype = torch.float32,
    small: bool = False,
) -> None:
    """Write a `.pth` as Kokoro's trainers do: a dict of five sections, keys behind `prefix`.

    base: the seed of another checkpoint; this one is then its fine-tune, the base's weights plus a tenth of their
    spread. scale: what the random numbers are multiplied with, a base's weights or a fine-tune's difference from it.
    small: every dimension above 8 divided by 16, for fast tests; the names stay. About 330 MB else, and as much memory.
    The direction `v` of a weight norm has a length of its own in every checkpoint, as it has after training: a merge
    that averages `v` gets it wrong.
    """
    magnitude, direction = SPELLINGS[spelling]
    sections: dict[str, dict[str, Tensor]] = {}
    for section, name, weight, dim in kokoro_weights(seed, scale, base, small):
        tensors = sections.setdefault(section, {})
        if dim is None:
            tensors[prefix + name] = weight.to(dtype)
            continue
        stem = prefix + name.removesuffix("weight")
        others = [axis for axis in range(weight.ndim) if axis != dim]
        tensors[stem + magnitude] = weight.norm(dim=others, keepdim=True).to(dtype)
        length = math.exp(torch.rand((), generator=_generator(seed, f"{section}.{name} length")).item() - 0.5)
        tensors[stem + direction] = weight.mul_(length).to(dtype)
    torch.save(sections, path)


def kokoro_weights(
    seed: int, scale: float = 1.0, base: int | None = None, small: bool = False
) -> Iterator[tuple[str, str, Tensor, int | None]]:
    """(section, name, effective weight, dim of its weight norm or None) of every weight, one at a time, float32."""
    for section, names in json.loads(LAYOUT.read_text(encoding="utf-8")).items():
        for name, (full, dim) in names.items():
            shape = [math.ceil(size / SHRINK) if small and size > SMALLEST else size for size in full]
            fan_in = math.prod(shape[1:])
            centre = float(NEAR_ONE.search(name) is not None)
            spread = SPREAD if len(shape) == 1 or centre else 1 / math.sqrt(fan_in)
            key = f"{section}.{name}"
            weight = torch.randn(shape, generator=_generator(seed if base is None else base, key)).mul_(spread)
            if base is None:
                weight.mul_(scale)
            else:
                weight.add_(torch.randn(shape, generator=_generator(seed, key)), alpha=spread * TUNED * scale)
            yield section, name, weight.add_(centre), dim


def _generator(seed: int, key: str) -> torch.Generator:
    """Of each tensor its own, so that it does not matter which are made, and in which order."""
    digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
