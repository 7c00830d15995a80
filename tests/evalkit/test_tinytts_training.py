"""The scripts that trained the voices: letters aligned to phones, and a training that survives being killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from voice_scripts import script

from evalkit.engines.tinytts.model import Dimensions, TinyModel
from evalkit.engines.tinytts.text import PHONES, SYMBOLS
from evalkit.engines.tinytts.vocoder import FRAME

alignment = script("alignment")
fitting = script("fitting")

PAIRS = [
    ("^the box$", "pau dh ax b aa k s pau"),
    ("^the thin cat, she ran.$", "pau dh ax th ih n k ae t pau sh iy r ae n pau"),
    ("^a fox ran$", "pau ax f aa k s r ae n pau"),
    ("^six mad cats$", "pau s ih k s m ae d k ae t s pau"),
    ("^the shop$", "pau dh ax sh aa p pau"),
]


class KilledError(Exception):
    pass


def example(seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    durations = torch.randint(0, 6, (9,), generator=generator)
    return fitting.Example(
        symbols=torch.randint(0, len(SYMBOLS), (9,), generator=generator),
        chunks=torch.randint(0, 8, (9,), generator=generator),
        durations=durations,
        frames=torch.rand(int(durations.sum()), FRAME, generator=generator),
    )


def train(folder: Path, killed_at: int | None = None) -> dict[str, Tensor]:
    torch.manual_seed(0)
    size = Dimensions(
        chunks=8, width=8, hidden=8, hints=2, encoder_blocks=1, predictor_blocks=1, decoder_blocks=1
    )  # fmt: skip
    model = TinyModel(size)
    plan = fitting.Plan(steps=130, learning_rate=1e-3, seed=5, evaluate_every=65, batch_frames=60)
    fit = fitting.Fit(model, plan, folder)
    learn = fit._learn

    def learn_or_die(*batches: Any) -> Any:
        if fit.step == killed_at:
            raise KilledError
        return learn(*batches)

    fit._learn = learn_or_die
    examples = [example(seed) for seed in range(12)]
    fit.run(examples[:9], examples[:9], examples[9:])
    return model.state_dict()


def test_letters_find_their_phones() -> None:
    aligner = alignment.Aligner(SYMBOLS, PHONES)
    texts, phones = [text for text, _ in PAIRS], [reading.split() for _, reading in PAIRS]
    chunks = aligner.fit(texts, phones, smallest_count=1)
    rows = aligner.align(texts, phones)
    assert ("k", "s") in chunks
    for text, reading, row in zip(texts, phones, rows, strict=True):
        assert len(row) == len(text)
        assert [phone for chunk in row for phone in chunk] == reading
    box, shop = (dict(zip(texts[i], rows[i], strict=True)) for i in (0, 4))
    assert box["x"] == ("k", "s")
    assert box["b"] == ("b",)
    assert shop["s"] == ("sh",)
    assert shop["p"] == ("p",)


def test_phones_that_the_letters_cannot_speak_are_not_aligned() -> None:
    aligner = alignment.Aligner(SYMBOLS, PHONES)
    aligner.fit([text for text, _ in PAIRS], [reading.split() for _, reading in PAIRS], smallest_count=1)
    assert aligner.align(["^a$"], [["pau", "b", "ae", "t", "ae", "b", "ae", "pau"]]) == [None]


def test_a_killed_training_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(KilledError):
        train(tmp_path / "killed", killed_at=120)
    resumed = train(tmp_path / "killed")
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    first = train(tmp_path)
    again = train(tmp_path, killed_at=0)
    assert all(torch.equal(first[key], again[key]) for key in first)
