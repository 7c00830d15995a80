"""Connectionist temporal classification (Graves et al. 2006): likelihood of phone sequences, and their alignment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MOST_ELEMENTS = 1 << 26  # of one call's log probabilities [frames, sequences, classes]: 256 MB


def log_likelihoods(
    log_probs: Tensor, lengths: Tensor, clips: Sequence[int], targets: Sequence[Sequence[int]], blank: int
) -> Tensor:
    """Log likelihood of phone sequences, each under its clip, summed over all alignments: float32 [sequences], nats.

    log_probs: [clips, frames, classes]; lengths: int64 [clips], frames; clips: the clip of each sequence; targets:
    classes of each sequence. -inf where a clip is too short for the sequence. One call for as many sequences as fit
    into `MOST_ELEMENTS`; of the classes only those that occur are copied per sequence.
    """
    if not targets:
        return log_probs.new_zeros(0)
    used = sorted({blank}.union(*targets))
    compact = {index: place for place, index in enumerate(used)}
    slim = log_probs[..., used].transpose(0, 1)  # [frames, clips, classes]
    step = max(1, MOST_ELEMENTS // (slim.shape[0] * len(used)))
    device = log_probs.device
    losses: list[Tensor] = []
    for start in range(0, len(targets), step):
        rows = [torch.tensor([compact[index] for index in target]) for target in targets[start : start + step]]
        owners = torch.tensor(clips[start : start + step], device=device)
        losses.append(
            torch.nn.functional.ctc_loss(
                slim[:, owners],
                torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device),
                lengths.to(device)[owners],
                torch.tensor([len(row) for row in rows], device=device),
                blank=compact[blank],
                reduction="none",
            )
        )
    return -torch.cat(losses)


@dataclass(frozen=True)
class Alignment:
    """The best path through one sequence. All on the CPU.

    spans: int64 [phones, 2], the first frame of each phone and the one after its last; scores: float32 [frames], log
    probability of the path in each frame.
    """

    spans: Tensor
    scores: Tensor


def align(
    log_probs: Tensor, lengths: Tensor, clips: Sequence[int], targets: Sequence[Sequence[int]], blank: int
) -> list[Alignment | None]:
    """Viterbi alignment of each sequence with its clip; None where the clip is too short. Arguments as above."""
    if not targets:
        return []
    device = log_probs.device
    states = _states(targets, blank).to(device)  # [sequences, 2 x phones + 1]
    last = torch.tensor([2 * len(target) for target in targets], device=device)
    owners = torch.tensor(clips, device=device)
    frames = lengths.to(device)[owners]
    emissions = log_probs[owners].gather(2, states[:, None, :].expand(-1, log_probs.shape[1], -1))
    best, came_from = _forward(emissions, states, blank, frames, last)
    path = _backward(best, came_from, frames, last)  # [sequences, frames]
    scores = emissions.gather(2, path[..., None].clamp(min=0))[..., 0].cpu()
    reached = best.isfinite().any(dim=1).tolist()
    path = path.cpu()
    return [
        Alignment(_spans(path[row, :count], len(target)), scores[row, :count]) if ok else None
        for row, (target, count, ok) in enumerate(zip(targets, frames.tolist(), reached, strict=True))
    ]


def _states(targets: Sequence[Sequence[int]], blank: int) -> Tensor:
    """A blank before, between and after the phones; padded with blanks."""
    states = torch.full((len(targets), 2 * max(map(len, targets)) + 1), blank)
    for row, target in enumerate(targets):
        states[row, 1 : 2 * len(target) : 2] = torch.tensor(target)
    return states


def _forward(emissions: Tensor, states: Tensor, blank: int, frames: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Score of the two possible last states [sequences, 2], and where each state of each frame came from.

    The latter, uint8 [frames, sequences, states], counts states back: 0, 1, or 2 past a blank between two phones that
    differ.
    """
    impossible = float("-inf")
    skippable = (states != blank) & (states != states.roll(2, dims=1))
    skippable[:, :2] = False
    score = torch.full_like(emissions[:, 0], impossible)
    score[:, :2] = emissions[:, 0, :2]
    finals = torch.stack([last - 1, last], dim=1)
    best = score.gather(1, finals)
    came_from = torch.zeros(emissions.shape[1], *states.shape, dtype=torch.uint8, device=states.device)
    for frame in range(1, emissions.shape[1]):
        step = torch.nn.functional.pad(score, (1, 0), value=impossible)[:, :-1]
        skip = torch.nn.functional.pad(score, (2, 0), value=impossible)[:, :-2]
        choices = torch.stack([score, step, skip.masked_fill(~skippable, impossible)])
        value, choice = choices.max(dim=0)
        score = value + emissions[:, frame]
        came_from[frame] = choice
        best = torch.where((frame < frames)[:, None], score.gather(1, finals), best)
    return best.masked_fill((frames < 1)[:, None], impossible), came_from


def _backward(best: Tensor, came_from: Tensor, frames: Tensor, last: Tensor) -> Tensor:
    """State of every frame, int64 [sequences, frames], -1 past the end of a clip."""
    state = torch.where(best[:, 1] > best[:, 0], last, last - 1)
    path = torch.full((len(last), len(came_from)), -1, device=last.device)
    for frame in range(len(came_from) - 1, -1, -1):
        inside = frame < frames
        path[:, frame] = torch.where(inside, state, -1)
        moved = (state - came_from[frame].gather(1, state[:, None])[:, 0]).clamp(min=0)  # rows without a path too
        state = torch.where(inside, moved, state)
    return path


def _spans(path: Tensor, phones: int) -> Tensor:
    """path: int64 [frames], states."""
    spans = torch.zeros(phones, 2, dtype=torch.int64)
    for phone in range(phones):
        frames = (path == 2 * phone + 1).nonzero()
        spans[phone, 0], spans[phone, 1] = frames[0, 0], frames[-1, 0] + 1
    return spans
