"""How long `evalkit --help` takes, as a multiple of starting Python and doing nothing.

    .venv/bin/python benchmarks/startup.py

The two commands alternate, so that a busy machine slows both; the ratio of the medians is the result.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 15
HELP = [str(Path(sys.executable).with_name("evalkit")), "--help"]
NOTHING = [sys.executable, "-c", "pass"]


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    pairs = [(seconds(HELP), seconds(NOTHING)) for _ in range(ROUNDS)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"evalkit --help / python -c pass: {ours / theirs:.1f} (medians of {ROUNDS} alternating starts)")
    print(f"under one second: {'yes' if ours < 1 else 'no'}")


if __name__ == "__main__":
    main()
