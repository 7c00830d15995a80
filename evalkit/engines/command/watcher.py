"""A small process that outlives this one, to end the programs that a kill -9 leaves behind."""

from __future__ import annotations

import os
import subprocess
import threading
import weakref
from contextlib import suppress

# Told "+ GROUP" and "- GROUP" on stdin; when that is closed, it kills the groups that are left.
_WATCH = """
groups=
while read -r sign group; do
    rest=
    for other in $groups; do [ "$other" = "$group" ] || rest="$rest $other"; done
    groups=$rest
    [ "$sign" = - ] || groups="$groups $group"
done
for group in $groups; do kill -KILL "-$group" 2>/dev/null; done
"""


class Watcher:
    """A shell in a session of its own, where neither Ctrl-C nor a hangup reaches it. It ends with this object."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shell: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Twice does no harm."""
        with self._lock:
            if self._shell is None:
                self._shell = subprocess.Popen(
                    ["/bin/sh", "-c", _WATCH],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    start_new_session=True,
                )
                weakref.finalize(self, _end, self._shell)

    def add(self, group: int) -> None:
        """Watch over a process group."""
        self._tell(f"+ {group}\n")

    def remove(self, group: int) -> None:
        self._tell(f"- {group}\n")

    def _tell(self, line: str) -> None:
        if self._shell is not None and self._shell.stdin is not None:
            with suppress(OSError):  # somebody ended the shell: then nobody watches
                os.write(self._shell.stdin.fileno(), line.encode())


def _end(shell: subprocess.Popen[bytes]) -> None:
    if shell.stdin is not None:
        shell.stdin.close()
    shell.wait()
