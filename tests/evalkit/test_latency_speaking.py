"""Speaking one utterance at a time: what the clock holds, on a clock that only the engine moves."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from timed_engines import Clock, Machine, Streaming, Whole, plan, source_of

from evalkit.engines.base import EngineGoneError, StreamError
from evalkit.pipeline import execute as execute_module
from evalkit.pipeline.execute import execute
from evalkit.pipeline.latency import AT_ONCE, IDLE_S, ONE_CHUNK, PROBES, WARM_UP
from evalkit.pipeline.plan import batches
from evalkit.pipeline.scoring import Scorer
from evalkit.pipeline.sources import Clip
from evalkit.runs.folder import RunFolder
from evalkit.runs.log import UtteranceLog

SHORT, LONG = "Hi.", "A much longer sentence, which takes its time."


def speak(engine: Whole, texts: list[str], machine: Machine | None = None, said: list[str] | None = None) -> list[Clip]:
    planned = plan(texts)
    machine = machine or Machine(engine.clock)
    return source_of(engine, planned, machine, [] if said is None else said).clips(planned)


def test_a_stream_is_timed_chunk_by_chunk() -> None:
    (clip,) = speak(Streaming(Clock()), ["Hello."])
    assert clip.status == "ok" and len(clip.audio) == 16000
    assert clip.timings == pytest.approx(
        {
            "first_chunk_s": 0.4,
            "first_chunk_rtf": 0.4 / 0.5,
            "second_chunk_rtf": 0.1 / 0.25,
            "total_s": 0.71,
            "rtf": 0.71,
        }
    )
    expected = [[0.4, 0.5], [0.1, 0.25], [0.2, 0.25]]
    assert [pytest.approx(chunk) for chunk in clip.details["timing"]["chunks"]] == expected
    assert clip.missing == {}


def test_chunks_are_joined_in_order() -> None:
    class Counting(Streaming):
        def stream(self, request: Any) -> Any:
            yield torch.full((8000,), 0.25)
            yield torch.full((8000,), 0.5)

    (clip,) = speak(Counting(Clock()), ["Hello."])
    assert torch.equal(clip.audio, torch.cat([torch.full((8000,), 0.25), torch.full((8000,), 0.5)]))


def test_an_empty_chunk_is_no_audio_yet() -> None:
    (clip,) = speak(Streaming(Clock(), chunks=((0.1, 0.0), (0.2, 1.0), (0.3, 0.0), (0.4, 0.5))), ["Hello."])
    assert clip.timings["first_chunk_s"] == pytest.approx(0.3)
    assert clip.timings["second_chunk_rtf"] == pytest.approx(0.7 / 0.5)
    assert len(clip.details["timing"]["chunks"]) == 2


def test_one_chunk_has_no_second_and_says_so() -> None:
    (clip,) = speak(Streaming(Clock(), chunks=((0.4, 1.0),)), ["Hello."])
    assert "second_chunk_rtf" not in clip.timings and clip.missing == {"second_chunk_rtf": ONE_CHUNK}


def test_without_a_stream_the_first_audio_is_there_when_all_is() -> None:
    engine = Whole(Clock(), costs={"Hello.": [0.3]})
    (clip,) = speak(engine, ["Hello."])
    assert clip.timings == pytest.approx({"first_chunk_s": 0.3, "total_s": 0.3, "rtf": 0.3}), (
        "not the engine's own 99 s"
    )
    assert clip.missing == {} and clip.details["timing"]["chunks"] == []


def test_every_utterance_is_spoken_alone_whatever_the_engine_can_take() -> None:
    engine = Whole(Clock())
    speak(engine, [f"Sentence {n}." for n in range(8)])
    assert set(engine.sizes) == {1}


def test_warm_up_is_the_longest_then_the_shortest_and_leaves_no_trace() -> None:
    engine = Whole(Clock(), costs={LONG: [50.0, 0.5], SHORT: [40.0, 0.2]})
    clips = speak(engine, [SHORT, "In between.", LONG])
    assert engine.spoken == [LONG, *[SHORT] * (WARM_UP - 1 + PROBES), SHORT, "In between.", LONG]
    assert [clip.timings["total_s"] for clip in clips] == pytest.approx([0.2, 0.5, 0.5])


def test_metrics_pause_is_followed_by_one_more_warm_up() -> None:
    engine = Whole(Clock())
    planned = plan([SHORT, "In between.", LONG])
    source = source_of(engine, planned, Machine(engine.clock), [])
    source.clips(planned[:1])
    engine.spoken.clear()
    source.clips(planned[1:])
    assert engine.spoken == [SHORT, "In between.", LONG]


def test_start_is_recorded_once_with_what_was_found() -> None:
    engine = Whole(Clock(), costs={SHORT: [9.0, 0.2, 0.25, 0.3, 0.2]})
    machine = Machine(engine.clock, busy=0.0, load=0.7)
    said: list[str] = []
    first, second = speak(engine, [SHORT, LONG], machine, said)
    start = first.details["timing"]["start"]
    assert start["spread"] == pytest.approx(0.1 / 0.25) and start["load"] == 0.7 and start["others"] == 0.0
    assert "start" not in second.details["timing"] and machine.asleep == IDLE_S
    assert len(said) == 1 and "40 % of their median apart" in said[0]


def test_a_busy_machine_is_said_before_anything_is_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    engine = Whole(Clock())
    said: list[str] = []
    (clip,) = speak(engine, [SHORT], Machine(engine.clock, busy=0.8, load=1.4), said)
    assert said == [
        "Other processes used 40 % of the CPU just before the start (load average 1.4): "
        "timings are longer than on a quiet machine."
    ]
    assert clip.details["timing"]["others"] == pytest.approx(0.4)


def test_a_machine_that_tells_nothing_is_no_error() -> None:
    engine = Whole(Clock())
    said: list[str] = []
    (clip,) = speak(engine, [SHORT], Machine(engine.clock, busy=None, load=None), said)
    assert clip.status == "ok" and said == []
    assert clip.details["timing"]["others"] is None and clip.details["timing"]["load"] is None


@pytest.mark.parametrize("kind", [Whole, Streaming])
def test_failures_are_statuses_also_in_the_warm_up(kind: type[Whole]) -> None:
    engine = kind(Clock())
    longest, shortest = "explode, however long the sentence is", "refuse"
    texts = [longest, "fine enough", shortest]
    clips = dict(zip(texts, speak(engine, texts), strict=True))
    assert clips["fine enough"].status == "ok"
    assert clips["refuse"].status in ("too_long", "failed") and clips["refuse"].reason
    assert clips[longest].status == "failed" and "a bug in the engine" in str(clips[longest].reason)
    assert clips["fine enough"].details["timing"]["start"]["spread"] is None, "of a refusal nothing is learnt"
    for text in (longest, shortest):
        assert clips[text].timings == {} and clips[text].missing == {} and len(clips[text].audio) == 0


def test_a_warm_up_does_not_wait_twice_for_what_fails() -> None:
    """Each time may take the whole of the time limit."""
    engine = Streaming(Clock())
    planned = plan(["refuse", "a sentence that is fine"])
    source = source_of(engine, planned, Machine(engine.clock), [])
    source.clips(planned[:1])
    source.clips(planned[1:])
    assert engine.spoken == ["a sentence that is fine", "refuse", "refuse", "a sentence that is fine"]


@pytest.mark.parametrize("in_warm_up", [True, False])
def test_an_engine_that_is_gone_ends_the_run(in_warm_up: bool) -> None:
    class Leaving(Streaming):
        def stream(self, request: Any) -> Any:
            if in_warm_up or len(self.spoken) > WARM_UP + PROBES:
                raise EngineGoneError("Nobody answers.")
            return super().stream(request)

    with pytest.raises(EngineGoneError):
        speak(Leaving(Clock()), [SHORT, LONG])


def test_a_stream_that_breaks_off_says_how() -> None:
    class Breaking(Streaming):
        def stream(self, request: Any) -> Any:
            yield torch.full((8000,), 0.25)
            raise StreamError("timed_out", "No end.")

    (clip,) = speak(Breaking(Clock()), [SHORT])
    assert (clip.status, clip.reason) == ("timed_out", "No end.")


def test_a_stream_without_audio_is_too_short() -> None:
    (clip,) = speak(Streaming(Clock(), chunks=()), ["Hello."])
    assert clip.status == "too_short" and clip.timings == {}


def test_gpu_is_waited_for_before_the_clock_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Whole(Clock())
    planned = plan([SHORT])
    source = source_of(engine, planned, Machine(engine.clock), [])
    source.device = "cuda"
    pending = 0.25  # of work that only waiting does
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: engine.clock.work(pending))
    (clip,) = source.clips(planned)
    assert clip.timings["total_s"] == pytest.approx(0.75)


def test_nothing_is_written_or_scored_while_an_utterance_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = SimpleNamespace(writing=0, scoring=0, written=0)

    def write(path: Path, audio: torch.Tensor, rate: int) -> None:
        state.writing += 1
        time.sleep(0.02)
        state.writing -= 1
        state.written += 1

    class Watched(Scorer):
        def score(self, *arguments: Any) -> Any:
            state.scoring += 1
            time.sleep(0.01)
            scores = super().score(*arguments)
            state.scoring -= 1
            return scores

    seen: list[tuple[int, int, int]] = []
    engine = Whole(Clock(), watch=lambda: seen.append((state.writing, state.scoring, state.written)))
    planned = plan([f"Sentence number {n}." for n in range(3 * AT_ONCE)])
    source = source_of(engine, planned, Machine(engine.clock), [])
    monkeypatch.setattr(execute_module, "write_flac", write)
    with Watched([]) as scorer:
        made = batches(planned, AT_ONCE, 600.0)
        log = UtteranceLog(tmp_path / "log.jsonl")
        execute(made, source, scorer, {}, RunFolder(tmp_path), log, lambda n, s: None)
    assert len(log.rows) == 3 * AT_ONCE
    assert {(writing, scoring) for writing, scoring, _ in seen} == {(0, 0)}
    assert {written for _, _, written in seen} == {0, AT_ONCE, 2 * AT_ONCE}
