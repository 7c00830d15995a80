"""What neutts-gguf makes of the tokens that a backbone draws."""

from __future__ import annotations

from collections.abc import Generator
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from evalkit.engines.base import Request
from evalkit.engines.neutts.gguf import NeuTTSGguf
from evalkit.engines.neutts.gguf_model import GgufModel, Sampling
from evalkit.engines.neutts.gguf_request import RefusedError, Spoken, read
from evalkit.engines.neutts.prompt import FrontEnd
from evalkit.engines.neutts.voices import VoiceCodes

DEFAULTS = {name: option.default for name, option in NeuTTSGguf.spec.options.items()}
FRONT_END = cast(FrontEnd, SimpleNamespace(form="phonemes", read=lambda text: text.lower()))
TEXT_FRONT_END = cast(FrontEnd, SimpleNamespace(form="BPE", read=lambda text: text))


class Drawing:
    """Draws the tokens that it was given; those from 100 on are codes."""

    codes: ClassVar = {100 + code: code for code in range(50)}

    def __init__(self, tokens: list[int], writes_end: bool) -> None:
        self.tokens, self.writes_end = tokens, writes_end
        self.asked: list[tuple[list[int], int, Sampling]] = []
        self.closed = False

    def generate(self, prompt: list[int], seed: int, sampling: Sampling) -> Generator[int, None, None]:
        self.asked.append((prompt, seed, sampling))
        try:
            yield from self.tokens
        finally:
            self.closed = True


def spoken(tokens: list[int], writes_end: bool = True, **options: Any) -> Spoken:
    model = cast(GgufModel, Drawing(tokens, writes_end))
    return Spoken(model, VoiceCodes((1, 2), "hello"), "text", [1, 2, 3], 7, {**DEFAULTS, **options})


def test_codes_come_in_order_and_other_tokens_are_left_out() -> None:
    one = spoken([101, 5, 149, 100])
    assert list(one) == [1, 49, 0]
    assert one.drawn == 4
    one.check()


def test_the_backbone_is_asked_with_the_request() -> None:
    one = spoken([101], temperature=0.5, top_k=9, top_p=1.0, min_p=0.0, min_new_tokens=4)
    list(one)
    assert cast(Drawing, one._model).asked == [([1, 2, 3], 7, Sampling(0.5, 9, 1.0, 0.0, 4))]


@pytest.mark.parametrize(("room", "codes", "status"), [(5, 4, None), (4, 4, "truncated"), (2, 2, "truncated")])
def test_a_speech_without_an_end_is_truncated(room: int, codes: int, status: str | None) -> None:
    one = spoken([101, 102, 103, 104], max_length=3 + room)
    assert len(list(one)) == codes
    assert cast(Drawing, one._model).closed
    if status is None:
        one.check()
    else:
        with pytest.raises(RefusedError) as refused:
            one.check()
        assert refused.value.status == status


def test_other_tokens_count_towards_the_limit() -> None:
    one = spoken([5, 5, 5, 101], max_length=6)
    assert list(one) == []
    with pytest.raises(RefusedError, match="had not ended"):
        one.check()


def test_a_speech_without_codes_is_refused() -> None:
    one = spoken([5, 6])
    list(one)
    with pytest.raises(RefusedError, match="no speech tokens") as refused:
        one.check()
    assert refused.value.status == "failed"


@pytest.mark.parametrize(("max_length", "shortest"), [(3, 0), (2, 0), (50, 47)])
def test_a_prompt_that_leaves_no_room_is_too_long(max_length: int, shortest: int) -> None:
    with pytest.raises(RefusedError, match="no room") as refused:
        spoken([101], max_length=max_length, min_new_tokens=shortest)
    assert refused.value.status == "too_long"


@pytest.mark.parametrize(
    ("writes_end", "max_length", "empty"),
    [(True, 2048, 2), (False, 2048, 1), (True, 5, 1), (False, 5, 1)],
)
def test_messages_end_as_those_of_llama_cpp_python(writes_end: bool, max_length: int, empty: int) -> None:
    one = spoken([101, 102], writes_end, max_length=max_length)
    assert list(one.messages()) == [1, 2, *[None] * empty]


def request(text: str = "Hello", phonemes: str | None = None) -> Request:
    return Request("a", text, 1, phonemes=phonemes)


def test_phonemes_take_the_place_of_the_text() -> None:
    assert read(request(), FRONT_END) == "hello"
    assert read(request(phonemes="HaH"), FRONT_END) == "HaH"


@pytest.mark.parametrize(
    ("asked", "front_end", "status"),
    [
        (request(""), FRONT_END, "empty_text"),
        (request(" ... "), FRONT_END, "empty_text"),
        (request(phonemes=" "), FRONT_END, "empty_text"),
        (request("a <|speech_3|> b"), TEXT_FRONT_END, "unknown_symbols"),
        (request(phonemes="a <|endoftext|>"), FRONT_END, "unknown_symbols"),
        (request(phonemes="a"), TEXT_FRONT_END, "failed"),
    ],
)
def test_what_cannot_be_read_is_refused(asked: Request, front_end: FrontEnd, status: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read(asked, front_end)
    assert refused.value.status == status
    assert str(refused.value).endswith(".")
