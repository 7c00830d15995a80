"""How the next token of each clip is chosen, such that no clip of a batch changes another.

Stand-ins for the decoders and logit filters of `whisper.decoding` (openai-whisper 20250625), with their interface.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad


class Limits:
    """Logit filter: a row that has as many tokens as its own limit says nothing more, at no cost in probability."""

    def __init__(self, limits: Tensor, begin: int, eot: int) -> None:
        """limits: int64 [rows]; begin: tokens of the prompt."""
        self._limits, self._begin, self._eot = limits, begin, eot

    def apply(self, logits: Tensor, tokens: Tensor) -> None:
        full = self._limits <= tokens.shape[1] - self._begin
        logits.masked_fill_(full[:, None], -torch.inf)
        logits[:, self._eot].masked_fill_(full, 0.0)


class Sampled:
    """Samples at a temperature, each row by random numbers of its own, where the package draws for the whole batch.

    The number decides by where it falls among the cumulated probabilities, so that the rounding of another batch size
    changes a token only where it falls on an edge.
    """

    def __init__(
        self, temperature: float, seeds: Sequence[int], most_tokens: int, eot: int, device: torch.device
    ) -> None:
        draws = [
            torch.rand(most_tokens, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            for seed in seeds
        ]
        self._uniform = torch.stack(draws, dim=1).to(device)
        self._temperature, self._eot, self._step = temperature, eot, 0

    def reset(self) -> None:
        self._step = 0

    def update(self, tokens: Tensor, logits: Tensor, sums: Tensor) -> tuple[Tensor, bool]:
        edges = (logits.double() / self._temperature).softmax(dim=-1).cumsum(dim=-1)
        drawn = self._uniform[self._step, :, None] * edges[:, -1:]
        self._step += 1
        chosen = torch.searchsorted(edges, drawn, right=True).clamp(max=edges.shape[1] - 1)  # beyond it: not numbers
        open_rows = tokens[:, -1] != self._eot
        sums += logits.float().log_softmax(dim=-1).gather(1, chosen)[:, 0] * open_rows
        chosen = chosen.masked_fill(~open_rows[:, None], self._eot)
        return torch.cat([tokens, chosen], dim=-1), bool((chosen == self._eot).all())

    def finalize(self, tokens: Tensor, sums: Tensor) -> tuple[Tensor, list[list[float]]]:
        return pad(tokens, (0, 1), value=self._eot), sums.tolist()


class Beam:
    """The package's beam search with one transfer from the device per step, where that makes ten for each beam."""

    def __init__(self, package: Any) -> None:
        """package: a `whisper.decoding.BeamSearchDecoder`, which keeps the finished sequences and ends the search."""
        self._package = package

    def reset(self) -> None:
        self._package.reset()

    def update(self, tokens: Tensor, logits: Tensor, sums: Tensor) -> tuple[Tensor, bool]:
        size, eot = self._package.beam_size, self._package.eot
        best = logits.float().log_softmax(dim=-1).topk(size + 1)
        scores = (sums[:, None] + best.values).tolist()
        choices, before = best.indices.tolist(), tokens.tolist()
        clips = range(len(before) // size)
        finished = self._package.finished_sequences or [{} for _ in clips]
        kept: list[tuple[float, int, list[int]]] = []  # score, row that it continues, tokens
        for clip in clips:
            candidates: dict[tuple[int, ...], tuple[float, int]] = {}
            for row in range(clip * size, (clip + 1) * size):
                for score, token in zip(scores[row], choices[row], strict=True):
                    candidates[*before[row], token] = (score, row)
            ranked = sorted(candidates.items(), key=lambda one: one[1][0], reverse=True)
            unfinished = 0
            for sequence, (score, row) in ranked:
                if sequence[-1] != eot:
                    kept.append((score, row, list(sequence)))
                    unfinished += 1
                elif len(finished[clip]) < self._package.max_candidates:
                    finished[clip][sequence] = score
                if unfinished == size:
                    break
        self._package.finished_sequences = finished
        self._package.inference.rearrange_kv_cache([row for _, row, _ in kept])
        sums[:] = torch.tensor([score for score, _, _ in kept])
        done = all(len(one) >= self._package.max_candidates for one in finished)
        return torch.tensor([sequence for _, _, sequence in kept], device=tokens.device), done

    def finalize(self, tokens: Tensor, sums: Tensor) -> tuple[list[list[Tensor]], list[list[float]]]:
        ended: tuple[list[list[Tensor]], list[list[float]]] = self._package.finalize(tokens, sums)
        return ended
