"""A speech server on 127.0.0.1 that answers as a test tells it to."""

from __future__ import annotations

import io
import json
import struct
import threading
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

Reply = Callable[["Handler"], None]


def tone(seconds: float = 0.25, rate: int = 24000, channels: int = 1, hertz: float = 220.0) -> np.ndarray:
    """int16 [samples, channels]; the channels differ."""
    time = np.arange(int(seconds * rate)) / rate
    samples = [0.3 * np.sin(2 * np.pi * hertz * (n + 1) * time) for n in range(channels)]
    return np.round(np.stack(samples, axis=1) * 32767).astype("<i2")


def wav(samples: np.ndarray, rate: int = 24000) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((samples.shape[1], 2, rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def without_length(data: bytes) -> bytes:
    """The same WAV as a server writes it that does not know the length yet."""
    return data[:4] + struct.pack("<I", 0xFFFFFFFF) + data[8:40] + struct.pack("<I", 0xFFFFFFFF) + data[44:]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        seen = self.server.seen
        with seen.lock:
            seen.paths.append(self.path)
            seen.headers.append(dict(self.headers))
            seen.bodies.append(json.loads(body))
            reply = seen.replies.pop(0) if seen.replies else seen.usual
        reply(self)

    def log_message(self, *arguments: Any) -> None:
        pass

    def whole(self, data: bytes, status: int = 200, kind: str = "audio/wav", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def chunked(self, pieces: Iterator[bytes] | list[bytes], end: bool = True) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.flush()
        if end:
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True


def ok(data: bytes, kind: str = "audio/wav") -> Reply:
    return lambda handler: handler.whole(data, kind=kind)


def status(code: int, data: bytes = b"{}", **headers: str) -> Reply:
    return lambda handler: handler.whole(data, code, "application/json", **headers)


def leave(handler: Handler) -> None:
    """Give no answer, and take no more questions."""
    handler.server.shutdown()  # while it waits for questions, a closed socket still takes them
    handler.server.server_close()
    handler.close_connection = True


@dataclass
class Seen:
    """replies: for the next questions, one each; usual: for all that come after them."""

    usual: Reply
    replies: list[Reply] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    address: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    seen: Seen

    def handle_error(self, *arguments: Any) -> None:
        pass  # the client may leave in the middle of an answer


@contextmanager
def speech_server(port: int = 0) -> Iterator[Seen]:
    server = _Server(("127.0.0.1", port), Handler)
    server.seen = Seen(ok(wav(tone())), address=f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.seen
    finally:
        server.shutdown()
        server.server_close()
