"""How NeuTTS draws tokens: noise, choice, and many prompts at once, on a network that is a table."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from scipy.stats import chisquare, kstest
from torch import Tensor

from evalkit.engines.neutts.generation import BROKEN, Sampling, choose, generate, steps
from evalkit.engines.neutts.noise import gumbel, keys

END = 7
VOCABULARY = 8
DRAWS = 40_000


class Cache:
    """The tokens that each row has read."""

    def __init__(self, read: Tensor) -> None:
        self.read = read

    def batch_select_indices(self, index: Tensor) -> None:
        self.read = self.read[index]


class TableNetwork:
    """Logits that depend on all tokens that a row has read, and on where each stands; padding must not count."""

    device = torch.device("cpu")

    def __init__(self, seed: int = 0, scale: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.table = torch.randn(64, VOCABULARY, VOCABULARY, generator=generator, dtype=torch.float64) * scale
        self.batches: list[int] = []

    def __call__(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, **rest: Any) -> Any:
        said = self.table[position_ids, input_ids] * attention_mask[:, -input_ids.shape[1] :, None]
        cache = rest["past_key_values"] or Cache(torch.zeros(len(input_ids), VOCABULARY, dtype=torch.float64))
        cache.read = cache.read + said.sum(1)
        self.batches.append(len(input_ids))
        return SimpleNamespace(logits=cache.read[:, None].float(), past_key_values=cache)


def test_noise_is_gumbel() -> None:
    noise = gumbel(keys(range(200)), 3, torch.arange(100).expand(200, -1)).flatten()
    assert kstest(noise.numpy(), "gumbel_r").pvalue > 1e-3
    assert noise.isfinite().all()


def test_noise_depends_on_seed_step_and_token_alone() -> None:
    tokens = torch.arange(50).expand(3, -1)
    noise = gumbel(keys([1, 2, 3]), 5, tokens)
    alone = gumbel(keys([2]), 5, tokens[:1].flip(1))
    assert torch.equal(noise[1], alone[0].flip(0))
    others = [gumbel(keys([2]), 6, tokens[:1]), gumbel(keys([4]), 5, tokens[:1]), noise[:1]]
    for other in others:
        correlation = torch.corrcoef(torch.stack([noise[1], other[0]]))[0, 1]
        assert abs(float(correlation)) < 0.45  # 50 pairs: a twin would be near 1


def test_a_seed_of_any_size_is_taken() -> None:
    assert len({int(key) for key in keys([0, -1, 2**63, 2**64 - 2, 2**80 + 5])}) == 5


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, 8), (0.5, 8), (1.0, 3), (2.0, 50)])
def test_tokens_are_drawn_from_the_softmax(temperature: float, top_k: int) -> None:
    logits = torch.tensor([0.3, -1.0, 2.0, 0.0, 1.2, -0.4, 0.9, 0.1])
    how = Sampling(END, temperature, top_k, min_new_tokens=0)
    drawn = Counter(choose(logits.expand(DRAWS, -1).clone(), keys(range(DRAWS)), 4, how).tolist())
    kept = logits.topk(min(top_k, VOCABULARY))
    expected = dict(zip(kept.indices.tolist(), (kept.values.double() / temperature).softmax(0).tolist(), strict=True))
    assert set(drawn) <= set(expected)
    assert chisquare([drawn[t] for t in expected], [p * DRAWS for p in expected.values()]).pvalue > 1e-3


def test_tokens_that_tie_with_the_last_of_the_best_are_kept() -> None:
    logits = torch.tensor([2.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    drawn = choose(logits.expand(2000, -1).clone(), keys(range(2000)), 0, Sampling(END, top_k=2, min_new_tokens=0))
    assert set(drawn.tolist()) == {0, 1, 2, 3}


def test_the_end_waits_for_its_time() -> None:
    logits = torch.zeros(1, VOCABULARY)
    logits[0, END] = 100.0
    how = Sampling(END, min_new_tokens=3)
    drawn = [int(choose(logits.clone(), keys([1]), step, how)) for step in range(5)]
    assert END not in drawn[:3]
    assert drawn[3:] == [END, END]


def test_a_row_with_nan_is_broken_and_its_neighbour_is_not() -> None:
    logits = torch.zeros(2, VOCABULARY)
    logits[0, 3] = torch.nan
    drawn = choose(logits, keys([1, 2]), 0, Sampling(END))
    assert drawn[0] == BROKEN
    assert drawn[1] != BROKEN


PROMPTS = [[1], [2, 3, 4, 5], [6, 6], [0, 1, 2, 3, 4, 5, 6], [3, 3, 3], [5]]
HOW = Sampling(END, min_new_tokens=2, max_length=40)


def test_each_prompt_is_as_if_alone_in_any_order() -> None:
    alone = [generate(TableNetwork(), [p], [s], HOW)[0] for s, p in enumerate(PROMPTS)]
    assert len({len(row) for row in alone}) > 2, "rows must end at different times"
    assert generate(TableNetwork(), PROMPTS, range(6), HOW) == alone
    backwards = generate(TableNetwork(), PROMPTS[::-1], range(6)[::-1], HOW)
    assert backwards[::-1] == alone


def test_rows_stop_at_the_end_or_at_their_own_limit() -> None:
    network = TableNetwork(1, scale=8.0)
    rows = generate(network, PROMPTS, range(6), HOW)
    for prompt, row in zip(PROMPTS, rows, strict=True):
        assert END not in row[:-1]
        assert row[-1] == END or len(prompt) + len(row) == HOW.max_length
    assert any(row[-1] != END for row in rows)


def test_rows_that_ended_leave_the_batch() -> None:
    network = TableNetwork()
    rows = generate(network, PROMPTS, range(6), HOW)
    assert sum(network.batches) == sum(len(row) for row in rows)


def test_steps_can_be_taken_one_at_a_time() -> None:
    network = TableNetwork()
    said = [int(tokens) for _, tokens in steps(network, [PROMPTS[1]], [1], HOW)]
    assert said == generate(TableNetwork(), [PROMPTS[1]], [1], HOW)[0]


def test_the_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    generate(TableNetwork(), PROMPTS, range(6), HOW)
    assert torch.equal(torch.get_rng_state(), before)
