"""What the reference voices were trained on and what they are tested on stay apart."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from voice_scripts import script

ROOT = Path(__file__).resolve().parents[2]
SUITES = ROOT / "evalkit" / "suites"


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


SENTENCES = script("sentences").all_sentences()
CARRIERS = script("carriers").CARRIERS


def test_sentences_of_the_base_are_as_the_readme_says() -> None:
    assert len(SENTENCES) == len(set(SENTENCES)) == 655
    assert all(re.fullmatch(r"[A-Za-z ,.?']+", sentence) for sentence in SENTENCES)
    assert all(4 <= len(sentence.split()) <= 13 for sentence in SENTENCES)


def test_no_name_of_the_suite_is_in_the_sentences_of_the_base() -> None:
    words = {word for sentence in SENTENCES for word in re.findall(r"[a-z]+", sentence.lower())}
    names = {str(line["spelling"]).lower() for line in records(SUITES / "indian_names" / "lexicon.jsonl")}
    assert not words & names


def test_held_out_carriers_are_not_training_carriers() -> None:
    assert not set(script("carriers").HELD_OUT_CARRIERS) & set(CARRIERS)


@pytest.mark.parametrize("items", sorted(SUITES.glob("*/items.jsonl")), ids=lambda path: path.parent.name)
def test_no_item_of_a_suite_is_a_training_sentence_or_carrier(items: Path) -> None:
    carriers = [re.compile(re.escape(carrier).replace(r"\{\}", r"[\w' ]{1,30}"), re.IGNORECASE) for carrier in CARRIERS]
    trained = {sentence.lower() for sentence in SENTENCES}
    for record in records(items):
        text = str(record["text"])
        assert text.lower() not in trained
        assert not any(carrier.fullmatch(text) for carrier in carriers), text
