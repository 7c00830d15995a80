"""P.835 of many windows for the price of the signal they lie in.

Windows of a clip start every 100 frames and are 900 long, so neighbours have eight ninths of their frames in common.
Along time a convolution looks one frame to each side, so what it computes inside a window is the same for every window
that holds the frame; only at the window's edges, where the network puts zeros, is it different. The first two poolings
halve the grid of starts to 50 and to 25 rows and keep the windows on it. So:

1. the four wide convolutions (97 % of the work) run once over the signal, and over eight frames at each edge of each
   window, which give the two rows at half the rate that the zeros reach;
2. the fifth runs in the same way, over the rows at half the rate and over five rows at each edge;
3. the last two, where windows leave the common grid (25 is odd; 0.6 % of the work), run over whole windows.

A clip that repeats itself in steps of whole frames needs the wide convolutions for one period only.

Rows are kept time first, [time, channels, frequency]. Frames are numbered from the clip's beginning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from metrics.dnsmos_nets import DnsMosNets, Edge

HOP, FRAME = 160, 320  # samples
FRAMES = 900  # of a window
MAX_WINDOWS = 64  # of a stretch: bounds the memory for a long clip, whose stretches repeat 8 s of each other
BEFORE, AFTER = 4, 5  # frames that `front` needs around the one it answers for
EDGE = 2  # rows at half the rate, and again at a quarter of it, that the zeros at an edge reach
EDGE_FRAMES, EDGE_ROWS = 8, 5  # what they are computed from: frames, and rows at half the rate
WINDOWS_PER_PASS = 16  # of the edges and of the last two convolutions


@dataclass(frozen=True)
class Stretch:
    """Windows of one clip that share frames.

    clip: float32 [samples], repeated without end; starts: first frame of each window, ascending, multiples of 100.
    """

    clip: Tensor
    starts: tuple[int, ...]

    @property
    def begin(self) -> int:
        return self.starts[0]

    @property
    def length(self) -> int:
        """Frames from the first window's first to the last window's last."""
        return self.starts[-1] + FRAMES - self.begin

    @property
    def period(self) -> int | None:
        """After how many frames the frames repeat themselves, if that is worth knowing."""
        frames = len(self.clip) // math.gcd(len(self.clip), HOP)
        return frames if BEFORE + frames + AFTER < self.length else None

    def samples(self, first: int, last: int) -> Tensor:
        """Samples first..last-1 of the repeated clip; `first` may be negative."""
        if first >= 0 and last <= len(self.clip):
            return self.clip[first:last]
        return self.clip[torch.arange(first, last, device=self.clip.device) % len(self.clip)]

    def window_frames(self, offsets: Tensor) -> Tensor:
        """Numbers of the frames that lie so far from each window's start: [windows, offsets]."""
        return torch.tensor(self.starts, device=offsets.device)[:, None] + offsets

    def inner_frames(self) -> Tensor:
        """Every other frame from where the first window's edge ends to where the last window's begins."""
        return torch.arange(self.begin + 2 * EDGE, self.begin + self.length - 2 * EDGE, 2, device=self.clip.device)

    def log_power(self, stft: Tensor) -> Tensor:
        """Log power, float32 [frames, 161], of all frames, or of one period and what `front` needs around it."""
        first, last = self.begin, self.begin + self.length
        if self.period:
            first, last = self.begin - BEFORE, self.begin + self.period + AFTER
        frames = self.samples(first * HOP, (last - 1) * HOP + FRAME).unfold(0, FRAME, HOP)
        real, imaginary = (frames @ stft).chunk(2, dim=1)
        return (real.square() + imaginary.square()).clamp_min(1e-12).log10()

    def positions(self, frames: Tensor) -> Tensor:
        """Where these frames lie in `log_power`."""
        if self.period:
            return (frames - self.begin) % self.period + BEFORE
        return frames - self.begin


def stretches(clip: Tensor, starts: Sequence[int]) -> list[Stretch]:
    """Divide the windows of a clip, given by their first frames in ascending order."""
    parts: list[list[int]] = []
    for start in starts:
        if not parts or start >= parts[-1][-1] + FRAMES or len(parts[-1]) == MAX_WINDOWS:
            parts.append([])
        parts[-1].append(start)
    return [Stretch(clip, tuple(part)) for part in parts]


