"""What a failed utterance scores: a failure never leaves the mean, and nothing fails that was not there."""

from __future__ import annotations

from dataclasses import replace

import torch

from evalkit.pipeline.execute import _failure_scores
from evalkit.pipeline.judges import Choice, columns_of
from evalkit.pipeline.scoring import ClipScores
from evalkit.pipeline.sources import Clip
from metrics import ClipInfo, Entity, Metric
from metrics.pronunciation_pocketsphinx import PocketsphinxPronunciation
from metrics.signal import Signal
from metrics.wer_pocketsphinx import PocketsphinxWer

FAILED = Clip(torch.zeros(0), 16000, "failed", "The engine raised.")
ASHA = Entity("Asha", ("AA1 SH AA0",), ("AE1 SH AE0",))


def failed(info: ClipInfo, *metrics: Metric) -> ClipScores:
    named = {str(number): metric for number, metric in enumerate(metrics or (PocketsphinxWer(), Signal()))}
    columns = columns_of([Choice(name, metric) for name, metric in named.items()])
    return _failure_scores(FAILED, info, columns, named)


def test_a_failure_counts_where_there_was_something_to_fail() -> None:
    named = ClipInfo("a", text="Call Asha.", entities=(ASHA,))
    scores = failed(named)
    assert {name: scores.values[name] for name in ("wer", "cer", "entity_wer")} == dict.fromkeys(
        ("wer", "cer", "entity_wer"), 1.0
    )
    assert failed(named, PocketsphinxPronunciation()).values["pronunciation_accuracy"] == 0.0


def test_an_item_without_names_has_no_name_wrong_and_one_without_text_no_word() -> None:
    plain = failed(ClipInfo("a", text="Good morning."))
    assert (plain.values["wer"], plain.values["entity_wer"]) == (1.0, None)
    assert plain.missing["entity_wer"] == "The engine raised."
    silent = failed(ClipInfo("a"))
    assert silent.values["wer"] is None and silent.values["clipping_ratio"] is None
    wordless = failed(ClipInfo("a", text="..."))
    assert wordless.values["wer"] is None, "a text without words is refused on a good clip too"


def test_a_name_that_no_good_clip_is_judged_by_cannot_fail() -> None:
    judge = PocketsphinxPronunciation()
    judge.calibration = replace(judge.calibration, unreliable=frozenset({"ravi"}))
    ravi = Entity("Ravi", ("R AH1 V IY0",), ("R EY1 V IY0",))
    for entity in (
        Entity("Asha", ("AA1 SH AA0",)),  # without a wrong reading
        Entity("Meera", ("M IH1 R AH0",), ("M EH1 R AH0",)),  # not in the text
        ravi,  # whose readings this judge cannot tell apart
    ):
        info = ClipInfo("a", text="Call Asha and Ravi.", entities=(entity,))
        assert failed(info, judge).values["pronunciation_accuracy"] is None
    both = ClipInfo("a", text="Call Asha and Ravi.", entities=(ASHA, ravi))
    assert failed(both, judge).values["pronunciation_accuracy"] == 0.0, "one of the two could have been wrong"

    elsewhere = failed(ClipInfo("a", text="Call Meera.", entities=(ASHA,)))
    assert (elsewhere.values["wer"], elsewhere.values["entity_wer"]) == (1.0, None)


class Asking(PocketsphinxWer):
    def applies(self, info: ClipInfo) -> frozenset[str]:
        raise ValueError("a bug")


def test_a_metric_that_raises_when_it_is_asked_leaves_the_others_alone() -> None:
    scores = failed(ClipInfo("a", text="Call Asha.", entities=(ASHA,)), Asking(), PocketsphinxPronunciation())
    assert scores.crashed and scores.values["wer"] is None and "a bug" in scores.missing["wer"]
    assert scores.values["pronunciation_accuracy"] == 0.0
