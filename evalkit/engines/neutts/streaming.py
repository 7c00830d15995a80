"""Audio while the backbone is still speaking: windows of codes, decoded again and joined by overlap-add.

Source: neutts 1.4.1, neutts/neutts.py:106-134 and 555-649, which streams GGUF backbones only. What comes out differs
from one decode of all codes: a window sees 50 codes back and five ahead, and each window has a watermark of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from evalkit.engines.neutts.codec import HOP

CHUNK = 25  # codes a chunk
AHEAD = 5  # codes that must be there behind it
BACK = 50  # codes before it that the decoder sees
OVERLAP = 1  # codes on either side that are joined
STRIDE = CHUNK * HOP

Decode = Callable[[Sequence[int]], Tensor]


def stream_audio(reference: Sequence[int], codes: Iterable[int | None], decode: Decode) -> Iterator[Tensor]:
    """Chunks of audio, float32 [samples], of codes as they come.

    reference: the voice's codes, which the first windows look back at; codes: None is a message without a code, as
    llama-cpp-python sends at the end, and the package counts it; decode: codes to audio [480 * codes], with the
    watermark where there is one. Nothing comes of no codes. As in the package, the last chunk starts one code before
    its place: the whole is 480 samples longer than its codes.
    """
    seen = list(reference)
    done = len(seen)  # codes spoken, the reference's among them
    silent = 0
    tail: Tensor | None = None  # what the last window said beyond its chunk
    for code in codes:
        if code is None:
            silent += 1
        else:
            seen.append(code)
        if len(seen) + silent - done < CHUNK + AHEAD:
            continue
        start = max(done - BACK - OVERLAP, 0)
        first = (done - start) * HOP
        frame = decode(seen[start : done + CHUNK + AHEAD + OVERLAP])[first : first + STRIDE + 2 * OVERLAP * HOP]
        joined = _joined(tail, frame)
        yield joined[:STRIDE]
        tail, done = frame[STRIDE:], done + CHUNK
    if len(seen) > done:
        start = max(done - BACK - OVERLAP, 0)
        first = max(done - start - OVERLAP, 0) * HOP
        frame = decode(seen[start:])[first:]
        yield _joined(tail, frame)


def _joined(tail: Tensor | None, frame: Tensor) -> Tensor:
    """The frame with the end of the one before it faded into its start, by the package's triangular weights."""
    if tail is None:
        return frame
    ending = _triangle(STRIDE + len(tail), frame)[STRIDE:]
    starting = _triangle(len(frame), frame)[: len(tail)]
    mixed = (ending * tail + starting * frame[: len(tail)]) / (ending + starting)
    return torch.cat([mixed, frame[len(tail) :]])


def _triangle(length: int, like: Tensor) -> Tensor:
    t = torch.linspace(0, 1, length + 2, dtype=like.dtype, device=like.device)[1:-1]
    return 0.5 - (t - 0.5).abs()
