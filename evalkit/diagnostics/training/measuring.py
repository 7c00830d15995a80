"""Measure every clip of a training set in one pass: decoded by workers, scored in batches, logged by content."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evalkit.diagnostics.corpus.clip import Clip
from evalkit.diagnostics.corpus.decoding import Decoded, decode_all
from evalkit.diagnostics.training.embeddings import Embedder
from evalkit.diagnostics.training.fingerprints import fingerprint
from evalkit.diagnostics.training.log import MeasuredLog
from evalkit.diagnostics.training.speech_levels import COLUMNS as SPEECH
from evalkit.diagnostics.training.speech_levels import speech_levels
from evalkit.errors import EvalkitError
from evalkit.files import disk_errors
from evalkit.pipeline.audio import unusable
from evalkit.pipeline.judges import Choice
from evalkit.pipeline.scoring import ClipScores, Scorer
from metrics import ClipInfo
from metrics.recordings import resample

METRICS = ("dnsmos", "energy", "pauses", "prosody", "signal", "wada_snr")
PITCH_CLIPS = 50  # pitch costs as much as all others but DNS-MOS: of the first clips of a speaker every one, then fewer
COLUMNS = (
    *("energy_mean_db", "energy_std_db", "dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", "dnsmos_p808", "wada_snr_db"),
    *("silence_ratio", "leading_silence_s", "trailing_silence_s", "longest_pause_s", "clipping_ratio", "bandwidth_hz"),
    *("f0_median_hz", "f0_range_st", "voiced_ratio"),
)
DETAILS = ("energy_active_frames", "energy_clip_db")  # of the metrics' details, kept as numbers
MEASURES = (*COLUMNS, *DETAILS, "speech_s", *SPEECH)  # what a line of the log has of a clip, beside its passports
_CHECK_RATE = 16000  # Hz of what fingerprints and embeddings are made of

# Seconds of audio that are gathered, put in order of length, and scored in batches of so many seconds.
_WINDOW_S = {"cpu": 240.0, "cuda": 2400.0}
_BATCH_S = {"cpu": 60.0, "cuda": 600.0}

Progress = Callable[[int, float], None]  # clips done, seconds of their audio


@dataclass
class Files:
    """Where a diagnosis keeps what it finds, in one folder."""

    folder: Path

    def __post_init__(self) -> None:
        self.measured = self.folder / "measured.jsonl"
        self.listed = self.folder / "clips.jsonl"
        self.clips = self.folder / "clips.parquet"
        self.checks = self.folder / "checks.parquet"
        self.embeddings = self.folder / "embeddings.f32"
        self.diagnosis = self.folder / "diagnosis.json"
        self.report = self.folder / "report.html"


@dataclass
class Listed:
    """What one pass found: clips in all, those with a problem, and how many were measured by this start."""

    clips: int = 0
    problems: int = 0
    measured: int = 0
    seconds: float = 0.0


@dataclass
class _Window:
    """Clips of one rate that wait to be scored."""

    clips: list[Decoded] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)  # of each clip among its speaker's
    seconds: float = 0.0

    def add(self, one: Decoded, number: int) -> None:
        self.clips.append(one)
        self.numbers.append(number)
        self.seconds += len(_samples(one)) / one.sample_rate


@dataclass(frozen=True)
class _Measured:
    """line: of the log, without its embedding's row."""

    line: dict[str, Any]
    embedding: Any


