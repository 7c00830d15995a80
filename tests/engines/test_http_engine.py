"""The engine `http` against a server on this machine that behaves, and one that does not."""

from __future__ import annotations

import io
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from speech_server import Handler, Reply, Seen, ok, speech_server, status, tone, wav, without_length

from evalkit.engines.base import EngineGoneError, Request, Setup, Speech, StreamError, StreamingEngine, Voice
from evalkit.engines.http import engine as http_engine
from evalkit.engines.http.engine import Http
from evalkit.engines.http.server import parse_address
from evalkit.errors import EvalkitError


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(http_engine, "FIRST_WAIT_S", 0.0)
    with speech_server() as seen:
        yield seen


def set_up(seen: Seen, **options: Any) -> Http:
    engine = Http()
    engine.set_up(Setup(options={"address": seen.address, **options}))
    return engine


def speak(engine: Http, text: str = "hello", **options: Any) -> Speech:
    (speech,) = engine.synthesize([Request("a", text, 7, options=options)])
    return speech


def test_speaks_what_the_server_sends(server: Seen) -> None:
    engine = set_up(server)
    samples = tone(0.3)
    server.replies = [ok(wav(samples))]
    speech = speak(engine)
    assert speech.status == "ok" and speech.seconds is not None and speech.seconds > 0
    assert speech.audio.dtype == torch.float32
    assert torch.equal(speech.audio, torch.from_numpy(samples[:, 0] / np.float32(32768)))
    assert engine.spec.sample_rate == 24000 and Http.spec.sample_rate == 24000
    assert set(server.paths) == {"/v1/audio/speech"}


def test_asks_for_what_the_options_say(server: Seen) -> None:
    engine = set_up(
        server, model="m", voice="v", speed=1.5, extra='{"language": "hi", "voice": "w"}', seed_field="seed"
    )
    speak(engine, "नमस्ते")
    assert server.bodies[-1] == {
        "model": "m",
        "voice": "w",
        "language": "hi",
        "input": "नमस्ते",
        "response_format": "wav",
        "speed": 1.5,
        "seed": 7,
    }
    assert engine.spec.stochastic
    assert engine.identity["model"] == "m" and engine.identity["extra"] == '{"language": "hi", "voice": "w"}'
    quiet = set_up(server, model="", voice="")
    speak(quiet, speed=2.0)
    assert set(server.bodies[-1]) == {"input", "response_format", "speed"} and server.bodies[-1]["speed"] == 2.0
    assert not quiet.spec.stochastic


def test_the_rate_is_the_first_answers(server: Seen) -> None:
    server.usual = ok(wav(tone(rate=16000), 16000))
    engine = set_up(server)
    assert engine.spec.sample_rate == 16000
    server.replies = [ok(wav(tone(rate=8000), 8000))]
    speech = speak(engine)
    assert speech.status == "failed" and "8000 Hz" in str(speech.reason) and "16000 Hz" in str(speech.reason)


def test_channels_are_averaged(server: Seen) -> None:
    engine = set_up(server)
    samples = tone(channels=2)
    server.replies = [ok(wav(samples))]
    expected = torch.from_numpy(samples.astype(np.float32).mean(axis=1) / 32768)
    assert torch.allclose(speak(engine).audio, expected, atol=1e-7)


def test_a_wav_of_floats_is_read(server: Seen) -> None:
    engine = set_up(server)
    buffer = io.BytesIO()
    samples = np.sin(np.arange(4800) / 10).astype(np.float32) / 2
    soundfile.write(buffer, samples, 24000, format="WAV", subtype="FLOAT")
    server.replies = [ok(buffer.getvalue())]
    assert torch.equal(speak(engine).audio, torch.from_numpy(samples))


def test_a_wav_without_its_length_is_read_whole(server: Seen) -> None:
    engine = set_up(server)
    samples = tone(0.3)
    data = without_length(wav(samples))
    server.replies = [lambda h: h.chunked([data[:30], data[30:101], data[101:]])]
    assert len(speak(engine).audio) == len(samples)


