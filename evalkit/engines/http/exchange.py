"""One question and its answer over HTTP, with an end to the waiting."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from evalkit.checkpoints.safe_keys import shown
from evalkit.engines.audio.reading import LARGEST
from evalkit.engines.base import EngineGoneError, Status
from evalkit.engines.http.decoding import HEAD, SAID, is_text
from evalkit.engines.http.server import Server

BUSY = (429, 503)
ERROR_BYTES = 2**16
PIECE = 2**16


class AnswerError(Exception):
    """Why there is no audio. retry_after: seconds the server asks to wait, 0 if it only says that it is busy."""

    def __init__(self, status: Status, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.status: Status = status
        self.reason = reason
        self.retry_after = retry_after


@dataclass
class Answer:
    """A good answer whose body is still to be read. started: time.perf_counter() when the question was sent."""

    response: http.client.HTTPResponse
    started: float

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes. Raises AnswerError if it is cut short or too large."""
        announced, got = self.response.length, 0
        while announced is None or got < announced:
            piece = self.response.read1(PIECE)
            if not piece:
                break
            got += len(piece)
            if got > LARGEST:
                raise AnswerError("failed", f"The answer has more than {LARGEST} bytes.")
            yield piece
        if announced is not None and got < announced:
            raise AnswerError("crashed", f"The answer was cut short: {got} of {announced} bytes came.")


class Exchanges:
    """Questions that are under way. Safe to use from several threads; `stop` ends them all from any thread."""

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.stopped = threading.Event()

    @contextmanager
    def post(self, server: Server, body: bytes, time_limit: float) -> Iterator[Answer]:
        """Send and yield the answer; all of it, reading included, has time_limit seconds.

        Redirections are not followed and proxies not used: the text and the key go to this server alone. Raises
        AnswerError for everything that goes wrong, inside the `with` too, with the status "crashed" where the line
        broke, and EngineGoneError where nobody is there to be asked.
        """
        expired = threading.Event()
        started = time.perf_counter()
        kind = http.client.HTTPSConnection if server.tls else http.client.HTTPConnection
        connection = kind(server.host, server.port, timeout=time_limit)
        try:
            with self._connected(server, connection, expired, time_limit, started):
                connection.request("POST", server.path, body, _headers(server))
                with connection.getresponse() as response:
                    if response.status != 200:
                        raise _refusal(response, server)
                    _check_kind(response, server)
                    yield Answer(response, started)
            if expired.is_set():  # a body that ends with the line ends where the line was cut, and looks whole
                raise TimeoutError
        except (OSError, http.client.HTTPException, ValueError) as error:
            if expired.is_set() or isinstance(error, TimeoutError):
                raise AnswerError("timed_out", f"The server took longer than {time_limit:g} s.") from error
            lost = isinstance(error, OSError | http.client.IncompleteRead)
            raise AnswerError("crashed" if lost else "failed", _broken(error, server)) from error
        except AnswerError as error:
            if expired.is_set():
                raise AnswerError("timed_out", f"The server took longer than {time_limit:g} s.") from error
            raise
        finally:
            connection.close()

    @contextmanager
    def _connected(
        self,
        server: Server,
        connection: http.client.HTTPConnection,
        expired: threading.Event,
        time_limit: float,
        started: float,
    ) -> Iterator[None]:
        """A timer cuts the line: a server that sends a byte now and then would never meet a socket's timeout."""
        try:
            connection.connect()
        except OSError as error:
            raise EngineGoneError(
                f"Nothing answers at {server.address} ({shown(error) or type(error).__name__}): start the server, or "
                "check the address, and give the same command again."
            ) from error
        line: socket.socket = connection.sock

        def cut() -> None:
            expired.set()
            _shut(line)

        timer = threading.Timer(max(0.0, started + time_limit - time.perf_counter()), cut)
        timer.daemon = True
        with self._lock:
            self._open.add(line)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._lock:
                self._open.discard(line)

    def stop(self) -> None:
        self.stopped.set()
        with self._lock:
            for line in self._open:
                _shut(line)


def _shut(line: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(line, socket.SHUT_RDWR)  # not the TLS object's own, which another thread is reading from


def _headers(server: Server) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "audio/*", "Connection": "close", "User-Agent": "evalkit"}
    return headers | ({"Authorization": f"Bearer {server.key}"} if server.key else {})


def _broken(error: Exception, server: Server) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return "The answer was cut short."
    return f"The connection to {server.address} broke ({shown(error) or type(error).__name__})."


def _refusal(response: http.client.HTTPResponse, server: Server) -> AnswerError:
    if 300 <= response.status < 400:
        place = shown(response.getheader("Location", "nowhere"))
        return AnswerError(
            "failed", f"The server sends on to {place}, which is not followed: give that address itself."
        )
    reason = f"The server answered {response.status} {shown(response.reason)}: {_said(response, server)}"
    if response.status in BUSY:
        return AnswerError("timed_out", reason, _retry_after(response.getheader("Retry-After")))
    return AnswerError("failed", reason)


def _check_kind(response: http.client.HTTPResponse, server: Server) -> None:
    """Raises AnswerError for a message that a server sends as if all were well.

    What is called text and does not look like it is taken for audio: some frameworks call every body text/html.
    """
    kind = response.getheader("Content-Type", "").partition(";")[0].strip().lower()
    is_json = kind == "application/json" or kind.endswith("+json")
    if is_json or (kind.startswith("text/") and is_text(response.peek(HEAD))):
        raise AnswerError("failed", f"The server sent {shown(kind)} instead of audio: {_said(response, server)}")


def _said(response: http.client.HTTPResponse, server: Server) -> str:
    """The message in the body, fit for a sentence and without the key."""
    said = _message(response.read(ERROR_BYTES))
    if server.key:
        said = said.replace(server.key, "***")
    return shown(said, SAID) or "no message"


def _message(body: bytes) -> str:
    """What an error's body says, in the forms of OpenAI, FastAPI and plain text."""
    text = body.decode("utf-8", "replace").strip()
    try:
        said = json.loads(text)
        for _ in range(2):
            if isinstance(said, dict):
                said = next((said[key] for key in ("error", "message", "detail") if key in said), text)
    except (ValueError, RecursionError):
        return text
    return said if isinstance(said, str) else text


def _retry_after(header: str | None) -> float:
    """Seconds; the header has a number of them or a date (RFC 9110, 10.2.3)."""
    if not header:
        return 0.0
    with suppress(ValueError):
        return max(0.0, float(header))
    with suppress(TypeError, ValueError):
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    return 0.0
