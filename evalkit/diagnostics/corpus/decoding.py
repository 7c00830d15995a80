"""Decode clips in worker processes, a few ahead of what is asked for, in the order of the set."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evalkit.diagnostics.corpus.clip import Audio, Clip, File
from evalkit.diagnostics.corpus.texts import writable
from evalkit.files import sha256_file

AT_ONCE = 8  # clips that a worker is given at a time
AHEAD = 2  # such portions per worker that are being decoded or wait to be taken

SHORT_S = 0.05

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Decoded:
    """A clip as it was found. key: sha256 of the encoded bytes and the part of them that the clip is; "" if unreadable.

    samples: float32 [samples], the clip's channels averaged, at the file's own rate; None for a clip whose key was
    known, or with a problem. problem: why there is nothing to measure. channels: of the file.
    """

    clip: Clip
    key: str = ""
    samples: Samples | None = None
    sample_rate: int = 0
    channels: int = 0
    problem: str | None = None


def decode_all(clips: Iterable[Clip], workers: int, known: frozenset[str] = frozenset()) -> Iterator[Decoded]:
    """Every clip once, in order. workers: 0 decodes in this process; known: keys whose samples nobody needs.

    A worker that dies (a codec's fault, the out-of-memory killer) costs the one clip that kills it.
    """
    portions = _portions(clips)
    if workers == 0:
        for portion in portions:
            yield from (decode(clip, known) for clip in portion)
        return
    pool = _pool(workers, known)
    waiting: deque[tuple[list[Clip], Future[list[Decoded]]]] = deque()
    try:
        while True:
            for portion in islice(portions, workers * AHEAD - len(waiting)):
                waiting.append((portion, pool.submit(_decode, portion)))
            if not waiting:
                return
            portion, future = waiting.popleft()
            try:
                decoded = future.result()
            except BrokenProcessPool:
                pool.shutdown(wait=False)
                decoded = [_alone(clip, known) for clip in portion]
                pool = _pool(workers, known)
                waiting = deque((later, pool.submit(_decode, later)) for later, _ in waiting)
            yield from (replace(one, clip=clip) for one, clip in zip(decoded, portion, strict=True))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def decode(clip: Clip, known: frozenset[str] = frozenset()) -> Decoded:
    """Read, hash and decode one clip; what is wrong with it is its `problem`."""
    audio = clip.audio
    only = _channels(audio)
    if isinstance(audio, File) and str(audio.path) != writable(str(audio.path)):
        return Decoded(clip, problem="has a name that is not UTF-8, which no manifest can say: rename it")
    try:
        if _is_part(audio) and isinstance(audio, File):  # of a recording that many clips are cut from
            source: Path | io.BytesIO = audio.path
            key = _key(_file_digest(audio.path, audio.path.stat().st_mtime_ns), audio)
        else:
            data = audio.encoded()
            source = io.BytesIO(data)
            key = _key(hashlib.sha256(data).hexdigest(), audio)
    except OSError as error:
        return Decoded(clip, problem=f"cannot be read ({error.strerror or error})")
    if key in known:
        return Decoded(clip, key)
    import soundfile

    try:
        with soundfile.SoundFile(source) as file:
            rate, channels = int(file.samplerate), int(file.channels)
            first = file.seek(min(round(audio.start_s * rate), file.frames))
            if only and max(only) >= channels:
                return Decoded(clip, key, problem=f"has no channel {max(only)}: it has {channels}, counted from 0")
            count = file.frames - first if audio.seconds is None else round(audio.seconds * rate)
            samples = file.read(count, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        return Decoded(clip, key, problem=f"is no audio that can be decoded ({getattr(error, 'error_string', error)})")
    if only:
        samples = samples[:, list(only)]
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    problem = _problem(mono, count, rate)
    return Decoded(clip, key, None if problem else np.ascontiguousarray(mono), rate, channels, problem)


def _problem(mono: Samples, expected: int, rate: int) -> str | None:
    """What is wrong with the samples that were decoded; expected: how many there should be."""
    if not len(mono):
        return "holds no samples"
    if expected - len(mono) > SHORT_S * rate:  # a length in a manifest may be rounded
        return f"ends {(expected - len(mono)) / rate:.2f} s too soon: a part of it is missing"
    return None if np.isfinite(mono).all() else "holds NaN or infinite samples"


def _is_part(audio: Audio) -> bool:
    return bool(audio.start_s) or audio.seconds is not None or bool(_channels(audio))


def _channels(audio: Audio) -> tuple[int, ...]:
    return audio.channels if isinstance(audio, File) else ()


def _key(digest: str, audio: Audio) -> str:
    if not _is_part(audio):
        return digest
    part = f"{digest}/{audio.start_s!r}/{audio.seconds!r}"
    if only := _channels(audio):
        part += f"/{only}"
    return hashlib.sha256(part.encode()).hexdigest()


@lru_cache(maxsize=64)
def _file_digest(path: Path, mtime_ns: int) -> str:
    return sha256_file(path)


def _portions(clips: Iterable[Clip]) -> Iterator[list[Clip]]:
    rest = iter(clips)
    while portion := list(islice(rest, AT_ONCE)):
        yield portion


def _pool(workers: int, known: frozenset[str]) -> ProcessPoolExecutor:
    # Not forked from this process, whose torch has threads.
    return ProcessPoolExecutor(workers, get_context("forkserver"), initializer=_begin, initargs=(known,))


_known: frozenset[str] = frozenset()  # of a worker


def _begin(known: frozenset[str]) -> None:
    global _known  # noqa: PLW0603  (what a pool's initializer is for)
    _known = known
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the process that reads what is decoded
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker waits for its next portion at a pipe that its own copies keep open: a killed parent would go unseen."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _decode(portion: list[Clip]) -> list[Decoded]:
    return [replace(decode(clip, _known), clip=_NOBODY) for clip in portion]  # the caller has the clips, and their data


_NOBODY = Clip("", "", None, File(Path()))


def _alone(clip: Clip, known: frozenset[str]) -> Decoded:
    with _pool(1, known) as pool:
        try:
            return pool.submit(_decode, [clip]).result()[0]
        except BrokenProcessPool:
            return Decoded(clip, problem="made the decoder crash")
