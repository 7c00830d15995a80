"""The process that a worker runs in: started, asked, and looked at when it dies."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from evalkit.engines.framing import Channel, ChannelClosedError
from evalkit.engines.source import source_folder

PIPE_BYTES = 2**20  # the most that Linux gives a user who is not root
TAIL = 300  # characters of what a worker last said
LOOKED_AT = 2**16  # bytes of its log; a list of extension modules has some thousand


class WorkerDiedError(Exception):
    """The process is gone. signal_number: what ended it; None if it ended by itself."""

    def __init__(self, reason: str, signal_number: int | None = None) -> None:
        super().__init__(reason)
        self.signal_number = signal_number


class WorkerTooSlowError(WorkerDiedError):
    """It did not answer in time, and was killed."""


class WorkerProcess:
    """A running worker. What it prints goes to a file, whose end explains a crash.

    python: the interpreter; target: "module:Class" of the engine. Raises WorkerDiedError if it cannot start.
    """

    def __init__(self, python: Path, target: str, device: str) -> None:
        self._held = ExitStack()
        source = self._held.enter_context(source_folder(target))
        log = tempfile.TemporaryFile()  # noqa: SIM115
        self._log = self._held.enter_context(log)
        to_worker, from_caller = os.pipe()
        to_caller, from_worker = os.pipe()
        _widen(from_worker)
        self._channel = Channel(to_caller, from_caller)
        self._held.callback(self._channel.close)
        self._asked = 0
        arguments = [target, device, str(to_worker), str(from_worker)]
        try:
            self._process = subprocess.Popen(
                [str(python), "-P", "-m", "evalkit.engines.worker", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                pass_fds=(to_worker, from_worker),
                env=_variables(source),
            )
        except OSError as error:
            self._held.close()
            raise WorkerDiedError(f"{python} does not start: {error.strerror}") from error
        finally:  # only the worker holds its ends, so that either side sees when the other one is gone
            os.close(to_worker)
            os.close(from_worker)

    def send(self, message: Mapping[str, Any]) -> None:
        """Raises WorkerDiedError."""
        self._asked += 1
        try:
            self._channel.send({**message, "id": self._asked})
        except ChannelClosedError as error:
            raise self._obituary() from error

    def receive(self, limit_s: float, since: float | None = None) -> tuple[dict[str, Any], list[Tensor]]:
        """The next reply to the last message. Raises WorkerDiedError, and WorkerTooSlowError after `limit_s` seconds,
        which may have begun earlier: at `since`, by time.monotonic().

        What is left of a message that nobody waited for, such as a stream that was not heard to its end, is dropped.
        """
        deadline = (time.monotonic() if since is None else since) + limit_s
        try:
            while True:
                left = deadline - time.monotonic()
                if left <= 0:  # also where the next reply is there already, as in a stream without end
                    raise TimeoutError
                header, clips = self._channel.receive(left)
                if header.pop("id") == self._asked:
                    return header, clips
        except TimeoutError as error:
            self._process.kill()
            what = "no answer" if since is None else "no whole answer"
            raise WorkerTooSlowError(f"{what} after {limit_s:.0f} seconds") from error
        except ChannelClosedError as error:
            raise self._obituary() from error

    def stop(self) -> None:
        """End the process, at once if it is busy. Twice does no harm."""
        self._process.kill()
        self._process.wait()
        self._held.close()

    def _obituary(self) -> WorkerDiedError:
        try:
            status = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        said = self._last_words()
        if status >= 0:
            return WorkerDiedError(f"exit status {status}{said}")
        name = signal.Signals(-status).name
        hint = ", as the system does when memory runs out" if -status == signal.SIGKILL else ""
        return WorkerDiedError(f"{name}{hint}{said}", -status)

    def _last_words(self) -> str:
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - LOOKED_AT))
        said = last_words(self._log.read().decode(errors="replace"))
        return f": {ascii(said)[1:-1]}" if said else ""


def last_words(log: str) -> str:
    """The last line that says something, at most TAIL characters; "" if there is none.

    Of what faulthandler writes, that is "Fatal Python error: ...", behind the line before it, in which a library may
    have said why; the stack and the list of extension modules after it say nothing to a user.
    """
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    fatal = next((n for n in reversed(range(len(lines))) if lines[n].startswith("Fatal Python error")), None)
    if fatal is not None:
        return " / ".join(line[-TAIL // 2 :] for line in lines[max(0, fatal - 1) : fatal + 1])
    return lines[-1][-TAIL:] if lines else ""


def _widen(pipe: int) -> None:
    """Room for seconds of audio at once, where the system allows it: the two ends then wait less for each other."""
    with suppress(OSError, AttributeError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _variables(source: Path) -> dict[str, str]:
    """The caller's environment variables, less what points at its own packages; a worker never downloads."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV")}
    return {
        **kept,
        "PYTHONPATH": str(source),
        "PYTHONNOUSERSITE": "1",
        "PYTHONFAULTHANDLER": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
