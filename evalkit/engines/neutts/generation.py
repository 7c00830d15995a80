"""Autoregressive sampling of many prompts at once, each as if it were alone.

Source of the rules: neutts 1.4.1, neutts/neutts.py:484-502, and transformers 5.1.0's `generate` with do_sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from evalkit.engines.neutts import noise

BROKEN = -1  # in a token's place: the logits had NaN in them


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. max_length counts the prompt; end: the token that ends speech, not before
    min_new_tokens others."""

    end: int
    temperature: float = 1.0
    top_k: int = 50
    min_new_tokens: int = 50
    max_length: int = 2048


@dataclass
class _Rows:
    """The rows that still speak. index [A]: which prompt each is; mask [A, T]; length [A]: of its prompt."""

    index: Tensor
    keys: Tensor
    mask: Tensor
    length: Tensor

    def keep(self, alive: Tensor) -> None:
        self.index, self.keys = self.index[alive], self.keys[alive]
        self.mask, self.length = self.mask[alive], self.length[alive]


def generate(network: Any, prompts: Sequence[Sequence[int]], seeds: Sequence[int], how: Sampling) -> list[list[int]]:
    """New tokens of each prompt, up to and with `end`, to the limit, or to BROKEN.

    network: a transformers causal language model; prompts: token ids, each shorter than how.max_length. A row is the
    same in any batch, up to float rounding between batch sizes.
    """
    longest = how.max_length - min(len(prompt) for prompt in prompts)
    tokens = torch.full((len(prompts), longest), BROKEN, dtype=torch.int64, device=network.device)
    counts = torch.zeros(len(prompts), dtype=torch.int64, device=network.device)
    for step, (index, chosen) in enumerate(steps(network, prompts, seeds, how)):
        tokens[index, step] = chosen
        counts[index] += 1
    return [row[:count] for row, count in zip(tokens.tolist(), counts.tolist(), strict=True)]


def steps(
    network: Any, prompts: Sequence[Sequence[int]], seeds: Sequence[int], how: Sampling
) -> Iterator[tuple[Tensor, Tensor]]:
    """Step by step: which prompts still speak [A], and the token that each of them says [A].

    A row that has ended leaves the batch, so the rows that go on cost no more than they would without it.
    """
    inputs, mask = _left_padded(prompts, network.device)
    rows = _Rows(
        torch.arange(len(prompts), device=network.device),
        noise.keys(seeds, network.device),
        mask,
        mask.sum(1),
    )
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache: Any = None
    step = 0
    while True:
        logits, cache = _forward(network, inputs, rows.mask, positions, cache)
        tokens = choose(logits, rows.keys, step, how)
        yield rows.index, tokens
        step += 1
        alive = (tokens != how.end) & (tokens != BROKEN) & (rows.length + step < how.max_length)
        if not bool(alive.all()):
            if not bool(alive.any()):
                return
            rows.keep(alive)
            tokens = tokens[alive]
            cache.batch_select_indices(alive.nonzero()[:, 0])
        rows.mask = torch.cat([rows.mask, rows.mask.new_ones(len(tokens), 1)], dim=1)
        inputs, positions = tokens[:, None], (rows.length + step - 1)[:, None]


@torch.inference_mode()
def choose(logits: Tensor, keys: Tensor, step: int, how: Sampling) -> Tensor:
    """The next token of each row, int64 [A]; logits [A, V].

    As transformers' processors in their order: no end before its time, temperature, then all tokens that are not below
    the k-th best. Among these, Gumbel noise draws from the softmax.
    """
    broken = logits.isnan().any(1)
    scores = logits.float() / how.temperature
    if step < how.min_new_tokens:
        scores[:, how.end] = -torch.inf
    k = min(how.top_k, scores.shape[1])
    best = scores.topk(min(2 * k, scores.shape[1]))  # more than k, since several may tie with the k-th
    allowed = best.values >= best.values[:, k - 1 : k]
    noisy = (best.values.double() + noise.gumbel(keys, step, best.indices)).masked_fill(~allowed, -torch.inf)
    chosen = best.indices.gather(1, noisy.argmax(1, keepdim=True))[:, 0]
    return chosen.masked_fill(broken, BROKEN)


@torch.inference_mode()
def _forward(network: Any, inputs: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> tuple[Tensor, Any]:
    said = network(
        input_ids=inputs,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return said.logits[:, -1], said.past_key_values


def _left_padded(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and mask, both int64 [B, T], so that every prompt ends in the last column."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    mask = torch.arange(width, device=device) >= width - lengths[:, None]
    return ids, mask.long()
