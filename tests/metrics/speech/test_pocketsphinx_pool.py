"""Worker processes: answers in order, a death costs one task, none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from metrics.pocketsphinx_decoder import to_pcm
from metrics.pocketsphinx_judge import Failure, Judge, Judgement, Part
from metrics.pocketsphinx_pool import PocketsphinxPool

pytest.importorskip("pocketsphinx")

QUIET = to_pcm(np.zeros(1600, dtype=np.float32))
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def pool() -> Iterator[PocketsphinxPool]:
    pool = PocketsphinxPool(2)
    yield pool
    pool.close()


def word(text: str) -> Judge:
    return Judge(QUIET, (Part(text),))


def workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "pocketsphinx_worker" in " ".join(child.cmdline())]


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_answers_come_in_the_order_of_the_tasks(pool: PocketsphinxPool) -> None:
    names = [f"zzyx{letter}" for letter in "abcdefghi"]
    answers = pool.run([word(name) for name in names])
    assert answers == [Failure(f"the judge has no pronunciation for '{name}'") for name in names]
    assert pool.run([]) == []


def test_a_worker_that_dies_costs_one_task_and_is_replaced(pool: PocketsphinxPool) -> None:
    pool.run([word("one"), word("two")])
    before = workers()
    assert len(before) == 2
    for process in before:
        process.suspend()
    killer = subprocess.Popen([sys.executable, "-c", f"import os, time; time.sleep(1); os.kill({before[0].pid}, 9); "
                               f"os.kill({before[1].pid}, {int(signal.SIGCONT)})"])  # fmt: skip
    answers = pool.run([word("one"), word("two"), word("three")])
    killer.wait()
    died = [answer for answer in answers if isinstance(answer, Failure)]
    assert [answer.reason for answer in died] == ["the judge's process died on this clip with status -9"]
    assert sum(isinstance(answer, Judgement) for answer in answers) == 2
    assert len(workers()) == 2 and before[0].pid not in [process.pid for process in workers()]


def test_a_worker_that_died_between_batches_is_replaced(pool: PocketsphinxPool) -> None:
    pool.run([word("one"), word("two")])
    for process in workers():
        process.kill()
        process.wait()
    assert isinstance(pool.run([word("one")])[0], Judgement)


def test_closing_ends_the_workers_and_a_closed_pool_starts_anew(pool: PocketsphinxPool) -> None:
    pool.run([word("one"), word("two")])
    before = workers()
    pool.close()
    assert all(gone(process) for process in before) and not workers()
    assert isinstance(pool.run([word("one")])[0], Judgement)


def test_a_pool_that_is_forgotten_ends_its_workers() -> None:
    pool = PocketsphinxPool(1)
    pool.run([word("one")])
    before = workers()
    assert before
    del pool
    assert all(gone(process) for process in before)


def test_at_least_one_worker_is_needed() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        PocketsphinxPool(0)


PARENT = """
import sys, time
import numpy as np
from metrics.pocketsphinx_decoder import to_pcm
from metrics.pocketsphinx_judge import Judge, Part, Transcribe
from metrics.pocketsphinx_pool import PocketsphinxPool
import psutil
pool = PocketsphinxPool(2)
pcm = to_pcm(np.zeros(1600, dtype=np.float32))
pool.run([Judge(pcm, (Part("one"),))] * 2)
print(*[child.pid for child in psutil.Process().children()], flush=True)
noise = (0.1 * np.random.default_rng(0).standard_normal(16000 * 3)).astype(np.float32)
while {busy}:
    pool.run([Transcribe(to_pcm(noise))] * 4)
time.sleep(60)
"""


@pytest.mark.parametrize(("busy", "ending"), [(False, signal.SIGKILL), (True, signal.SIGKILL), (True, signal.SIGINT)])
def test_no_worker_outlives_its_parent(busy: bool, ending: int, tmp_path: Path) -> None:
    # A folder of the same name where the program runs must not be taken for the package.
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONSAFEPATH": "1"}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(busy=busy)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert parent.stdout is not None
    children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
    assert len(children) == 2
    time.sleep(0.5)
    parent.send_signal(ending)
    _, errors = parent.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while not all(gone(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert all(gone(child) for child in children)
    if ending == signal.SIGINT:
        assert "KeyboardInterrupt" in errors and "EOFError" not in errors
