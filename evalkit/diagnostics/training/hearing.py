"""What the judge of word errors hears of some clips of each speaker. What was heard once is not heard again."""

from __future__ import annotations

import hashlib
import heapq
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from evalkit.diagnostics.corpus.clip import Clip
from evalkit.diagnostics.corpus.decoding import Decoded, decode_all
from evalkit.diagnostics.training.transcripts import Heard
from evalkit.files import disk_errors
from evalkit.pipeline.judges import Choice, passports
from evalkit.pipeline.resampling import DESCRIPTION
from evalkit.pipeline.scoring import Scorer
from metrics import ClipInfo

_BATCH_S = {"cpu": 60.0, "cuda": 600.0}  # seconds of audio


def sample(clips: Iterable[Clip], per_speaker: int | None, seed: int = 0) -> frozenset[str]:
    """Ids of `per_speaker` clips with a text of each speaker, drawn by the seed; of all of them if None.

    Which are drawn depends on the ids alone: a clip more in the set changes at most one of them.
    """
    drawn: dict[str, list[tuple[int, str]]] = {}
    for clip in clips:
        if not (clip.text or "").strip():
            continue
        rank = int.from_bytes(hashlib.sha256(f"{seed}/{clip.id}".encode()).digest()[:8], "big")
        own = drawn.setdefault(clip.speaker, [])
        if per_speaker is None or len(own) < per_speaker:
            heapq.heappush(own, (-rank, clip.id))
        elif own:
            heapq.heappushpop(own, (-rank, clip.id))
    return frozenset(name for own in drawn.values() for _, name in own)


def hear(
    clips: Iterable[Clip],
    wanted: frozenset[str],
    choice: Choice,
    log: Path,
    device: str = "cpu",
    workers: int = 0,
    progress: Callable[[int], None] = lambda clips: None,
) -> dict[str, Heard]:
    """By id, what was heard of the wanted clips; one that cannot be heard is left out.

    choice: of `judges.choose(["wer"], ...)`. log: a line per clip and text, kept from one start to the next; lines of
    another judge count for nothing. progress: is told the clips done since it was last told.
    """
    if choice.metric is None:
        return {}
    judge = hashlib.sha256(
        json.dumps(passports([choice], DESCRIPTION["soxr"]), sort_keys=True, default=str).encode()
    ).hexdigest()[:16]
    known = _read(log, judge)
    found: dict[str, Heard] = {}
    with Scorer([choice], device) as scorer, disk_errors(log), log.open("a", encoding="utf-8") as file:
        for batch in _batches(
            (clip for clip in clips if clip.id in wanted), workers, _BATCH_S[torch.device(device).type]
        ):
            new = [one for one in batch if one.samples is not None and _key(one) not in known]
            for one, heard in zip(new, _heard(scorer, new), strict=True):
                known[_key(one)] = heard
                line = {"key": _key(one), "judge": judge, "heard": asdict(heard) if heard else None}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
            found.update({one.clip.id: heard for one in batch if (heard := known.get(_key(one))) is not None})
            progress(len(batch))
    return found


def _heard(scorer: Scorer, clips: list[Decoded]) -> list[Heard | None]:
    """What is heard of each clip; None where the judge gives no figure."""
    results: dict[int, Heard | None] = {}
    for rate in sorted({one.sample_rate for one in clips}):
        own = [index for index, one in enumerate(clips) if one.sample_rate == rate]
        audio = [torch.from_numpy(samples) for index in own if (samples := clips[index].samples) is not None]
        info = [ClipInfo(clips[index].clip.id, text=clips[index].clip.text) for index in own]
        for index, scored in zip(own, scorer.score(audio, rate, info), strict=True):
            wer, cer = scored.values.get("wer"), scored.values.get("cer")
            results[index] = None if wer is None or cer is None else Heard(wer, cer, scored.details.get("heard", ""))
    return [results[index] for index in range(len(clips))]


def _batches(clips: Iterator[Clip], workers: int, most_s: float) -> Iterator[list[Decoded]]:
    batch: list[Decoded] = []
    seconds = 0.0
    for one in decode_all(clips, workers):
        batch.append(one)
        seconds += len(one.samples) / one.sample_rate if one.samples is not None else 0.0
        if seconds >= most_s:
            yield batch
            batch, seconds = [], 0.0
    if batch:
        yield batch


def _key(one: Decoded) -> str:
    return hashlib.sha256(f"{one.key}|{one.clip.text}".encode()).hexdigest()[:32]


def _read(log: Path, judge: str) -> dict[str, Heard | None]:
    """What this judge heard; a line that a kill cut short is dropped from the file."""
    if not log.exists():
        return {}
    known: dict[str, Heard | None] = {}
    whole = 0
    with log.open("rb") as file:
        for line in file:
            try:
                entry = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                entry = None
            if entry is None:
                break
            whole += len(line)
            if entry["judge"] == judge:
                known[entry["key"]] = Heard(**entry["heard"]) if entry["heard"] else None
    os.truncate(log, whole)
    return known
