"""The history of `evalkit nightly`: 10,000 runs with 30 columns each, 300,000 rows.

    .venv/bin/python benchmarks/history.py [--runs 10000] [--columns 30] [--rounds 5]

Prints how long the index's data takes (the one query, best and median of the rounds, each on a fresh connection), how
long a night's rows take to be put in, and how large the file is. There is no reference tool to stand beside: the bound
is two seconds, on the machine that the last line describes.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from evalkit.nightly.history import History
from evalkit.nightly.nights import Night

BOUND_S = 2.0
MODELS = 20
START = datetime(2020, 1, 1, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--columns", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    nights = asked.runs // MODELS
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder))
        rows = history.rebuild(night(number, asked.columns) for number in range(nights))
        queried = [seconds(history.index) for _ in range(asked.rounds)]
        before = processor_seconds()
        history.index()
        processor = processor_seconds() - before
        added = seconds(lambda: history.replace_night(night(nights, asked.columns)))
        size = history.path.stat().st_size
    best, median = min(queried), statistics.median(queried)
    print(f"{nights * MODELS} runs, {nights} nights, {rows} rows, {size / 1e6:.1f} MB")
    print(f"index: {best:.2f} s (best of {asked.rounds}), {median:.2f} s (median); bound {BOUND_S:g} s")
    print(f"index: {processor:.2f} s of processor time")
    print(f"a night put in: {added:.2f} s")
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}, {platform.machine()}, Python {platform.python_version()}")


def night(number: int, columns: int) -> Night:
    figures = {
        f"column_{place}": {
            **{"unit": "", "better": "higher", "metric": "m", "n": 60, "passport": "a" if number < 100 else "b"},
            "mean": number / 1000 + place,
            "ci95": [place - 1.0, place + 1.0],
        }
        for place in range(columns)
    }
    jobs = [
        {
            **{"key": f"model-{model}", "label": f"model {model}", "suite": "smoke", "engine": "tinytts"},
            **{"state": "done", "run": f"run-{number}-{model}", "verdict": "pass", "fingerprint": f"{number:064d}"},
            "coverage": {"share": 1.0},
            "columns": figures,
        }
        for model in range(MODELS)
    ]
    return {"night": f"n{number}", "started": (START + timedelta(days=number)).isoformat(), "jobs": jobs}


def seconds(work: object) -> float:
    began = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - began


def processor_seconds() -> float:
    """Of this process, all threads together: what does not depend on who else uses the machine."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
