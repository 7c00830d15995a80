"""What a timing depends on beside the code: processor, threads, and who else is using them."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

PROC = Path("/proc")
QUOTA = Path("/sys/fs/cgroup/cpu.max")
_BUSY = (0, 1, 2, 5, 6, 7)  # user nice system . . irq softirq steal: a stolen second is somebody else's too


@dataclass(frozen=True)
class Reading:
    """The machine at one moment. `at` is a clock in seconds, so that only two readings together say something.

    others: CPU seconds, since the machine started, of everything but this process and its children, None where the
    system does not tell (no /proc). load: the load average of the last minute, None where there is none.
    """

    at: float
    others: float | None
    load: float | None


def read_machine() -> Reading:
    return Reading(time.perf_counter(), others_cpu(), load_average())


Look = Callable[[], Reading]


def share_of_others(first: Reading, last: Reading) -> float | None:
    """The share of the CPU time of all cores, 0..1, that other processes used between two readings.

    The kernel counts ticks of 10 ms: between two readings that are close together it may come out beyond 0 and 1.
    """
    if first.others is None or last.others is None or last.at <= first.at:
        return None
    return (last.others - first.others) / ((last.at - first.at) * (os.cpu_count() or 1))


def others_cpu(proc: Path = PROC) -> float | None:
    """CPU seconds of everything but this process, its children and theirs. None without Linux's /proc.

    proc(5): `stat` has the ticks of all cores together, `[pid]/stat` those of a process and of the children that it has
    waited for.
    """
    try:
        whole = [int(ticks) for ticks in (proc / "stat").read_text().split("\n", 1)[0].split()[1:]]
        busy = sum(whole[place] for place in _BUSY)
        processes = [_process(path) for path in proc.iterdir() if path.name.isdigit()]
    except (OSError, ValueError, IndexError):
        return None
    return (busy - _own_ticks([found for found in processes if found])) / os.sysconf("SC_CLK_TCK")


def conditions(device: str) -> dict[str, Any]:
    """Processor, cores, threads and device, as the manifest has them: timings are comparable where they are equal."""
    return {
        "cpu": _processor(),
        "cores": usable_cores(),
        "threads": {
            "torch": torch.get_num_threads(),
            "torch_interop": torch.get_num_interop_threads(),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        },
        "device": torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device,
    }


def usable_cores(quota: Path = QUOTA) -> float:
    """Cores that this process may use: of its affinity, or fewer where a container's quota (cgroup v2) says so."""
    cores: float = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        limit, period = quota.read_text().split()
        return min(cores, int(limit) / int(period))
    except (OSError, ValueError):  # no such file, or "max"
        return cores


def load_average() -> float | None:
    """Of the last minute; None where the system has none."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None


def _own_ticks(processes: list[tuple[int, int, int]]) -> int:
    """processes: (pid, parent, ticks) each. Ticks of this process and of everything below it."""
    family = {os.getpid()}
    grown = True
    while grown:
        found = {pid for pid, parent, _ in processes if parent in family} - family
        family |= found
        grown = bool(found)
    return sum(ticks for pid, _, ticks in processes if pid in family)


def _process(folder: Path) -> tuple[int, int, int] | None:
    """(pid, parent, ticks in user and system mode with those of its waited-for children); None if it just ended."""
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()  # the name before ")" may hold anything
        return int(folder.name), int(fields[1]), sum(int(ticks) for ticks in fields[11:15])
    except (OSError, ValueError, IndexError):
        return None


def _processor() -> str:
    try:
        lines = (PROC / "cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
