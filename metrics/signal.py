"""Signal: duration, pauses and clipping, from the samples alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from metrics.base import ClipBatch, Column, MetricSpec, Passport, Scores
from metrics.clips import broken
from metrics.frames import DYNAMIC_RANGE_DB, FRAME_S, HOP_S, TOO_SHORT, frame_levels, loudest
from metrics.packages import versions

QUIET_DBFS = -60.0
FULL_SCALE = 32767 / 32768  # the largest sample of a 16-bit file
CLIPPED_RUN = 3  # samples: a single one at full scale is a peak, not clipping


class Signal:
    """Duration, silence and clipping of a clip.

    silence_ratio: share of the frames (25 ms every 10 ms, wholly inside the clip) whose level is more than 40 dB below
    the loudest frame of the clip or below -60 dBFS. clipping_ratio: share of the samples that lie at or beyond full
    scale (32767/32768) in a run of at least three of the same sign. Clipping that happened before a gain is not seen.
    """

    spec = MetricSpec(
        name="signal",
        version="1",
        columns=(
            Column("duration_s", "s", "neither", (0.0, float("inf")), "length of the clip"),
            # A clip that is not there says nothing all the time.
            Column("silence_ratio", "", "lower", (0.0, 1.0), "share of frames that are silent", on_failure=1.0),
            Column("clipping_ratio", "", "lower", (0.0, 1.0), "share of samples in runs at full scale"),
        ),
        sample_rate=None,
        needs=frozenset(),
        judge="none",
        source="definitions in metrics/signal.py",
    )

    def __init__(self, device: str = "cpu") -> None:
        self._device = torch.device(device)

    def score(self, batch: ClipBatch) -> Scores:
        scores = Scores(self.spec, len(batch))
        audio = batch.audio.to(self._device)
        levels, frames = frame_levels(audio, batch.lengths, batch.sample_rate)
        silent = frames & ((levels < loudest(levels, frames) - DYNAMIC_RANGE_DB) | (levels < QUIET_DBFS))
        frame_counts, silent_counts = frames.sum(dim=1).tolist(), silent.sum(dim=1).tolist()
        clipped_counts = (clipped(audio) & batch.mask().to(self._device)).sum(dim=1).tolist()
        reasons = broken(batch)
        for index, length in enumerate(batch.lengths.tolist()):
            if reason := reasons.get(index):
                scores.refuse(index, reason)
                del scores.reasons[index]["duration_s"]
            else:
                scores["clipping_ratio"][index] = clipped_counts[index] / length
                if frame_counts[index]:
                    scores["silence_ratio"][index] = silent_counts[index] / frame_counts[index]
                else:
                    scores.reasons[index]["silence_ratio"] = TOO_SHORT
            scores["duration_s"][index] = length / batch.sample_rate
        return scores

    def passport(self) -> Passport:
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge="none",
            parameters={
                "frame_s": FRAME_S,
                "hop_s": HOP_S,
                "silent_below_loudest_db": DYNAMIC_RANGE_DB,
                "silent_below_dbfs": QUIET_DBFS,
                "full_scale": FULL_SCALE,
                "clipped_run": CLIPPED_RUN,
            },
            packages=versions("torch"),
        )

    @classmethod
    def unavailable(cls) -> str | None:
        return None


def clipped(audio: Tensor) -> Tensor:
    """True on samples at full scale in a run of at least three of one sign; bool [clips, samples], as audio is."""
    return _long_runs(audio >= FULL_SCALE) | _long_runs(audio <= -FULL_SCALE)


def _long_runs(flags: Tensor) -> Tensor:
    beyond = CLIPPED_RUN - 1
    if flags.shape[1] <= beyond:
        return torch.zeros_like(flags)
    whole = flags.unfold(1, CLIPPED_RUN, 1).all(dim=2)  # True where a whole run begins
    return pad(whole, (beyond, beyond)).unfold(1, CLIPPED_RUN, 1).any(dim=2)
