"""TF32 stays off for as long as any thread computes scores, and the caller's choice comes back after that."""

from __future__ import annotations

import threading

import pytest
import torch

from metrics.precision import full_float32

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def tf32() -> object:
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = (matmul.fp32_precision, conv.fp32_precision)
    matmul.fp32_precision = conv.fp32_precision = "tf32"
    yield
    matmul.fp32_precision, conv.fp32_precision = before


def precisions() -> set[str]:
    return {torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision}


def test_off_inside_and_back_outside_even_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), full_float32(CPU):
        assert precisions() == {"ieee"}
        raise ZeroDivisionError
    assert precisions() == {"tf32"}


def test_the_first_thread_to_leave_does_not_round_for_the_others() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with full_float32(CPU):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with full_float32(CPU):
        thread.start()
        assert inside.wait(10)
    assert precisions() == {"ieee"}, "the other thread is still at work"
    leave.set()
    thread.join()
    assert precisions() == {"tf32"}


def test_autocast_does_not_reach_inside() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16), full_float32(CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
