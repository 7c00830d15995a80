"""Batched decoding against openai-whisper, one clip at a time, with the same small random weights."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("whisper")

import parity_whisper as parity

from metrics import whisper_decode, whisper_heard
from metrics.base import ClipInfo
from metrics.whisper_decode import Transcriber
from metrics.whisper_heard import MOST_TOKENS, Evidence, Heard, token_limit
from metrics.whisper_model import clips_at_once, load_model
from metrics.whisper_search import Sampled

Readings = Callable[[int], tuple[list[Tensor], list[ClipInfo]]]


@pytest.fixture(scope="module")
def clips(readings: Readings) -> list[Tensor]:
    """Rendered speech of 1.4 to 6 s, not in the order of its length."""
    some = readings(40)[0][::5]
    return [torch.cat(some)[:96000], some[0], 0.05 * some[1], some[3], some[4]]


@pytest.fixture(scope="module")
def english() -> Any:
    return parity.tiny_model()


@pytest.fixture(scope="module")
def large() -> Any:
    """With the mels and the vocabulary of large-v3."""
    return parity.tiny_model(128, english=False)


def test_mels_are_those_of_transcribe(clips: list[Tensor], voice: Callable[..., Tensor]) -> None:
    parity.check_mels([*clips, voice(0.011), voice(29.995), torch.full((160,), 0.3), 1e-4 * clips[1]])


@pytest.mark.parametrize("beam", [0, 5])
def test_a_batch_gets_the_tokens_of_transcribe(english: Any, large: Any, clips: list[Tensor], beam: int) -> None:
    results = parity.check_tokens(english, clips, beam)
    assert len({len(result.tokens) for result in results}) > 2, "the model says the same whatever it hears"
    assert any(result.cut for result in results) and not all(result.cut for result in results)
    parity.check_tokens(large, clips[1:4], beam)


def test_the_language_reaches_the_model(large: Any, clips: list[Tensor]) -> None:
    hindi = parity.check_tokens(large, clips[1:4], language="hi")
    assert [one.tokens for one in hindi] != [
        one.tokens for one in parity.first_pass(parity.transcriber(large), clips[1:4])
    ]


def test_only_failed_clips_are_decoded_again_and_end_where_transcribe_ends(english: Any, clips: list[Tensor]) -> None:
    results = parity.check_fallback(english, clips)
    assert {result.temperature > 0 for result in results} == {True, False}
    assert not any(result.failed for result in results if 0 < result.temperature < 1)


def test_clips_of_more_than_30_s_go_through_transcribe(
    english: Any, clips: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whisper_decode, "TEMPERATURES", (0.0, 0.4))
    monkeypatch.setattr(whisper_decode, "MOST_TOKENS", 40)  # of a window, and of the package's in `check_long`
    long = torch.cat([clips[0], *clips, *clips, clips[0]])[: 31 * 16000]
    assert len(long) == 31 * 16000
    state = torch.random.get_rng_state()
    parity.check_long(english, long, beam=2)
    assert torch.equal(state, torch.random.get_rng_state())


def test_silence_is_what_transcribe_leaves_out(
    english: Any, clips: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    from whisper import transcribe

    probabilities = sorted(one.no_speech_prob for one in parity.first_pass(parity.transcriber(english), clips[1:]))
    middle = math.sqrt(probabilities[1] * probabilities[2])
    monkeypatch.setattr(whisper_heard, "NO_SPEECH", middle)
    monkeypatch.setattr(whisper_heard, "LOGPROB", 0.0)  # everything is a guess
    monkeypatch.setattr(whisper_decode, "TEMPERATURES", (0.0,))
    heard = parity.transcriber(english).hear(clips[1:])
    for clip, one in zip(clips[1:], heard, strict=True):
        theirs = transcribe(
            english,
            clip,
            language="en",
            temperature=0.0,
            no_speech_threshold=middle,
            logprob_threshold=0.0,
            without_timestamps=True,
            sample_len=token_limit("en", one.seconds),
            fp16=False,
        )
        assert one.text == theirs["text"].strip()
        assert ("no_speech" in one.flags()) == (not theirs["segments"])
    assert {one.text == "" for one in heard} == {True, False}


def test_the_size_of_the_forward_pass_changes_nothing(
    english: Any, clips: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whisper_decode, "TEMPERATURES", (0.0, 0.6))
    ours = parity.transcriber(english)
    together = ours.hear(clips)
    monkeypatch.setattr(whisper_decode, "clips_at_once", lambda *_: 2)
    in_twos = ours.hear(clips)
    assert [one.text for one in together] == [one.text for one in in_twos]
    assert [one.flags() for one in together] == [one.flags() for one in in_twos]


def test_sampling_follows_the_probabilities_and_the_row_alone() -> None:
    logits = torch.tensor([[0.5, -torch.inf, 2.0, -1.0, 0.0, -torch.inf]])
    rows, eot, temperature = 4000, 5, 0.8
    sampled = Sampled(temperature, range(rows), 3, eot, torch.device("cpu"))
    start = torch.zeros(rows, 1, dtype=torch.int64)
    tokens, done = sampled.update(start, logits.repeat(rows, 1), torch.zeros(rows))
    shares = torch.bincount(tokens[:, 1], minlength=6) / rows
    assert torch.allclose(shares, (logits[0] / temperature).softmax(dim=0), atol=0.03) and not done
    assert shares[1] == shares[5] == 0
    alone = Sampled(temperature, [7], 3, eot, torch.device("cpu"))
    assert int(alone.update(start[:1], logits, torch.zeros(1))[0][0, 1]) == int(tokens[7, 1])


def test_sampling_adds_the_probability_of_open_rows_only() -> None:
    sampled = Sampled(1.0, [0, 1], 1, 2, torch.device("cpu"))
    sums = torch.zeros(2)
    logits = torch.tensor([[0.0, 0.0, -torch.inf], [0.0, 0.0, -torch.inf]])
    tokens, done = sampled.update(torch.tensor([[0], [2]]), logits, sums)
    assert sums.tolist() == pytest.approx([-math.log(2), 0.0]) and not done
    assert tokens[1].tolist() == [2, 2] and tokens[0, 1] < 2


def test_thresholds_and_temperatures_are_those_of_transcribe() -> None:
    from whisper import transcribe

    theirs = inspect.signature(transcribe).parameters
    assert theirs["temperature"].default == whisper_decode.TEMPERATURES
    assert theirs["compression_ratio_threshold"].default == whisper_heard.COMPRESSION_RATIO
    assert theirs["logprob_threshold"].default == whisper_heard.LOGPROB
    assert theirs["no_speech_threshold"].default == whisper_heard.NO_SPEECH


@pytest.mark.parametrize(
    ("language", "seconds", "tokens"), [("en", 0.1, 21), ("en", 5, 60), ("hi", 2, 100), ("en", 30, 224), ("ta", 9, 224)]
)
def test_the_limit_of_tokens(language: str, seconds: float, tokens: int) -> None:
    assert token_limit(language, seconds) == tokens <= MOST_TOKENS


def heard(text: str = "one two", seconds: float = 1.0, **changes: Any) -> Heard:
    sound: dict[str, Any] = {
        "avg_logprob": -0.2,
        "no_speech_prob": 0.01,
        "compression_ratio": 1.1,
        "temperature": 0.0,
        "cut": False,
    }
    return Heard(text, seconds, Evidence(**(sound | changes)))


@pytest.mark.parametrize(
    ("one", "flags"),
    [
        (heard(), []),
        (heard("a b c d e f g h"), []),
        (heard("a b c d e f g h i"), ["hallucination"]),
        (heard(cut=True), ["hallucination", "length_limit"]),
        (heard(compression_ratio=2.5), ["repetition"]),
        (heard(avg_logprob=-1.1), ["low_confidence"]),
        (heard(temperature=0.2), ["fallback"]),
        (heard("", avg_logprob=-1.1, no_speech_prob=0.7), ["no_speech", "low_confidence"]),
        (heard(no_speech_prob=0.9), []),
        (Heard("", 1.0, None), ["no_speech"]),
    ],
)
def test_flags(one: Heard, flags: list[str]) -> None:
    assert one.flags() == flags


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 0.02), (torch.bfloat16, 0.15)])
def test_half_precision(
    english: Any, clips: list[Tensor], tmp_path: Path, dtype: torch.dtype, tolerance: float
) -> None:
    """The same tokens get nearly the same probability; float16 is openai-whisper's own, bit for bit."""
    half = load_model(parity.save(english, tmp_path / "tiny.pt"), torch.device("cpu"), dtype)
    mels = parity.whisper_mel.log_mels(clips[1:3], 80)
    exact = parity.transcriber(english).encode(mels)
    features = Transcriber(half, dtype, "en", 0).encode(mels)
    assert features.dtype == dtype
    assert (half.encoder.ln_post.weight.dtype, half.decoder.token_embedding.weight.dtype) == (torch.float32,) * 2
    with torch.no_grad():
        if dtype == torch.float16:
            assert torch.equal(features, english.encoder(mels.half()))
        for index, result in enumerate(parity.first_pass(parity.transcriber(english), clips[1:3])):
            tokens = torch.tensor([[50257, 50362, *result.tokens]])
            both = [
                model.decoder(tokens, audio[index : index + 1])[0, 1:-1].log_softmax(dim=-1)
                for model, audio in ((english, exact), (half, features))
            ]
            means = [float(one.gather(1, tokens[0, 2:, None]).mean()) for one in both]
            assert abs(means[0] - means[1]) <= tolerance


def test_clips_at_once_follow_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from whisper.model import ModelDimensions

    turbo = ModelDimensions(128, 1500, 1280, 20, 32, 51866, 448, 1280, 20, 4)
    base = ModelDimensions(80, 1500, 512, 8, 6, 51864, 448, 512, 8, 6)
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert 2 <= clips_at_once(turbo, 1, torch.float32, cpu) < clips_at_once(base, 1, torch.float32, cpu) <= 16
    free = 139 * 2**30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    assert clips_at_once(turbo, 1, torch.float16, cuda) == 256
    free = 4 * 2**30
    assert 1 <= clips_at_once(turbo, 5, torch.float16, cuda) < clips_at_once(turbo, 1, torch.float16, cuda) < 40
    free = 0
    assert clips_at_once(turbo, 1, torch.float16, cuda) == 1


def test_real_speech(english: Any, real_clip: Callable[[str], Tensor]) -> None:
    recorded = [
        real_clip("jfk.flac")[: 16000 * 3],
        real_clip("librispeech/3005/3005-163389-0000.flac")[: 16000 * 5],
    ]
    parity.check_mels(recorded)
    parity.check_tokens(english, recorded)
    parity.check_tokens(english, recorded, beam=3)
