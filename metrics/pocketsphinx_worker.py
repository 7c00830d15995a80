"""The process behind `metrics.pocketsphinx_pool`: reads tasks from a socket and answers them until it is closed.

The socket closes when the parent ends in whatever way, also by SIGKILL, so a worker never outlives it for longer than
the task in hand.
"""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import Any

from metrics.pocketsphinx_judge import Worker


def serve(descriptor: int) -> None:
    """Answer the tasks that arrive on an inherited socket, in order."""
    worker = Worker()
    parent: Connection[Any, Any] = Connection(descriptor)
    try:
        parent.send("ready")
        while True:
            parent.send(worker.answer(parent.recv()))
    except (EOFError, ConnectionError):
        return
