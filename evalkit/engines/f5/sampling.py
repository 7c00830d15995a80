"""`CFM.sample` (cfm.py:84) for a batch: noise from each sentence's own seed, and the same alone and in any batch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from evalkit.engines.f5.configuration import BANDS
from evalkit.engines.f5.network import Network

FILLED = 0.8  # of a batch's longest sentence: a shorter one would be spoken more cheaply in another batch
NO_GUIDANCE = 1e-5  # below it the package leaves the unconditional pass out (cfm.py:165)


class Sentence(NamedTuple):
    """What is drawn: reference mel [R, 100], symbol rows [L], frames with the reference's, the noise's seed."""

    reference: Tensor
    symbols: Tensor
    frames: int
    seed: int


class Solver(NamedTuple):
    """How it is drawn: Euler steps, guidance, sway coefficient, and whether few steps are placed by EPSS."""

    steps: int
    cfg_strength: float
    sway: float
    epss: bool


def at_least(frames: int, reference: Tensor, symbols: Tensor) -> int:
    """Frames as `CFM.sample` bounds them: more than the reference and the symbols have, so that something is drawn."""
    return max(frames, len(reference) + 1, len(symbols) + 1)


def batches(frames: Sequence[int]) -> list[list[int]]:
    """Places of sentences that are best drawn together, by their lengths: little of a batch is padding."""
    groups: list[list[int]] = []
    for place in sorted(range(len(frames)), key=lambda place: -frames[place]):
        if not groups or frames[place] < FILLED * frames[groups[-1][0]]:
            groups.append([])
        groups[-1].append(place)
    return groups


@torch.inference_mode()
def sample(network: Network, sentences: Sequence[Sentence], solver: Solver) -> list[Tensor]:
    """Mel frames [frames, 100] of every sentence, those of its reference in front.

    One forward pass per step for the whole batch, its unconditional half included. Noise is drawn on the CPU, so a seed
    gives the same sentence on every device; it equals the package's with `seed=` there.
    """
    device = network.cfm.device
    symbols = _padded([s.symbols for s in sentences], -1, device)  # the package's padding (utils.py:101)
    reference = _padded([s.reference for s in sentences], 0.0, device)
    frames = torch.tensor([s.frames for s in sentences], device=device)
    given = torch.tensor([len(s.reference) for s in sentences], device=device)
    place = torch.arange(max(s.frames for s in sentences), device=device)
    reference = torch.nn.functional.pad(reference, (0, 0, 0, len(place) - reference.shape[1]))
    real = None if len({s.frames for s in sentences}) == 1 else place < frames[:, None]
    x = _padded([_noise(s) for s in sentences], 0.0, device)
    times = _times(solver, device)
    with network.padding.of(real):
        network.cfm.transformer.clear_cache()  # of text embeddings, kept between steps
        for now, later in pairwise(times):
            x = x + (later - now) * _flow(network, x, reference, symbols, now, real, solver.cfg_strength)
        network.cfm.transformer.clear_cache()
    x = torch.where((place < given[:, None]).unsqueeze(-1), reference, x)
    return [row[: s.frames] for row, s in zip(x, sentences, strict=True)]


def _flow(
    network: Network, x: Tensor, reference: Tensor, symbols: Tensor, time: Tensor, real: Tensor | None, strength: float
) -> Tensor:
    guided = strength >= NO_GUIDANCE
    flow: Tensor = network.cfm.transformer(
        x=x, cond=reference, text=symbols, time=time, mask=real, cfg_infer=guided, cache=True
    )
    if not guided:
        return flow
    conditional, unconditional = flow.chunk(2)
    return conditional + (conditional - unconditional) * strength


def _times(solver: Solver, device: torch.device) -> Tensor:
    """Instants of the Euler steps [steps + 1] (cfm.py:213-218); sway sampling is F5-TTS' eq. 7."""
    if solver.epss:
        from f5_tts.model.utils import get_epss_timesteps

        times: Tensor = get_epss_timesteps(solver.steps, device=device, dtype=torch.float32)
    else:
        times = torch.linspace(0, 1, solver.steps + 1, device=device)
    return times + solver.sway * (torch.cos(torch.pi / 2 * times) - 1 + times)


def _noise(sentence: Sentence) -> Tensor:
    return torch.randn(sentence.frames, BANDS, generator=torch.Generator().manual_seed(sentence.seed))


def _padded(rows: Sequence[Tensor], value: float, device: torch.device) -> Tensor:
    return pad_sequence(list(rows), batch_first=True, padding_value=value).to(device)
