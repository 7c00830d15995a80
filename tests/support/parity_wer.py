"""What word errors and their normaliser must keep, as plain checks that raise AssertionError."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import jiwer

from metrics import text, wer
from metrics.base import ClipInfo, Entity, Scores
from metrics.wer_pocketsphinx import PocketsphinxWer

_DATA = Path(__file__).parents[1] / "metrics" / "data" / "text_cases.jsonl"
TEXT_CASES: list[dict[str, Any]] = [json.loads(line) for line in _DATA.read_text("utf-8").splitlines()]

SUBRAMANIAN = Entity("Subramanian", (), (), ("Subramaniam", "Subramanyan"))
LAKSHMI = Entity("Lakshmi", (), (), ("Laxmi",))
BANK = Entity("State Bank of India", (), ())
STUDIO = Entity("Studio Five", (), ())
ENTITIES = (SUBRAMANIAN, LAKSHMI, BANK, STUDIO)

# Counted by hand: text, heard, (substitutions, deletions, insertions) of all words, (errors, words) of the entities.
HAND_WORKED = (
    ("Please call Subramanian now.", "please call subramanian now", (0, 0, 0), (0, 1)),
    ("Please call Subramanian now.", "please call Subramaniam now", (0, 0, 0), (0, 1)),
    ("Please call Subramanian now.", "please call subra manyan now", (0, 0, 0), (0, 1)),
    ("Please call Subramanian now.", "please call submarine now", (1, 0, 0), (1, 1)),
    ("Please call Subramanian now.", "please call now", (0, 1, 0), (1, 1)),
    ("Please call Subramanian now.", "please all subramaniam no", (2, 0, 0), (0, 1)),
    ("Please call Subramanian now.", "please call super manian now", (1, 0, 1), (1, 1)),
    ("Please call Subramanian now.", "please call mister subramanian now", (0, 0, 1), (0, 1)),
    ("Please call Subramanian now.", "", (0, 4, 0), (1, 1)),
    ("Lakshmi called Lakshmi.", "laxmi called lexie", (1, 0, 0), (1, 2)),
    # Only where the name belongs: somebody else's Laxmi, and a Subramaniam where Lakshmi should be, are errors.
    ("Lakshmi met Laxmi there.", "laxmi met lakshmi there", (1, 0, 0), (0, 1)),
    ("Lakshmi met Ravi today.", "ravi met laxmi today", (2, 0, 0), (1, 1)),
    ("Lakshmi met Subramanian.", "subramaniam met laxmi", (2, 0, 0), (2, 2)),
    ("We saw Lakshmi's house.", "we saw laxmi's house", (0, 0, 0), (0, 1)),
    ("We saw Lakshmi's house.", "we saw laxmi house", (1, 0, 0), (1, 1)),
    ("The State Bank of India closed.", "the state bank of india closed", (0, 0, 0), (0, 4)),
    ("The State Bank of India closed.", "the statebank of india closed", (0, 0, 0), (0, 4)),
    ("The State Bank of India closed.", "the state bank of new india closed", (0, 0, 1), (1, 4)),
    ("The State Bank of India closed.", "the old state bank of india was closed", (0, 0, 2), (0, 4)),
    ("The State Bank of India closed.", "the state tank india closed", (1, 1, 0), (2, 4)),
    ("Meet me at Studio Five by nine.", "meet me at studio 5 by 9", (0, 0, 0), (0, 2)),
    ("Meet me at Studio Five by nine.", "meet me at studio four by nine", (1, 0, 0), (1, 2)),
    ("Rs.18,00,000 for Lakshmi", "eighteen lakh rupees for laxmi", (0, 0, 0), (0, 1)),
    ("Rs.18,00,000 for Lakshmi", "eighteen crore rupees for laxmi", (1, 0, 0), (0, 1)),
)
WORDS = ["the", "cat", "sat", "on", "that", "red", "mat"]


def check_case(case: dict[str, Any]) -> None:
    """A line of text_cases.jsonl."""
    one, other = case["texts"]
    form = text.normalize(one)
    if case["kind"] == "same":
        assert form == text.normalize(other), case["source"]
    elif case["kind"] == "different":
        assert form != text.normalize(other), case["source"]
    else:
        assert form == other, case["source"]


def check_all_cases() -> None:
    text.normalize.cache_clear()
    for case in TEXT_CASES:
        check_case(case)


def scored(reference: str, heard: str, entities: tuple[Entity, ...] = ENTITIES) -> tuple[Scores, dict[str, Any]]:
    """What `record_heard` makes of one clip, and its details."""
    scores = Scores(PocketsphinxWer.spec, 1)
    wer.record_heard(scores, 0, ClipInfo("clip", text=reference, entities=entities), heard)
    return scores, scores.details[0]


def check_hand_worked() -> None:
    for reference, heard, kinds, (errors, words) in HAND_WORKED:
        scores, details = scored(reference, heard)
        assert tuple(details[kind] for kind in ("substitutions", "deletions", "insertions")) == kinds, heard
        assert details["wer_errors"] == sum(kinds), heard
        assert (details["entity_errors"], details["entity_words"]) == (errors, words), heard
        assert scores["entity_wer"] == [errors / words], heard
        assert scores["wer"] == [sum(kinds) / len(text.normalize(reference).split())], heard


def check_rates_are_those_of_jiwer() -> None:
    """Per clip and pooled over the clips, without entities; and S, D, I add up."""
    dice = random.Random(3)
    pairs = [(_sentence(dice, 1), _sentence(dice, 0)) for _ in range(40)]
    totals: dict[str, int] = {}
    for reference, heard in pairs:
        scores, details = scored(reference, heard, ())
        assert abs(scores["wer"][0] - jiwer.wer(reference, heard)) < 1e-12
        assert abs(scores["cer"][0] - jiwer.cer(reference, heard)) < 1e-12
        for name, value in details.items():
            totals[name] = totals.get(name, 0) + value if isinstance(value, int) else 0
    references, hypotheses = map(list, zip(*pairs, strict=True))
    pooled = jiwer.process_words(references, hypotheses)
    assert abs(totals["wer_errors"] / totals["wer_words"] - pooled.wer) < 1e-12
    assert abs(totals["cer_errors"] / totals["cer_chars"] - jiwer.cer(references, hypotheses)) < 1e-12
    assert totals["wer_errors"] == totals["substitutions"] + totals["deletions"] + totals["insertions"]
    assert totals["wer_words"] - totals["deletions"] + totals["insertions"] == sum(map(len, map(str.split, hypotheses)))


def check_the_alignment_rebuilds_both_sides() -> None:
    for reference, heard, *_ in HAND_WORKED:
        _, details = scored(reference, heard)
        wanted, said, lengths = [], [], dict.fromkeys("=~sdi", 0)
        for kind, *words in details["alignment"]:
            wanted += words[0].split() if kind != "i" else []
            said += words[-1].split() if kind != "d" else []
            lengths[kind] += len(words[0].split())
        assert wanted == text.normalize(reference).split(), heard
        assert said == text.normalize(heard).split(), heard
        assert [lengths[kind] for kind in "sdi"] == [
            details[name] for name in ("substitutions", "deletions", "insertions")
        ], heard


def _sentence(dice: random.Random, shortest: int) -> str:
    return " ".join(dice.choices(WORDS, k=dice.randint(shortest, 9)))
