"""Products in full float32 on a GPU, whatever is allowed elsewhere: TF32, cuDNN's default, moves scores."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_lock = threading.Lock()
_inside = 0
_before: list[tuple[Any, str, Any]] = []


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Switch TF32 and autocast off inside, and back when the last thread has left.

    torch's precision belongs to the whole process and metrics work in threads: a thread that restored it alone would
    round the products of those that are still inside.
    """
    _enter()
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        _leave()


def _enter() -> None:
    global _inside  # noqa: PLW0603 - it mirrors a setting of the process
    with _lock:
        if not _inside:
            for owner, attribute, exact in _settings():
                _before.append((owner, attribute, getattr(owner, attribute)))
                setattr(owner, attribute, exact)
        _inside += 1


def _leave() -> None:
    global _inside  # noqa: PLW0603
    with _lock:
        _inside -= 1
        if not _inside:
            while _before:
                setattr(*_before.pop())


def _settings() -> list[tuple[Any, str, Any]]:
    """Since torch 2.9 precision has a new interface, which refuses to be mixed with the old one."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    if hasattr(cudnn, "conv"):
        return [(owner, "fp32_precision", "ieee") for owner in (matmul, cudnn.conv, cudnn.rnn)]
    return [(owner, "allow_tf32", False) for owner in (matmul, cudnn)]
