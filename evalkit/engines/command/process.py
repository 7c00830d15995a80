"""Programs that are started for one sentence each, and end when they should."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from evalkit.engines.command.watcher import Watcher


@dataclass(frozen=True)
class Finished:
    """How a program ended. exit_status: negative for a signal; seconds: wall time from its start to its end."""

    exit_status: int
    seconds: float
    timed_out: bool


class Programs:
    """Programs that run now. Safe to use from several threads; `stop` ends them all from any thread.

    A `Watcher` ends what a kill -9 of this process would leave.
    """

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stops = 0
        self._watcher = Watcher()

    def run(
        self, argv: Sequence[str], folder: Path, stdin: Path | None, stdout: Path, stderr: Path, time_limit: float
    ) -> Finished:
        """Run in `folder`, in a process group of its own, for at most time_limit seconds.

        Input and output are files: a program that leaves a child behind cannot hold a pipe open. Whatever is left of
        the group is killed at the end, also when Ctrl-C ends the wait. Raises OSError if it does not start.
        """
        with ExitStack() as files:
            given = files.enter_context(stdin.open("rb")) if stdin else subprocess.DEVNULL
            out, err = (files.enter_context(path.open("wb")) for path in (stdout, stderr))
            stops = self._stops
            self._watcher.start()
            started = time.perf_counter()
            process = subprocess.Popen(argv, cwd=folder, stdin=given, stdout=out, stderr=err, start_new_session=True)
            expired = threading.Event()
            try:
                with self._lock:
                    self._running.add(process)
                    self._watcher.add(process.pid)
                    if self._stops != stops:  # it was being started meanwhile, and so nobody saw it
                        _kill(process)
                # A wait with a limit would look only twenty times a second, and that would be in every timing.
                timer = threading.Timer(time_limit, self._expire, (process, expired))
                timer.daemon = True
                timer.start()
                try:
                    status = process.wait()
                finally:
                    timer.cancel()
                return Finished(status, time.perf_counter() - started, expired.is_set())
            finally:
                _kill(process)
                process.wait()
                with self._lock:
                    self._running.discard(process)
                    self._watcher.remove(process.pid)

    def stop(self) -> None:
        with self._lock:
            self._stops += 1
            for process in self._running:
                _kill(process)

    def _expire(self, process: subprocess.Popen[bytes], expired: threading.Event) -> None:
        if process.returncode is None:
            expired.set()
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The program and its children. The group keeps the program's id for as long as any of them lives."""
    with suppress(ProcessLookupError, PermissionError):  # nobody is left (macOS says it the second way)
        os.killpg(process.pid, signal.SIGKILL)
