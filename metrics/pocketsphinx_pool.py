"""A small pool of pocketsphinx processes: a decoder holds the interpreter lock, so threads would not help."""

from __future__ import annotations

import os
import subprocess
import sys
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from metrics.pocketsphinx_judge import Answer, Failure, Task

MOST_WORKERS = 4
_ROOT = Path(__file__).resolve().parents[1]
# -P keeps the working directory off the module path: a folder named "metrics" there must not stand in for this one.
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); from metrics.pocketsphinx_worker import serve; serve(int(sys.argv[2]))"
)


@dataclass(frozen=True)
class _Worker:
    process: subprocess.Popen[bytes]
    socket: Connection[Any, Any]


class PocketsphinxPool:
    """Worker processes, started at the first tasks. They end with `close`, with this object, or with this process.

    A new interpreter is started rather than forked: it needs no `__main__` guard in the caller's script, and inherits
    neither its threads nor its memory. Ctrl-C reaches the caller only.
    """

    def __init__(self, workers: int | None = None) -> None:
        """workers: how many processes, by default one per core and at most 4.

        Raises ValueError if workers is less than 1.
        """
        if workers is not None and workers < 1:
            raise ValueError(f"The pocketsphinx judge needs at least 1 worker process and was given {workers}.")
        self._limit = workers or min(os.cpu_count() or 1, MOST_WORKERS)
        self._workers: list[_Worker] = []
        weakref.finalize(self, _stop, self._workers)

    def run(self, tasks: Sequence[Task]) -> list[Answer]:
        """One answer per task, in the tasks' order. A worker that dies on a task fails that task only.

        Raises RuntimeError if a worker cannot be started.
        """
        try:
            return self._run(tasks)
        except BaseException:
            self.close()  # answers that nobody waits for any more would be taken for those of the next tasks
            raise

    def close(self) -> None:
        """End the workers; the next `run` starts new ones."""
        _stop(self._workers)

    def _run(self, tasks: Sequence[Task]) -> list[Answer]:
        self._workers[:] = [worker for worker in self._workers if worker.process.poll() is None]
        answers: dict[int, Answer] = {}
        waiting = list(enumerate(tasks))[::-1]
        idle = self._grown(min(self._limit, len(tasks)))
        working: dict[Connection[Any, Any], tuple[_Worker, int]] = {}
        while waiting or working:
            while waiting and idle:
                worker = idle.pop()
                number, task = waiting.pop()
                worker.socket.send(task)
                working[worker.socket] = worker, number
            ready = wait(list(working))
            for socket in [socket for socket in working if socket in ready]:
                worker, number = working.pop(socket)
                answers[number], survivor = self._answer(worker)
                idle.append(survivor)
        return [answers[number] for number in range(len(tasks))]

    def _answer(self, worker: _Worker) -> tuple[Answer, _Worker]:
        """What a worker answers, and the worker; or a failure, and a new worker in the place of one that died."""
        try:
            return worker.socket.recv(), worker
        except (EOFError, ConnectionError):
            self._workers.remove(worker)
            status = worker.process.wait()
            self._grown(len(self._workers) + 1)
            return Failure(f"the judge's process died on this clip with status {status}"), self._workers[-1]

    def _grown(self, count: int) -> list[_Worker]:
        """The first `count` workers, new ones started where there are fewer."""
        new = [_start() for _ in range(count - len(self._workers))]
        self._workers += new
        for worker in new:
            try:
                worker.socket.recv()
            except (EOFError, ConnectionError) as error:
                raise RuntimeError(
                    f"A pocketsphinx process ended at its start with status {worker.process.wait()}; "
                    "its message stands above."
                ) from error
        return self._workers[:count]


def _start() -> _Worker:
    ours, theirs = Pipe()
    command = [sys.executable, "-P", "-c", _PROGRAM, str(_ROOT), str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], start_new_session=True, stdin=subprocess.DEVNULL)
    theirs.close()
    return _Worker(process, ours)


def _stop(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.socket.close()
    while workers:
        process = workers.pop().process
        process.kill()
        process.wait()
