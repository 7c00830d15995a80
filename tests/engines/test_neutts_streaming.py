"""The arithmetic of streaming, with a decoder whose audio says which code it came from."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from evalkit.engines.neutts.codec import HOP
from evalkit.engines.neutts.streaming import AHEAD, CHUNK, STRIDE, stream_audio


def held(codes: Sequence[int]) -> Tensor:
    """480 samples of its own number for each code: overlap-add of equal parts changes nothing."""
    return torch.tensor(codes, dtype=torch.float32).repeat_interleave(HOP)


@pytest.mark.parametrize("count", [30, 54, 55, 131])
@pytest.mark.parametrize("reference", [1, 40, 90])
def test_chunks_say_their_codes_in_order(count: int, reference: int) -> None:
    codes = list(range(1000, 1000 + count))
    chunks = list(stream_audio(range(reference), codes, held))
    whole = torch.cat(chunks)
    spoken = (len(chunks) - 1) * CHUNK
    assert all(len(chunk) == STRIDE for chunk in chunks[:-1])
    torch.testing.assert_close(whole[: spoken * HOP], held(codes[:spoken]), atol=1e-3, rtol=0)
    # The last chunk starts one code before its place, as the package's does.
    assert len(whole) == (count + 1) * HOP
    assert torch.equal(whole[-HOP:], held(codes[-1:]))


def test_the_first_chunk_needs_thirty_codes() -> None:
    asked: list[int] = []

    def counted() -> object:
        for code in itertools.count():
            asked.append(code)
            yield code

    next(stream_audio([0] * 60, counted(), held))  # type: ignore[arg-type]
    assert len(asked) == CHUNK + AHEAD


def test_a_window_sees_fifty_codes_back_and_no_more() -> None:
    windows: list[list[int]] = []

    def decode(codes: Sequence[int]) -> Tensor:
        windows.append(list(codes))
        return held(codes)

    list(stream_audio(range(100), range(1000, 1031), decode))
    assert windows[0][0] == 100 - 51
    assert windows[0][-1] == 1029
    assert windows[1][0] == 1025 - 1000 + 49


def test_few_codes_come_as_one_chunk_and_none_as_nothing() -> None:
    assert [len(chunk) for chunk in stream_audio([1, 2], [3, 4, 5], held)] == [4 * HOP]
    assert list(stream_audio([1, 2], [], held)) == []
    assert list(stream_audio([1, 2], [None], held)) == []


def test_messages_without_a_code_count_towards_a_chunk() -> None:
    codes = list(range(29))
    assert len(list(stream_audio([1], codes, held))) == 1
    assert len(list(stream_audio([1], [*codes, None], held))) == 2