class Measurer:
    """Scores clips and remembers them.

    choices: metrics, as `judges.choose` gives them. sampled: metric -> of how many of a speaker's first clips it is
    computed; of n clips then of about that many times 1 + ln(n / that many). The others are computed of every clip.
    """

    def __init__(
        self,
        files: Files,
        choices: Sequence[Choice],
        embedder: Embedder | None,
        device: str,
        sampled: Mapping[str, int] | None = None,
    ) -> None:
        self._log = MeasuredLog(files.measured, _vectors(files.embeddings, embedder))
        self._files = files
        self._embedder = embedder
        self._device = torch.device(device).type
        sizes = [(sampled or {}).get(choice.name) for choice in choices]
        self._scorers = {
            size: Scorer([choice for choice, its in zip(choices, sizes, strict=True) if its == size], device)
            for size in dict.fromkeys(sizes)
        }
        self._windows: dict[int, _Window] = {}
        self._waiting: set[str] = set()  # keys in the windows
        if embedder is not None:
            _cut_to(files.embeddings, self._log.embeddings * _row_size(embedder))

    def measure(self, clips: Iterable[Clip], workers: int, progress: Progress) -> Listed:
        """One pass over the set. Every clip gets a line in `clips.jsonl`, in order; each content is measured once.

        Raises EvalkitError when no clip of the set can be read.
        """
        listed = Listed()
        numbers: dict[str, int] = {}
        known = frozenset(self._log.keys)
        unread, first = 0, None
        with ExitStack() as stack:
            for scorer in self._scorers.values():
                stack.enter_context(scorer)
            stack.enter_context(disk_errors(self._files.listed))
            lines = stack.enter_context(self._files.listed.open("w", encoding="utf-8"))
            for one in decode_all(clips, workers, known):
                number = numbers.get(one.clip.speaker, 0)
                numbers[one.clip.speaker] = number + 1
                problem = one.problem or _unusable(one)
                listed.clips += 1
                listed.problems += problem is not None
                unread, first = unread + (one.problem is not None), first or one
                lines.write(_listed_line(one, problem))
                if problem or one.key in self._waiting or one.key in self._log.keys:
                    progress(1, 0.0)
                else:
                    self._add(one, number, progress, listed)
            for rate in list(self._windows):
                self._score_window(rate, progress, listed)
        if first is not None and unread == listed.clips:
            raise EvalkitError(
                f"None of the {unread:,} clips could be read; the first, {first.clip.audio.where}, {first.problem}."
            )
        return listed

    def _add(self, one: Decoded, number: int, progress: Progress, listed: Listed) -> None:
        window = self._windows.setdefault(one.sample_rate, _Window())
        window.add(one, number)
        self._waiting.add(one.key)
        if window.seconds >= _WINDOW_S[self._device]:
            self._score_window(one.sample_rate, progress, listed)

    def _score_window(self, rate: int, progress: Progress, listed: Listed) -> None:
        """Score a window's batches and log them as one: a start that goes on makes the same windows and batches."""
        window = self._windows.pop(rate)
        order = sorted(range(len(window.clips)), key=lambda i: -len(_samples(window.clips[i])))
        found: list[_Measured] = []
        for batch in _batches(order, [len(_samples(one)) / rate for one in window.clips], _BATCH_S[self._device]):
            clips = [window.clips[i] for i in batch]
            found += self._score_batch(clips, [window.numbers[i] for i in batch], rate)
            progress(len(clips), sum(len(_samples(one)) for one in clips) / rate)
        rows = self._store([one.embedding for one in found if one.embedding is not None])
        self._log.append([one.line | {"embedding": next(rows) if one.embedding is not None else None} for one in found])
        listed.measured += len(found)
        listed.seconds += window.seconds
        self._waiting.difference_update(one.key for one in window.clips)

    def _score_batch(self, clips: Sequence[Decoded], numbers: Sequence[int], rate: int) -> list[_Measured]:
        audio = [torch.from_numpy(_samples(one)) for one in clips]
        info = [ClipInfo(one.key, text=one.clip.text) for one in clips]
        scores = [ClipScores({}, {}, {}) for _ in clips]
        for size, scorer in self._scorers.items():
            chosen = [i for i, number in enumerate(numbers) if _in_sample(number, size)]
            found = scorer.score([audio[i] for i in chosen], rate, [info[i] for i in chosen])
            for i, its in zip(chosen, found, strict=True):
                scores[i].values.update(its.values)
                scores[i].missing.update(its.missing)
                scores[i].details.update(its.details)
        narrow = [resample(clip, rate, _CHECK_RATE) for clip in audio]
        embedded = self._embedder.embed(narrow) if self._embedder is not None else [None] * len(narrow)
        prints = [fingerprint(clip.numpy()) for clip in narrow]
        levels = [speech_levels(clip, rate, _speech(its)) for clip, its in zip(audio, scores, strict=True)]
        lines = map(_measured_line, clips, scores, levels, prints)
        return [_Measured(line, vector) for line, vector in zip(lines, embedded, strict=True)]

    def _store(self, vectors: Sequence[Any]) -> Iterator[int]:
        """Append embeddings to their file, before the log says that they are there; gives their rows."""
        first = self._log.embeddings
        if vectors:
            data = np.ascontiguousarray(np.stack([np.asarray(vector) for vector in vectors]), dtype=np.float32)
            with disk_errors(self._files.embeddings), self._files.embeddings.open("ab") as file:
                file.write(data.tobytes())
                file.flush()
                os.fsync(file.fileno())  # the log, which vouches for these rows, outlives a power cut
        return iter(range(first, first + len(vectors)))


