"""Whose CPU time it was, from a /proc made for the test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from evalkit.pipeline.machine import Reading, conditions, others_cpu, read_machine, share_of_others, usable_cores

TICKS = os.sysconf("SC_CLK_TCK")


def process(proc: Path, pid: int, parent: int, *seconds: float, name: str = "python") -> None:
    """seconds: user, system, and of waited-for children user, system."""
    folder = proc / str(pid)
    folder.mkdir()
    ticks = " ".join(str(round(one * TICKS)) for one in seconds)
    (folder / "stat").write_text(f"{pid} ({name}) S {parent} 1 1 0 -1 4194304 1 2 3 4 {ticks} 20 0 1 0 100 1 1\n")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """100 s user, 1 nice, 20 system, 999 idle, 77 waiting for disks, 2 irq, 3 softirq, 4 stolen, 50 of guests."""
    seconds = (100, 1, 20, 999, 77, 2, 3, 4, 50, 0)
    cores = "cpu0 1 1 1 1 1 1 1 1 1 1\n"
    (tmp_path / "stat").write_text(f"cpu  {' '.join(str(one * TICKS) for one in seconds)}\n{cores}btime 1\n")
    (tmp_path / "meminfo").write_text("")
    return tmp_path


def test_all_but_this_process_its_children_and_theirs(proc: Path) -> None:
    me = os.getpid()
    process(proc, me, 1, 10, 1, 0.5, 0.25)
    process(proc, me + 1, me, 20, 2, 0, 0)
    process(proc, me + 2, me + 1, 5, 0, 0, 0)
    process(proc, me + 3, 1, 40, 0, 0, 0)
    assert others_cpu(proc) == pytest.approx(130 - 11.75 - 22 - 5)


def test_a_child_is_found_whatever_its_number_and_its_name(proc: Path) -> None:
    process(proc, 3, 2, 5, 0, 0, 0, name="a) S 1 (b")
    process(proc, 2, os.getpid(), 20, 0, 0, 0, name="x (y) z")
    process(proc, os.getpid(), 1, 10, 0, 0, 0)
    assert others_cpu(proc) == pytest.approx(130 - 35)


def test_a_process_that_just_ended_is_left_out(proc: Path) -> None:
    process(proc, os.getpid(), 1, 10, 0, 0, 0)
    (proc / "99").mkdir()
    assert others_cpu(proc) == pytest.approx(120)


def test_no_proc_is_not_known(tmp_path: Path) -> None:
    assert others_cpu(tmp_path / "none") is None
    (tmp_path / "stat").write_text("intr 1 2 3")
    assert others_cpu(tmp_path) is None


def test_share_is_of_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert share_of_others(Reading(10, 100, 1), Reading(12, 102, 1)) == pytest.approx(0.25)
    assert share_of_others(Reading(10, None, 1), Reading(12, 102, 1)) is None
    assert share_of_others(Reading(10, 100, 1), Reading(10, 102, 1)) is None


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="there is no /proc on this system")
def test_this_machine_can_be_read() -> None:
    reading = read_machine()
    assert reading.others is not None and reading.others > 0
    assert reading.load is not None and reading.load >= 0


def test_conditions_say_what_a_timing_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = conditions("cpu")
    assert found["threads"]["torch"] == torch.get_num_threads() and found["threads"]["OMP_NUM_THREADS"] == "3"
    assert found["cpu"] and found["cores"] >= 1 and found["device"] == "cpu"


def test_cores_of_a_container_are_its_quota(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    allowed = usable_cores(quota)
    quota.write_text("50000 100000\n")
    assert usable_cores(quota) == 0.5
    quota.write_text("max 100000\n")
    assert usable_cores(quota) == allowed
    quota.write_text("100000000 100000\n")
    assert usable_cores(quota) == allowed, "a quota beyond the cores gives no more of them"