@dataclass(frozen=True)
class _Windows:
    """Rows of windows: `shared`, of which a window has those from `at` on, and its own at each edge, [windows, 2, ...].

    length: rows of a window.
    """

    shared: Tensor
    at: Tensor
    first: Tensor
    last: Tensor
    length: int

    def rows(self, begin: int, end: int, windows: Tensor) -> Tensor:
        """Rows begin..end-1 of the windows with these indices: [windows, rows, channels, frequency]."""
        inside = torch.arange(max(begin, EDGE), min(end, self.length - EDGE), device=self.at.device) - EDGE
        parts = [self.shared[self.at[windows, None] + inside]]
        if begin < EDGE:
            parts.insert(0, self.first[windows])
        if end > self.length - EDGE:
            parts.append(self.last[windows])
        return torch.cat(parts, dim=1)


def p835(nets: DnsMosNets, parts: Sequence[Stretch]) -> Tensor:
    """What the network says of every window of these stretches: float32 [windows, 3], raw sig, bak and ovrl.

    Stretches stand side by side in the computation; what it says across a seam is never looked at.
    """
    quarter = _middle(nets, _front(nets, parts))
    windows = torch.split(torch.arange(len(quarter.at), device=nets.device), WINDOWS_PER_PASS)
    return torch.cat([nets.back(quarter.rows(0, quarter.length, some).transpose(1, 2)) for some in windows])


def _front(nets: DnsMosNets, parts: Sequence[Stretch]) -> _Windows:
    """Rows at half the rate, 450 a window."""
    powers = [part.log_power(nets.stft) for part in parts]
    frames = torch.cat(powers)
    offsets = list(accumulate((len(power) for power in powers[:-1]), initial=0))

    def edge(first: int, last: int, where: Edge) -> Tensor:
        """Two rows of every window from its frames first..last-1."""
        numbers = torch.arange(first, last, device=nets.device)
        places = [o + part.positions(part.window_frames(numbers)) for o, part in zip(offsets, parts, strict=True)]
        pieces = torch.split(frames[torch.cat(places)][:, None], WINDOWS_PER_PASS)
        return torch.cat([nets.front(piece, where) for piece in pieces])[:, :, ::2].transpose(1, 2)

    rows = _rows_of_every_frame(nets, frames)
    shared = [
        rows[offset + part.positions(part.inner_frames()) - BEFORE] for offset, part in zip(offsets, parts, strict=True)
    ]
    starts = accumulate((len(part) for part in shared[:-1]), initial=0)
    at = [start + (first - part.begin) // 2 for start, part in zip(starts, parts, strict=True) for first in part.starts]
    return _Windows(
        shared=torch.cat(shared),
        at=torch.tensor(at, device=nets.device),
        first=edge(0, EDGE_FRAMES, "first"),
        last=edge(FRAMES - EDGE_FRAMES, FRAMES, "last"),
        length=FRAMES // 2,
    )


def _rows_of_every_frame(nets: DnsMosNets, frames: Tensor) -> Tensor:
    """What `front` answers for the frames BEFORE..-AFTER, in chunks of equal size: [frames - 9, 32, 80]."""
    total = len(frames) - BEFORE - AFTER
    size = math.ceil(total / math.ceil(total / nets.chunk_frames))
    # The last chunk begins early enough to have the size of the others.
    firsts = [min(first, total - size) for first in range(0, total, size)]
    rows = torch.empty(total, 32, 80, device=frames.device)
    for start in range(0, len(firsts), nets.pieces_per_pass):
        chunk = firsts[start : start + nets.pieces_per_pass]
        pieces = torch.stack([frames[first : first + BEFORE + size + AFTER] for first in chunk])
        for first, answer in zip(chunk, nets.front(pieces[:, None], "inside"), strict=True):
            rows[first : first + size] = answer.transpose(0, 1)
    return rows


def _middle(nets: DnsMosNets, half: _Windows) -> _Windows:
    """Rows at a quarter of the rate, 225 a window, from those at half."""
    # The convolution loses a row, and a window's shared pairs begin with its row 4: one row after those of `half`.
    shared = nets.middle(half.shared[1:].transpose(0, 1)[None], "inside")[0].transpose(0, 1)
    every = torch.arange(len(half.at), device=nets.device)
    first = nets.middle(half.rows(0, EDGE_ROWS, every).transpose(1, 2), "first")
    last = nets.middle(half.rows(half.length - EDGE_ROWS, half.length, every).transpose(1, 2), "last")
    return _Windows(shared, half.at // 2, first.transpose(1, 2), last.transpose(1, 2), half.length // 2)
