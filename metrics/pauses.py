"""Pauses: where nothing is said, before, inside and after the speech."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from metrics import silero
from metrics.base import ClipBatch, Column, MetricSpec, Passport, Scores
from metrics.clips import broken, require_rate
from metrics.frames import DYNAMIC_RANGE_DB, FRAME_S, HOP_S, TOO_SHORT, active, frame_levels
from metrics.options import Option, check_values
from metrics.packages import versions
from metrics.silero import SileroVad, Stretch

QUIET_DBFS = -60.0


class Pauses:
    """Silence of a clip: its share, at either end, and the longest inside the speech.

    method `vad` (the default): what silero-vad does not take for speech, with its defaults (threshold 0.5, pauses from
    100 ms, 30 ms around speech). method `level`: frames (25 ms every 10 ms, wholly inside the clip) whose level is more
    than 40 dB below the clip's loudest frame or below -60 dBFS; each stands for 10 ms. A clip without speech is one
    pause from end to end in every column. Details: `pauses_speech`, start and end in seconds of each stretch of speech.
    """

    spec = MetricSpec(
        name="pauses",
        version="1",
        columns=(
            # A clip that is not there says nothing all the time.
            Column("silence_ratio", "", "lower", (0.0, 1.0), "share of the clip without speech", on_failure=1.0),
            Column("leading_silence_s", "s", "neither", (0.0, float("inf")), "time before the first speech"),
            Column("trailing_silence_s", "s", "neither", (0.0, float("inf")), "time after the last speech"),
            Column("longest_pause_s", "s", "neither", (0.0, float("inf")), "longest time between speech and speech"),
        ),
        sample_rate=silero.SAMPLE_RATE,
        needs=frozenset(),
        judge="bundled",
        source="silero-vad 6.2, github.com/snakers4/silero-vad",
        options={"method": Option("vad", "what tells speech from silence", choices=("vad", "level"))},
    )

    def __init__(self, device: str = "cpu", *, method: str = "vad") -> None:
        check_values(self.spec.name, self.spec.options, method=method)
        self._device = torch.device(device)
        self._method = method
        self._vad = SileroVad(self._device)

    def score(self, batch: ClipBatch) -> Scores:
        require_rate(batch, self.spec)
        scores = Scores(self.spec, len(batch))
        reasons = broken(batch)
        found = self._by_vad(batch) if self._method == "vad" else self._by_level(batch)
        for index, (stretches, total) in enumerate(found):
            if reason := reasons.get(index) or (None if total else TOO_SHORT):
                scores.refuse(index, reason)
                continue
            for column, value in _silence(stretches, total).items():
                scores[column][index] = value
            scores.details[index]["pauses_speech"] = [[start, end] for start, end in stretches]
        return scores

    def _by_vad(self, batch: ClipBatch) -> Iterator[tuple[list[Stretch], float]]:
        """Stretches of speech and the time they are part of, per clip."""
        for stretches, length in zip(self._vad.speech(batch), batch.lengths.tolist(), strict=True):
            yield stretches, length / batch.sample_rate

    def _by_level(self, batch: ClipBatch) -> Iterator[tuple[list[Stretch], float]]:
        levels, real = frame_levels(batch.audio.to(self._device), batch.lengths, batch.sample_rate)
        loud = active(levels, real) & (levels >= QUIET_DBFS)
        for flags, frames in zip(loud.cpu(), real.sum(dim=1).tolist(), strict=True):
            yield [(first * HOP_S, end * HOP_S) for first, end in _runs(flags)], frames * HOP_S

    def passport(self) -> Passport:
        by_vad = self._method == "vad"
        level = {
            "frame_s": FRAME_S,
            "hop_s": HOP_S,
            "silent_below_loudest_db": DYNAMIC_RANGE_DB,
            "silent_below_dbfs": QUIET_DBFS,
        }
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge="silero-vad" if by_vad else "none",
            weights_sha256=silero.weights_sha256() if by_vad else {},
            parameters={"method": self._method, **({} if by_vad else level)},
            packages=silero.packages() if by_vad else versions("torch"),
        )

    @classmethod
    def unavailable(cls, method: str = "vad") -> str | None:
        sentence = silero.unavailable() if method == "vad" else None
        return f"{sentence}, or set pauses.method=level" if sentence else None


def _silence(stretches: list[Stretch], total: float) -> dict[str, float]:
    """Columns of a clip of `total` seconds with these stretches of speech, which lie in order and apart."""
    if not stretches:
        names = ("leading_silence_s", "trailing_silence_s", "longest_pause_s")
        return {"silence_ratio": 1.0, **dict.fromkeys(names, total)}
    speech = sum(end - start for start, end in stretches)
    gaps = [start - end for (_, end), (start, _) in pairwise(stretches)]
    return {
        "silence_ratio": max(0.0, 1 - speech / total),
        "leading_silence_s": stretches[0][0],
        "trailing_silence_s": max(0.0, total - stretches[-1][1]),
        "longest_pause_s": max(gaps, default=0.0),
    }


def _runs(flags: Tensor) -> list[tuple[int, int]]:
    """First place of each run of True and the place after its last; flags: bool [places]."""
    edge = flags.new_zeros(1, dtype=torch.int8)
    change = torch.diff(flags.to(torch.int8), prepend=edge, append=edge)
    starts, ends = (change == 1).nonzero()[:, 0].tolist(), (change == -1).nonzero()[:, 0].tolist()
    return list(zip(starts, ends, strict=True))
