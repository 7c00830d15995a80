"""`baselines.jsonl` beside the runs: which run was accepted as the baseline, by whom, when and why."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from evalkit.errors import EvalkitError
from evalkit.files import disk_errors
from evalkit.runs.folder import RunFolder, open_run, read_json

DEFAULT_LABEL = "default"
FILE = "baselines.jsonl"
VERDICT = "gate.json"  # in a run's folder: what the gate said last


@dataclass(frozen=True)
class Entry:
    """One acceptance. run: name of the folder. forced: accepted although the gate had blocked the run."""

    label: str
    suite: str
    run: str
    who: str
    when: str
    why: str
    forced: bool = False


def accept(run: RunFolder, label: str, who: str, why: str, force: bool = False) -> Entry:
    """Make a finished run the baseline of its suite, under a label, for runs in the same folder.

    Raises EvalkitError for a run that never finished, or that the gate blocked (unless forced), and where nothing says
    who accepts and why.
    """
    run = open_run(run.path.resolve())
    for name, text in (("label", label), ("who", who), ("why", why)):
        if not text.strip():
            raise EvalkitError(f"--{name} is empty: a baseline is accepted under a label, by somebody, for a reason.")
    blocked = _blocked(run)
    if blocked and not force:
        raise EvalkitError(
            f"The gate blocked the run {run.path.name}: {blocked} Give --force to accept it all the same."
        )
    suite = str(run.manifest()["suite"]["name"])
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entry = Entry(label.strip(), suite, run.path.name, who.strip(), now, why.strip(), bool(blocked))
    _append(run.path.parent / FILE, entry)
    return entry


def accepted(out: Path, label: str, suite: str) -> Entry | None:
    """The baseline of a suite among the runs in `out`: the one accepted last under the label."""
    return next((one for one in reversed(entries(out)) if (one.label, one.suite) == (label, suite)), None)


def entries(out: Path) -> list[Entry]:
    """Every acceptance among the runs in `out`, the oldest first. Raises EvalkitError on a damaged file."""
    path = out / FILE
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EvalkitError(f"{path} cannot be read ({error.strerror}): check its permissions.") from error
    if lines and not lines[-1].endswith(b"\n") and not _is_entry(lines[-1]):
        lines.pop()  # a kill cut it short
    return [_entry(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def baseline_folder(out: Path, entry: Entry) -> Path:
    """Where the accepted run is. Raises EvalkitError when it was moved away."""
    path = out / entry.run
    if not path.is_dir():
        raise EvalkitError(
            f"The accepted baseline {entry.run} is no longer in {out}: bring its folder back, or accept another run "
            "with `evalkit baseline accept`."
        )
    return path


def _blocked(run: RunFolder) -> str | None:
    """What the gate said when it blocked the run, None if it never did."""
    path = run.path / VERDICT
    verdict = read_json(path) if path.is_file() else {}
    return str(verdict.get("sentence") or "it is in gate.json.") if verdict.get("verdict") == "blocked" else None


def _append(path: Path, entry: Entry) -> None:
    line = json.dumps(asdict(entry), ensure_ascii=False) + "\n"
    with disk_errors(path), path.open("a+b") as file, _locked(file):
        _end_the_last_line(file)
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _locked(file: IO[bytes]) -> Iterator[None]:
    """Two acceptances at once follow one another."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        file.flush()
        fcntl.flock(file, fcntl.LOCK_UN)


def _end_the_last_line(file: IO[bytes]) -> None:
    """Give a whole last line its newline, which an editor may have left out, and drop one that a kill cut short."""
    file.seek(0)
    content = file.read()
    start = content.rfind(b"\n") + 1
    if start == len(content):
        return
    if _is_entry(content[start:]):
        file.write(b"\n")
    else:
        file.truncate(start)


def _is_entry(line: bytes) -> bool:
    try:
        Entry(**json.loads(line))
    except (ValueError, TypeError):
        return False
    return True


def _entry(path: Path, number: int, line: bytes) -> Entry:
    try:
        return Entry(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise EvalkitError(f"{path} is damaged at line {number}: mend or remove that line.") from error
