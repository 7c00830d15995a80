"""Corpus error rates of a run: sums over utterances, failures as nothing heard."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.decisions.summary import corpus_figures
from metrics import ClipInfo, Entity, Scores
from metrics.wer import record_heard
from metrics.wer_pocketsphinx import PocketsphinxWer

IYER = ("Mister Iyer paid eighteen lakh rupees.", ("Iyer",))  # "mr iyer paid 1800000 rupees"
BOTH = ("Lakshmi met Iyer.", ("Lakshmi", "Iyer"))
PLAIN = ("Nothing else happened today.", ())


def row(item: str, sentence: tuple[str, tuple[str, ...]], heard: str | None) -> dict[str, Any]:
    """A row of the log: scored as the metric scores it, or failed (heard is None)."""
    spoken, names = sentence
    base = {"item": item, "spoken": spoken, "entities": list(names), "status": "ok", "details": {}}
    if heard is None:
        return base | {"status": "crashed", "wer": 1.0, "cer": 1.0, "entity_wer": 1.0 if names else None}
    scores = Scores(PocketsphinxWer.spec, 1)
    record_heard(scores, 0, ClipInfo(item, text=spoken, entities=tuple(Entity(name, ()) for name in names)), heard)
    return base | {column: values[0] for column, values in scores.items()} | {"details": scores.details[0]}


def figures(*rows: dict[str, Any]) -> dict[str, Any]:
    return corpus_figures(rows)


def test_errors_are_summed_over_words_by_kind() -> None:
    found = figures(
        row("a", IYER, "mister iyer paid eighteen crore rupees now"),  # 5 words, 1 s, 1 i
        row("b", BOTH, "luxury met"),  # 3 words, 1 s, 1 d; both names wrong
        row("c", PLAIN, "nothing else happened today"),  # 4 words
    )
    wer = found["wer_corpus"]
    assert (wer["errors"], wer["of"], wer["value"]) == (4, 12, pytest.approx(4 / 12))
    assert (wer["substitutions"], wer["deletions"], wer["insertions"]) == (2, 1, 1)
    names = found["entity_wer_corpus"]
    assert (names["errors"], names["of"], names["value"]) == (2, 3, pytest.approx(2 / 3))
    assert "substitutions" not in names
    assert found["cer_corpus"]["of"] == sum(
        map(len, ("mr iyer paid 1800000 rupees", "lakshmi met iyer", "nothing else happened today"))
    )


def test_a_failed_utterance_has_every_word_missing() -> None:
    """Its words are counted as those of an utterance that was heard: after normalising."""
    silent, failed = (figures(row("a", IYER, heard), row("b", PLAIN, "nothing")) for heard in ("", None))
    assert failed == silent
    assert (failed["wer_corpus"]["errors"], failed["wer_corpus"]["of"], failed["wer_corpus"]["deletions"]) == (8, 9, 8)
    assert (failed["entity_wer_corpus"]["errors"], failed["entity_wer_corpus"]["of"]) == (1, 1)


def test_a_failed_utterance_without_names_adds_none() -> None:
    found = figures(row("a", IYER, "mister iyer paid eighteen lakh rupees"), row("b", PLAIN, None))
    assert (found["entity_wer_corpus"]["errors"], found["entity_wer_corpus"]["of"]) == (0, 1)


def test_no_figure_where_the_metric_did_not_run() -> None:
    rows = [row("a", IYER, None), row("b", PLAIN, None)]
    for one in rows:
        del one["wer"], one["cer"], one["entity_wer"]
    assert figures(*rows) == {}
    assert "entity_wer_corpus" not in figures(row("b", PLAIN, "nothing"))


def test_repeats_are_summed_into_their_item() -> None:
    rows = [row("a", BOTH, "lakshmi met iyer"), row("a", BOTH, "lakshmi met"), row("b", PLAIN, "")]
    found = figures(*rows)["wer_corpus"]
    assert (found["errors"], found["of"]) == (5, 10)
    rows += [row(name, PLAIN, PLAIN[0].lower().rstrip(".")) for name in "cde"]
    assert figures(*rows)["wer_corpus"]["ci95"] is None, "six utterances of five items"
    assert figures(*rows, row("f", BOTH, "lakshmi met iyer"))["wer_corpus"]["ci95"] is not None
