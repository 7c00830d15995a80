"""What a failed utterance scores: a failure never leaves the mean, and nothing fails that was not there."""

from __future__ import annotations

import torch

from evalkit.pipeline.execute import _failure_scores
from evalkit.pipeline.judges import Choice, columns_of
from evalkit.pipeline.sources import Clip
from metrics import ClipInfo, Entity
from metrics.signal import Signal
from metrics.wer_pocketsphinx import PocketsphinxWer

FAILED = Clip(torch.zeros(0), 16000, "failed", "The engine raised.")
COLUMNS = columns_of([Choice("wer", PocketsphinxWer()), Choice("signal", Signal())])


def test_a_failure_counts_where_there_was_something_to_fail() -> None:
    named = ClipInfo("a", text="Call Asha.", entities=(Entity("Asha", ("AA1 SH AA0",)),))
    scores = _failure_scores(FAILED, named, COLUMNS)
    assert {name: scores.values[name] for name in ("wer", "cer", "entity_wer")} == dict.fromkeys(
        ("wer", "cer", "entity_wer"), 1.0
    )


def test_an_item_without_names_has_no_name_wrong_and_one_without_text_no_word() -> None:
    plain = _failure_scores(FAILED, ClipInfo("a", text="Good morning."), COLUMNS)
    assert (plain.values["wer"], plain.values["entity_wer"]) == (1.0, None)
    assert plain.missing["entity_wer"] == "The engine raised."
    silent = _failure_scores(FAILED, ClipInfo("a"), COLUMNS)
    assert silent.values["wer"] is None and silent.values["clipping_ratio"] is None
