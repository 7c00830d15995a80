"""One sentence through one run of a program, and many of them."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from evalkit.checkpoints.safe_keys import shown
from evalkit.engines.audio.reading import LARGEST, read_clip
from evalkit.engines.base import EngineGoneError, Request, Speech, Status
from evalkit.engines.command.process import Finished, Programs
from evalkit.engines.temporary import temporary_folder
from evalkit.errors import EvalkitError
from metrics.options import Option

TAIL = 2**14  # bytes of stderr that are looked at
SAID = 200  # characters of it in a sentence
TIME_LIMIT = Option(60.0, "seconds that a sentence may take before its program is killed", low=0.05, high=86400.0)
JOBS = Option(1, "sentences spoken at once; above 1 a clip's time is its share of the batch's", low=1, high=256)


@dataclass(frozen=True)
class Call:
    """A program to be run. wav: the file that it writes, None where the WAV comes on stdout; stdin: what it reads."""

    argv: Sequence[str]
    wav: Path | None
    stdin: Path | None = None


# The request, the folder that the program runs in, and the file there that holds the text.
MakeCall = Callable[[Request, Path, Path], Call]


@dataclass(frozen=True)
class Outcome:
    """What a program made of a request: audio float32 [samples] at `rate` Hz, or a status with its reason.

    printed: what it wrote on stdout beside the audio.
    """

    audio: Tensor = field(default_factory=lambda: torch.zeros(0))
    rate: int = 0
    seconds: float | None = None
    printed: str = ""
    status: Status = "ok"
    reason: str | None = None

    def speech(self, request: Request, rate: int, phonemes: str | None = None) -> Speech:
        """As the engine gives it; audio at another rate than the engine's is a failure."""
        if self.status != "ok":
            return Speech(request.id, status=self.status, reason=self.reason)
        if self.rate != rate:
            reason = f"The audio has {self.rate} Hz, and the first sentence's had {rate} Hz."
            return Speech(request.id, status="failed", reason=reason)
        return Speech(request.id, self.audio, phonemes=phonemes, seconds=self.seconds)


def speak(programs: Programs, request: Request, make_call: MakeCall, time_limit: float) -> Outcome:
    """Run the program in a fresh folder and read what it wrote. Never raises for what the program does wrong.

    Raises EngineGoneError where no program can be run: no room on the disk, no process left, the program is gone.
    """
    if not request.text.strip():
        return Outcome(status="empty_text", reason="There is nothing to read in this text.")
    try:
        with temporary_folder() as outer:
            return _speak(programs, request, make_call, time_limit, outer)
    except EvalkitError as error:
        return Outcome(status="failed", reason=str(error))
    except ValueError as error:  # a zero byte or a lone surrogate in the text
        return Outcome(status="failed", reason=f"The program could not be run: {shown(error, SAID)}.")
    except OSError as error:
        said = f"The program could not be run: {shown(error, SAID)}"
        if error.errno == errno.E2BIG:
            return Outcome(status="too_long", reason=f"{said}.")
        raise EngineGoneError(f"{said}: mend that, then give the same command again.") from error


def _speak(programs: Programs, request: Request, make_call: MakeCall, time_limit: float, outer: Path) -> Outcome:
    folder, stdout, stderr = outer / "work", outer / "stdout", outer / "stderr"
    folder.mkdir()
    text_file = folder / "text.txt"
    text_file.write_text(request.text, encoding="utf-8")
    call = make_call(request, folder, text_file)
    finished = programs.run(call.argv, folder, call.stdin, stdout, stderr, time_limit)
    if problem := _problem(finished, time_limit, stderr):
        return problem
    try:
        audio, rate = read_clip(_read(call.wav or stdout))
    except EvalkitError as error:
        said = last_line(stderr)
        return Outcome(
            status="failed", reason=f"{str(error).rstrip('.')}; the program said: {said}" if said else str(error)
        )
    printed = _read(stdout).decode("utf-8", "replace") if call.wav else ""
    return Outcome(audio, rate, finished.seconds, printed)


def _problem(finished: Finished, time_limit: float, stderr: Path) -> Outcome | None:
    if finished.timed_out:
        return Outcome(status="timed_out", reason=f"The program took longer than {time_limit:g} s and was killed.")
    if finished.exit_status:
        killed = finished.exit_status < 0
        how = f"signal {-finished.exit_status}" if killed else f"status {finished.exit_status}"
        reason = f"The program ended with {how}: {last_line(stderr) or 'it said nothing on stderr'}"
        return Outcome(status="crashed" if killed else "failed", reason=reason)
    return None


def _read(path: Path) -> bytes:
    """A file that the program wrote. A link, a pipe or a device in its place is not followed."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise EvalkitError(f"The program wrote no file {path.name} ({error.strerror}).") from error
    if len(data) > LARGEST:
        raise EvalkitError(f"The program wrote more than {LARGEST} bytes.")
    return data


def last_line(path: Path) -> str:
    """The last line of a program's stderr that says something, fit for a sentence."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        lines = file.read().decode("utf-8", "replace").split("\n")
    return next((shown(line.strip(), SAID) for line in reversed(lines) if line.strip()), "")


def speak_all(
    requests: Sequence[Request], one: Callable[[Request], Speech], jobs: int, stop: Callable[[], None]
) -> list[Speech]:
    """Every request through `one`, in order, at most `jobs` at once. On Ctrl-C `stop` ends what is under way.

    One after another, each clip keeps its own time. Together, the batch's time is divided by the clips' lengths.
    """
    if jobs == 1 or len(requests) < 2:
        return [one(request) for request in requests]
    started = time.perf_counter()
    with ThreadPoolExecutor(jobs, thread_name_prefix="speak") as threads:
        try:
            speeches = list(threads.map(one, requests))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            stop()
            raise
    seconds = time.perf_counter() - started
    samples = max(1, sum(len(speech.audio) for speech in speeches))
    return [replace(s, seconds=seconds * len(s.audio) / samples) if s.status == "ok" else s for s in speeches]
