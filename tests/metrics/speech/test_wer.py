"""Word errors of what the bundled recogniser hears. How they are counted: test_text_entities.py."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from metrics.base import ClipBatch, ClipInfo, Metric
from metrics.text import NORMALIZER_VERSION
from metrics.wer import compare
from metrics.wer_pocketsphinx import PocketsphinxWer


@pytest.mark.parametrize(
    ("reference", "heard", "errors", "words"),
    [
        ("the cat sat", "the cat sat", 0, 3),
        ("the cat sat", "The cat, sat!", 0, 3),
        ("the cat sat", "", 3, 3),
        ("the cat sat", "the sat", 1, 3),
        ("the cat", "the big cat sat", 2, 2),
        ("cat", "a dog ran", 3, 1),
        ("Rs.18,00,000 per annum", "eighteen lakh rupees per annum", 0, 4),
        ("eighteen lakh rupees per annum", "eighteen crore rupees per annum", 1, 4),
        ("call 98765 43210", "call nine eight seven six five four three two one zero", 0, 2),
    ],
)
def test_word_errors(reference: str, heard: str, errors: int, words: int) -> None:
    counts = compare(reference, heard).counts()
    assert (counts["wer_errors"], counts["wer_words"]) == (errors, words)


@pytest.mark.parametrize("text", ["", " ", "…!?"])
def test_a_text_without_words_has_no_error_rate(text: str) -> None:
    with pytest.raises(ValueError, match="has no words"):
        compare(text, "something")


@pytest.fixture(scope="module")
def metric() -> PocketsphinxWer:
    if sentence := PocketsphinxWer.unavailable():
        pytest.skip(f"PocketsphinxWer {sentence}")
    return PocketsphinxWer(workers=2)


@pytest.fixture(scope="module")
def spoken(readings: Callable[[int], tuple[list[Tensor], list[ClipInfo]]]) -> ClipBatch:
    clips, infos = readings(3)
    return ClipBatch.of(clips, 16000, infos)


def part(batch: ClipBatch, order: list[int]) -> ClipBatch:
    return ClipBatch.of([batch.clip(index) for index in order], 16000, [batch.info[index] for index in order])


def test_alone_in_any_batch_order_padding_and_number_of_workers_score_the_same(
    metric: PocketsphinxWer, spoken: ClipBatch
) -> None:
    together = metric.score(spoken)
    assert not any(together.reasons)
    order = list(range(len(spoken)))
    random.Random(1).shuffle(order)
    turned = part(spoken, order)
    padded = ClipBatch(torch.nn.functional.pad(turned.audio, (0, 4000)), turned.lengths, 16000, turned.info)
    shuffled = metric.score(padded)
    one_worker = PocketsphinxWer(workers=1).score(turned)
    for place, index in enumerate(order):
        alone = metric.score(part(spoken, [index]))
        for scores, at in ((shuffled, place), (one_worker, place), (alone, 0)):
            assert [scores[column][at] for column in scores] == [together[column][index] for column in scores]
            assert scores.details[at] == together.details[index]


def test_details_make_the_columns(metric: PocketsphinxWer, spoken: ClipBatch) -> None:
    scores = metric.score(part(spoken, [0]))
    details = scores.details[0]
    assert scores["wer"][0] == details["wer_errors"] / details["wer_words"]
    assert scores["cer"][0] == details["cer_errors"] / details["cer_chars"]
    assert "we met" in details["heard"]
    assert scores["entity_wer"][0] == details["entity_errors"] / details["entity_words"]
    name = details["entities_heard"][0]
    assert (name["spelling"], name["words"]) == (spoken.info[0].entities[0].spelling, 1)
    assert name["errors"] == details["entity_errors"]
    json.dumps(scores.details)


def test_clips_without_text_or_samples_are_refused_and_silence_says_nothing(metric: PocketsphinxWer) -> None:
    clips = [torch.rand(8000), torch.rand(8000), torch.rand(8000), torch.zeros(0), torch.zeros(8000)]
    clips.append(torch.full((8000,), torch.nan))
    texts = [None, "", "?!", "hello there", "hello there", "hello there"]
    infos = [ClipInfo(str(number), text=text) for number, text in enumerate(texts)]
    scores = metric.score(ClipBatch.of(clips, 16000, infos))
    reasons = [reason.get("wer") for reason in scores.reasons]
    assert "no text" in reasons[0] and "no text" in reasons[1] and "no words" in reasons[2]
    assert "no samples" in reasons[3] and reasons[4] is None and "not finite" in reasons[5]
    assert [math.isnan(value) for value in scores["wer"]] == [True, True, True, True, False, True]
    assert scores["wer"][4] == scores["cer"][4] == 1.0
    assert scores.reasons[4] == {"entity_wer": "the text has no entities"}
    assert scores.details[4]["heard"] == ""


def test_an_empty_batch_is_no_error(metric: PocketsphinxWer) -> None:
    assert metric.score(ClipBatch.of([], 16000, [])) == {"wer": [], "cer": [], "entity_wer": []}


def test_a_wrong_sample_rate_is_refused(metric: PocketsphinxWer) -> None:
    with pytest.raises(ValueError, match="16000 Hz and got 24000 Hz"):
        metric.score(ClipBatch.of([torch.rand(24000)], 24000, [ClipInfo("a", text="hello")]))


def test_passport_names_what_the_score_depends_on(metric: PocketsphinxWer) -> None:
    assert isinstance(metric, Metric)
    passport = metric.passport()
    assert passport.parameters["normalizer"] == NORMALIZER_VERSION
    assert any(name.endswith("en-us.lm.bin") for name in passport.weights_sha256)
    assert all(len(digest) == 64 for digest in passport.weights_sha256.values())
    assert passport == PocketsphinxWer().passport()
    json.dumps([dict(passport.weights_sha256), dict(passport.parameters), dict(passport.packages)])


def test_read_speech_is_mostly_understood(
    metric: PocketsphinxWer, real_audio: Path, real_clip: Callable[[str], Tensor]
) -> None:
    files = sorted((real_audio / "librivox").glob("*.flac"))
    clips = [real_clip(f"librivox/{file.name}") for file in files]
    infos = [ClipInfo(file.stem, text=file.with_suffix(".txt").read_text()) for file in files]
    scores = metric.score(ClipBatch.of(clips, 16000, infos))
    errors = sum(details["wer_errors"] for details in scores.details)
    words = sum(details["wer_words"] for details in scores.details)
    assert 0.05 < errors / words < 0.45
    assert all(cer < wer for cer, wer in zip(scores["cer"], scores["wer"], strict=True))