def _in_sample(number: int, size: int | None) -> bool:
    """Whether the clip of this number is in a sample that begins with `size` clips and then grows ever sparser."""
    return size is None or number % (1 + number // size) == 0


def _batches(order: Sequence[int], seconds: Sequence[float], most: float) -> Iterator[list[int]]:
    """Longest first, as many as fit when all are padded to the longest."""
    batch: list[int] = []
    for index in order:
        if batch and seconds[batch[0]] * (len(batch) + 1) > most:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _speech(found: ClipScores) -> Sequence[tuple[float, float]] | None:
    """Start and end of each stretch of speech, in seconds."""
    return found.details.get("pauses_speech")


def _measured_line(
    one: Decoded, found: ClipScores, levels: Mapping[str, float | None], prints: Sequence[int]
) -> dict[str, Any]:
    speech = _speech(found)
    speech_s = sum(end - start for start, end in speech) if speech is not None else None
    return {
        "key": one.key,
        "seconds": len(_samples(one)) / one.sample_rate,
        "sample_rate": one.sample_rate,
        "channels": one.channels,
        **{name: found.values.get(name) for name in COLUMNS},
        **{name: found.details.get(name) for name in DETAILS},
        "speech_s": speech_s,
        **levels,
        "fingerprint": [int(number) for number in prints],
        "missing": {name: why for name, why in found.missing.items() if name in COLUMNS},
    }


def _listed_line(one: Decoded, problem: str | None) -> str:
    clip = one.clip
    line: Mapping[str, Any] = {
        "id": clip.id,
        "speaker": clip.speaker,
        "where": clip.audio.where,
        "start_s": clip.audio.start_s,
        "key": one.key,
        "problem": problem,
        "text": clip.text,
        "words": len(clip.text.split()) if clip.text else None,
    }
    return json.dumps(line, ensure_ascii=False) + "\n"


def _samples(one: Decoded) -> Any:
    assert one.samples is not None, "clips in a window have their samples"
    return one.samples


def _unusable(one: Decoded) -> str | None:
    """Why no metric should score it, in words that stand behind a clip's name: `is silent`."""
    if one.samples is None:
        return None
    found = unusable(torch.from_numpy(one.samples), one.sample_rate)
    return found[1].removeprefix("The audio ").rstrip(".") if found else None


def _row_size(embedder: Embedder) -> int:
    return 4 * embedder.dimension  # bytes of float32


def _vectors(path: Path, embedder: Embedder | None) -> int | None:
    """Whole rows that the embeddings file holds; None where there are no embeddings."""
    if embedder is None:
        return None
    return path.stat().st_size // _row_size(embedder) if path.exists() else 0


def _cut_to(path: Path, size: int) -> None:
    """Drop what a kill left behind the last batch that the log knows."""
    if path.exists():
        with disk_errors(path), path.open("r+b") as file:
            file.truncate(size)