def test_pcm_is_read_at_the_rate_that_was_said(server: Seen) -> None:
    samples = tone()
    server.usual = ok(samples.tobytes())
    engine = set_up(server, response_format="pcm", pcm_rate=22050)
    assert engine.spec.sample_rate == 22050
    assert torch.equal(speak(engine).audio, torch.from_numpy(samples[:, 0] / np.float32(32768)))
    server.replies = [ok(samples.tobytes()[:-1])]
    assert "left over" in str(speak(engine).reason)


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_audio_under_another_name_is_audio(server: Seen, kind: str) -> None:
    """Some frameworks call every body text/html."""
    samples = tone()
    server.usual = ok(wav(samples), kind)
    assert len(speak(set_up(server)).audio) == len(samples)
    server.usual = ok(samples.tobytes(), kind)
    assert len(speak(set_up(server, response_format="pcm")).audio) == len(samples)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (wav(tone()), "a WAV instead of PCM"),
        (b"ID3" + bytes(501), "an MP3 instead of PCM"),
        (b"OggS" + bytes(500), "an Ogg file"),
        (b"fLaC" + bytes(500), "a FLAC file"),
        (b'{"error": "no such model here"}', 'text instead of audio: {"error": "no such model here"}'),
        (b"<html>not found, it seems</html>", "text instead of audio: <html>"),
    ],
)
def test_what_is_no_pcm_is_not_heard_as_pcm(server: Seen, body: bytes, said: str) -> None:
    server.usual = ok(tone().tobytes())
    engine = set_up(server, response_format="pcm")
    server.replies = [ok(body), ok(b"{<" + tone().tobytes())]
    speech = speak(engine)
    assert speech.status == "failed" and said in str(speech.reason)
    assert speak(engine).status == "ok", "samples may begin with these bytes"


def rewritten(place: int, form: str, value: int) -> bytes:
    """A WAV with another number in its header."""
    data = bytearray(wav(tone()))
    struct.pack_into(form, data, place, value)
    return bytes(data)


