"""tinytts speaks: the same alone and in a batch, whatever the order, with a status for every bad item."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from tinytts_small import requests, small_weights

from evalkit.engines.base import Engine, Request, Speech
from evalkit.engines.tinytts.engine import LONGEST_TEXT, TinyTTS
from evalkit.engines.tinytts.text import PHONES, normalise

TEXTS = [
    "Go.",
    "Could you please connect me with Subramanian Iyer, before the office is shut for the night?",
    "It's late.",
    "a",
    "The rain in Bengaluru fell on the roof of the old library, and on us.",
]


@pytest.fixture(scope="module")
def engine() -> TinyTTS:
    tinytts = TinyTTS()
    tinytts.load(small_weights())
    return tinytts


def one(engine: TinyTTS, text: str, **options: float) -> Speech:
    return engine.synthesize(requests([text], **options))[0]


def test_it_is_an_engine(engine: TinyTTS) -> None:
    assert isinstance(engine, Engine)


def test_frames_of_a_batch_equal_those_one_by_one(engine: TinyTTS) -> None:
    texts = [normalise(text) for text in TEXTS]
    with torch.inference_mode():
        together = engine.frames(texts, [1.0] * len(texts))
        for index, text in enumerate(texts):
            alone = engine.frames([text], [1.0])
            length = int(alone.lengths[0])
            assert length == int(together.lengths[index])
            torch.testing.assert_close(together.frames[index, :length], alone.frames[0], atol=1e-4, rtol=0)


def test_audio_does_not_depend_on_neighbours_or_order(engine: TinyTTS) -> None:
    forward = engine.synthesize(requests(TEXTS))
    backward = engine.synthesize(requests(TEXTS)[::-1])[::-1]
    for text, first, second in zip(TEXTS, forward, backward, strict=True):
        assert first.id == second.id
        assert first.phonemes == second.phonemes
        torch.testing.assert_close(first.audio, second.audio, atol=1e-4, rtol=0)
        torch.testing.assert_close(first.audio, one(engine, text).audio, atol=1e-4, rtol=0)


def test_the_same_text_gives_the_same_audio_whatever_the_seed(engine: TinyTTS) -> None:
    first, second = (engine.synthesize([Request("x", TEXTS[1], seed)])[0] for seed in (1, 2))
    assert torch.equal(first.audio, second.audio)
    assert first.status == "ok"
    assert first.audio.dtype == torch.float32
    assert first.audio.abs().max() > 0


def test_phonemes_are_those_of_the_likeliest_chunks() -> None:
    weights = small_weights()
    weights["encoder.to_chunks.weight"].zero_()
    weights["encoder.to_chunks.bias"].zero_()
    weights["encoder.to_chunks.bias"][3] = 5
    weights["encoder.chunk_phones"][3] = torch.tensor([PHONES.index("k"), PHONES.index("s")])
    engine = TinyTTS()
    engine.load(weights)
    assert one(engine, "ab").phonemes == "k s k s k s k s"  # with the start and the end


@pytest.mark.parametrize(("speed", "low", "high"), [(0.5, 1.9, 2.1), (2.0, 0.45, 0.55)])
def test_speed_changes_the_length(engine: TinyTTS, speed: float, low: float, high: float) -> None:
    ratio = len(one(engine, TEXTS[1], speed=speed).audio) / len(one(engine, TEXTS[1]).audio)
    assert low < ratio < high


def test_the_seconds_of_a_batch_are_shared_by_length(engine: TinyTTS) -> None:
    spoken = engine.synthesize(requests(TEXTS))
    rates = [s.seconds / len(s.audio) for s in spoken if s.seconds is not None]
    assert len(rates) == len(TEXTS)
    assert rates == pytest.approx([rates[0]] * len(rates))


@pytest.mark.parametrize(
    ("text", "status", "named"),
    [
        ("", "empty_text", "nothing"),
        (" ,.? ", "empty_text", "nothing"),
        ("Flat 12", "unknown_symbols", "1 2"),
        ("a लक्ष्मी b", "unknown_symbols", "ल"),
        ("a ^ b", "unknown_symbols", "^"),
        ("naïve", "unknown_symbols", "ï"),
        ("a" * (LONGEST_TEXT + 1), "too_long", str(LONGEST_TEXT)),
    ],
)
def test_a_bad_text_gets_a_status_and_its_neighbours_are_spoken(
    engine: TinyTTS, text: str, status: str, named: str
) -> None:
    before, bad, after = engine.synthesize(requests(["One.", text, "Two."]))
    assert bad.status == status
    assert bad.reason is not None
    assert named in bad.reason
    assert len(bad.audio) == 0
    assert before.status == after.status == "ok"


def test_given_phonemes_and_a_speed_out_of_range_are_refused(engine: TinyTTS) -> None:
    request = Request("x", "Hello.", 0)
    given = engine.synthesize([dataclasses.replace(request, phonemes="hh ax l ow")])[0]
    assert given.status == "failed"
    assert "phonemes" in (given.reason or "")
    for speed in (3, 0, math.nan, "fast"):
        spoken = engine.synthesize([dataclasses.replace(request, options={"speed": speed})])[0]
        assert spoken.status == "failed"
        assert "0.5 and 2" in (spoken.reason or "")


@pytest.mark.parametrize(
    "key",
    ["encoder.embedding.weight", "predictor.blocks.0.expand.weight", "predictor.to_duration.bias",
     "decoder.to_frames.weight", "decoder.frame_mean"],
)  # fmt: skip
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_numbers_are_reported_per_item(key: str, value: float) -> None:
    weights = small_weights()
    weights[key].fill_(value)
    engine = TinyTTS()
    engine.load(weights)
    spoken = engine.synthesize(requests(["Hello there.", "Flat 12"]))
    assert [s.status for s in spoken] == ["not_finite", "unknown_symbols"]
    assert "NaN" in (spoken[0].reason or "")
    assert len(spoken[0].audio) == 0


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("K. R. Subramanian is here.", "k r subramanian is here."),
        ("K.R. Subramanian", "k r subramanian"),
        ("Is it “well-known”?", "is it well known?"),
        ("Don’t ; stop !", "don't, stop."),
        ("Plan B.", "plan b."),
    ],
)
def test_normalised_text(text: str, normal: str) -> None:
    assert normalise(text) == normal


def test_a_temperature_makes_another_take_of_every_seed_alike_alone_and_in_a_batch(engine: TinyTTS) -> None:
    def take(seed: int, temperature: float) -> Request:
        return Request(f"{seed}/{temperature}", "hello there, Subramanian", seed, options={"temperature": temperature})

    short = Request("short", "yes", 5, options={"temperature": 1.0})
    together = engine.synthesize([take(1, 1.0), short, take(2, 1.0), take(1, 0.0), take(2, 0.0)])
    audio = {speech.id: speech.audio for speech in together}
    assert torch.equal(audio["1/0.0"], audio["2/0.0"]), "at 0 the seed changes nothing"
    assert not torch.equal(audio["1/1.0"], audio["1/0.0"]) and not torch.equal(audio["1/1.0"], audio["2/1.0"])
    for request in (take(1, 1.0), take(2, 1.0), short):
        assert torch.equal(engine.synthesize([request])[0].audio, audio[request.id])


def test_a_temperature_out_of_range_is_refused(engine: TinyTTS) -> None:
    (speech,) = engine.synthesize([Request("a", "hello", 0, options={"temperature": 9.0})])
    assert speech.status == "failed" and "temperature" in str(speech.reason)