BAD: dict[str, tuple[Reply, str, str]] = {
    "error in json": (status(500, b'{"error": {"message": "no\\u001b[31m memory"}}'), "failed", r"no\x1b[31m memory"),
    "error in text": (status(500, b"it broke"), "failed", "it broke"),
    "fastapi's": (status(422, b'{"detail": "no such voice"}'), "failed", "no such voice"),
    "long": (status(500, b"x" * 5000), "failed", "xxx..."),
    "redirect": (status(307, b"", Location="http://example.com/v1"), "failed", "sends on to http://example.com/v1"),
    "json as audio": (ok(b'{"error": {"message": "no model"}}', "application/json"), "failed", "audio: no model"),
    "text as audio": (ok(b"no model is loaded", "text/plain; charset=utf-8"), "failed", "no model is loaded"),
    "text without a word": (ok(b'{"error": "no model"}'), "failed", 'text instead of audio: {"error": "no model"}'),
    "no channels": (ok(rewritten(22, "<H", 0)), "failed", "0 channels"),
    "no rate": (ok(rewritten(24, "<I", 0)), "failed", "0 Hz"),
    "a rate of no speech": (ok(rewritten(24, "<I", 4_000_000)), "failed", "4000000 Hz"),
    "garbage": (ok(b"\x00\x01garbage that is no audio at all" * 20), "failed", "not a WAV"),
    "empty": (ok(b""), "failed", "empty"),
    "no samples": (ok(wav(tone(0.0))), "failed", "no samples"),
    "header cut": (ok(wav(tone())[:20]), "failed", "within its header"),
    "cut by its own word": (ok(wav(tone())[:-100]), "failed", "cut short"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_is_a_status(server: Seen, name: str) -> None:
    engine = set_up(server)
    reply, wanted, said = BAD[name]
    server.replies = [reply]
    speech = speak(engine)
    assert speech.status == wanted and not len(speech.audio)
    assert said in str(speech.reason)
    assert str(speech.reason).isprintable() and len(str(speech.reason)) < 350
    assert speak(engine).status == "ok"  # and the engine goes on


def test_an_answer_that_ends_early_is_a_status(server: Seen) -> None:
    engine = set_up(server)
    data = wav(tone())

    def too_little(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:200])
        handler.close_connection = True

    server.replies = [too_little, lambda h: h.chunked([without_length(data)[:500]], end=False)]
    assert "200 of" in str(speak(engine).reason)
    assert "cut short" in str(speak(engine).reason)


def test_a_busy_server_is_asked_again(server: Seen) -> None:
    engine = set_up(server)
    server.replies = [status(429), status(503, Retry_After="0"), status(429)]
    speech = speak(engine)
    assert speech.status == "ok" and speech.details == {"retries": 3}


def test_waiting_has_an_end(server: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = set_up(server)
    asked = len(server.bodies)
    server.usual = status(429, b'{"error": {"message": "slow down"}}')
    assert "slow down" in str(speak(engine).reason)
    assert len(server.bodies) - asked == http_engine.RETRIES + 1
    server.usual = status(503, Retry_After="3600")
    asked = len(server.bodies)
    assert speak(engine).status == "timed_out"
    assert len(server.bodies) - asked == 1


def test_waits_as_long_as_the_server_asks_and_longer_each_time(server: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = set_up(server)
    monkeypatch.setattr(http_engine, "FIRST_WAIT_S", 2.0)
    waits: list[float] = []
    monkeypatch.setattr(engine._exchanges.stopped, "wait", waits.append)
    server.replies = [status(429), status(429), status(429, Retry_After="17")]
    assert speak(engine).status == "ok"
    assert waits == [2.0, 4.0, 17.0]


def test_a_slow_server_is_not_waited_for(server: Seen) -> None:
    engine = set_up(server, time_limit=0.3)
    release = threading.Event()

    def silent(handler: Handler) -> None:
        release.wait(20)

    def dripping(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not release.is_set():  # each byte would start a socket's own timeout anew
            handler.wfile.write(b"R")
            handler.wfile.flush()
            release.wait(0.05)

    server.replies = [silent, dripping]
    assert [speak(engine).status for _ in range(2)] == ["timed_out", "timed_out"]
    release.set()
    assert speak(engine).status == "ok"


def test_an_answer_cut_by_the_time_limit_is_no_clip(server: Seen) -> None:
    """A body that ends with the connection looks whole wherever it is cut."""
    engine = set_up(server, time_limit=0.5)
    data = without_length(wav(tone(1.0)))
    release = threading.Event()

    def slow(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(data[:20044])
        handler.wfile.flush()
        release.wait(20)

    server.replies = [slow, slow]
    speech = speak(engine)
    assert speech.status == "timed_out" and not len(speech.audio)
    with pytest.raises(StreamError, match=r"longer than 0\.5 s") as caught:
        list(engine.stream(Request("a", "hello", 0)))
    release.set()
    assert caught.value.status == "timed_out"


def test_a_server_that_is_gone_ends_the_run_and_blames_no_sentence() -> None:
    with speech_server() as seen:
        engines = [set_up(seen), set_up(seen, jobs=2)]
    for engine in engines:
        with pytest.raises(EngineGoneError, match=r"Nothing answers at .*start the server"):
            engine.synthesize([Request(name, "hello", 0) for name in "abc"])
        with pytest.raises(EngineGoneError, match="Nothing answers"):
            list(engine.stream(Request("a", "hello", 0)))


def test_a_line_that_breaks_may_hold_another_time(server: Seen) -> None:
    """Other failures are the sentence's for ever; a crash is tried again at the next start."""
    engine = set_up(server)

    def leaves(handler: Handler) -> None:
        handler.close_connection = True

    server.replies = [leaves, lambda h: h.chunked([wav(tone())[:500]], end=False)]
    assert [speak(engine).status for _ in range(2)] == ["crashed", "crashed"]


def test_several_at_once_keep_their_order(server: Seen) -> None:
    engine = set_up(server, jobs=4)
    together = threading.Barrier(3, timeout=20)

    def all_at_once(handler: Handler) -> None:
        together.wait()  # would break if they came one by one
        handler.whole(wav(tone(0.2)))

    server.replies = [all_at_once] * 3
    speeches = engine.synthesize([Request(str(n), f"text {n}", n) for n in range(3)])
    assert [speech.id for speech in speeches] == ["0", "1", "2"]
    assert {speech.status for speech in speeches} == {"ok"}
    seconds = [speech.seconds for speech in speeches]
    assert seconds[0] == seconds[1] == seconds[2]  # the batch's time, divided by length


def test_requests_that_need_no_question(server: Seen) -> None:
    engine = set_up(server)
    asked = len(server.bodies)
    requests = [
        Request("a", "  ", 0),
        Request("b", "x", 0, phonemes="x"),
        Request("c", "x", 0, voice=Voice("v", "d")),
        Request("d", "x", 0, options={"speed": "fast"}),
        Request("e", "x", 0, options={"speed": 100.0}),
    ]
    speeches = engine.synthesize(requests)
    assert [s.status for s in speeches] == ["empty_text", "failed", "bad_voice", "failed", "failed"]
    assert len(server.bodies) == asked


def test_a_stream_gives_audio_before_its_end(server: Seen) -> None:
    engine = set_up(server)
    assert isinstance(engine, StreamingEngine) and engine.spec.streaming
    samples = tone(0.4)
    data, first_seen = without_length(wav(samples)), threading.Event()

    def halves(handler: Handler) -> None:
        def pieces() -> Iterator[bytes]:
            yield data[:2001]
            assert first_seen.wait(20)  # the rest is only sent once the first chunk was heard
            yield data[2001:]

        handler.chunked(pieces())

    server.replies = [halves]
    stream = engine.stream(Request("a", "hello", 0))
    chunks = [next(stream)]
    first_seen.set()
    chunks += list(stream)
    assert len(chunks[0]) == (2001 - 44) // 2
    assert torch.equal(torch.cat(chunks), torch.from_numpy(samples[:, 0] / np.float32(32768)))


def test_a_stream_raises_what_a_batch_reports(server: Seen) -> None:
    engine = set_up(server)
    for reply, said in ((status(429), "429"), (ok(wav(tone())[:-10]), "cut short"), (ok(wav(tone(), 8000)), "8000 Hz")):
        server.replies = [reply]
        with pytest.raises(EvalkitError, match=said):
            list(engine.stream(Request("a", "hello", 0)))
    with pytest.raises(EvalkitError, match="nothing to read"):
        list(engine.stream(Request("a", "", 0)))


def test_samples_end_where_the_header_says(server: Seen) -> None:
    engine = set_up(server)
    data = wav(tone(0.1)) + b"LIST" + struct.pack("<I", 4) + b"INFO"
    server.replies = [ok(data)]
    assert len(speak(engine).audio) == 2400


def test_the_key_stays_with_the_server(server: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    engine = set_up(server)
    speak(engine)
    assert server.headers[-1]["Authorization"] == "Bearer sk-very-secret"
    server.replies = [status(401, b'{"error": {"message": "bad key sk-very-secret"}}')]
    speech = speak(engine)
    assert "bad key ***" in str(speech.reason)
    assert "secret" not in repr(engine._server) + repr(engine.identity)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very\nsecret")
    with pytest.raises(EvalkitError, match="OPENAI_API_KEY") as caught:
        set_up(server)
    assert "secret" not in str(caught.value)


def test_no_key_goes_in_clear_over_a_net(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    keys = {
        address: parse_address(address).key
        for address in ("http://192.168.1.5:8000", "http://example.com", "https://example.com", "http://[::1]:80")
    }
    assert list(keys.values()) == ["", "", "sk-very-secret", "sk-very-secret"]
    assert parse_address("http://127.0.0.1:8000/").address == "http://127.0.0.1:8000/v1/audio/speech"
    assert parse_address("https://api.openai.com/v1").address == "https://api.openai.com:443/v1/audio/speech"
    assert parse_address("http://[::1]:80").address == "http://[::1]:80/v1/audio/speech"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "Say where the server is"),
        ("ftp://x", "no http or https"),
        ("127.0.0.1:8000", "no http or https"),
        ("http://me:pw@x", "holds a user"),
        ("http://x/?key=1", "more than a server and a path"),
        ("http://x:port", "no address"),
        ("http://127.0.0.1:1", "Nothing answers"),
    ],
)
def test_an_address_that_cannot_be_used(address: str, said: str) -> None:
    with pytest.raises(EvalkitError, match=said) as caught:
        Http().set_up(Setup(options={"address": address}))
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("extra", ["{", "[1]", '{"input": "x"}', "1" * 3])
def test_extra_must_be_an_object_without_our_fields(server: Seen, extra: str) -> None:
    with pytest.raises(EvalkitError, match="option extra"):
        set_up(server, extra=extra)


def test_a_server_that_fails_at_once_is_refused(server: Seen) -> None:
    server.usual = status(404, b"not here")
    with pytest.raises(EvalkitError, match="404 Not Found: not here"):
        set_up(server)


def test_stop_ends_what_is_under_way(server: Seen) -> None:
    engine = set_up(server, jobs=2)
    asked, release = threading.Semaphore(0), threading.Event()

    def silent(handler: Handler) -> None:
        asked.release()
        release.wait(20)

    server.usual = silent
    found: list[Speech] = []
    thread = threading.Thread(target=lambda: found.extend(engine.synthesize([Request(n, "x", 0) for n in "ab"])))
    thread.start()
    assert asked.acquire(timeout=20) and asked.acquire(timeout=20)
    started = time.monotonic()
    engine.close()
    thread.join(20)
    release.set()
    assert not thread.is_alive() and time.monotonic() - started < 15
    assert [speech.status for speech in found] == ["crashed", "crashed"]


def test_takes_no_weights_and_no_clip(server: Seen, tmp_path: Any) -> None:
    engine = set_up(server)
    assert engine.weights() == {} and Http.spec.weights == "none"
    with pytest.raises(EvalkitError, match="takes no checkpoint"):
        engine.load({})
    with pytest.raises(EvalkitError, match="--set voice="):
        engine.prepare_voice(tmp_path, None)
    with pytest.raises(EvalkitError, match="set_up"):
        Http().synthesize([])
