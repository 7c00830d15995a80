"""Energy: how loud the speech is and how much its loudness moves."""

from __future__ import annotations

import torch

from metrics.base import ClipBatch, Column, MetricSpec, Passport, Scores
from metrics.clips import SILENCE_DBFS, unusable
from metrics.frames import DYNAMIC_RANGE_DB, FRAME_S, HOP_S, TOO_SHORT, frame_levels, loudest
from metrics.packages import versions


class Energy:
    """Mean and standard deviation of frame levels in dBFS, over the active frames of a clip.

    A frame is 25 ms every 10 ms, wholly inside the clip; its level is 20 log10 of its RMS, full scale being 1; it is
    active if it is at most 40 dB below the clip's loudest frame. The deviation divides by the number of active frames.
    Details: `energy_frames` and `energy_active_frames` (to pool clips into one figure per speaker) and `energy_clip_db`
    (RMS of the whole clip).
    """

    spec = MetricSpec(
        name="energy",
        version="1",
        columns=(
            Column("energy_mean_db", "dBFS", "neither", (-160.0, 0.0), "mean level of the active 25 ms frames"),
            Column("energy_std_db", "dB", "neither", (0.0, 20.0), "standard deviation of the active frames' levels"),
        ),
        sample_rate=None,
        needs=frozenset(),
        judge="none",
        source="frame RMS in dBFS over frames within 40 dB of the loudest",
    )

    def __init__(self, device: str = "cpu") -> None:
        self._device = torch.device(device)

    def score(self, batch: ClipBatch) -> Scores:
        scores = Scores(self.spec, len(batch))
        refused = unusable(batch)
        levels, mask = frame_levels(batch.audio.to(self._device), batch.lengths, batch.sample_rate)
        active = mask & (levels >= loudest(levels, mask) - DYNAMIC_RANGE_DB)
        counts = active.sum(dim=1)
        mean = levels.masked_fill(~active, 0).sum(dim=1) / counts
        squares = (levels - mean[:, None]).square().masked_fill(~active, 0).sum(dim=1)
        std = (squares / counts).sqrt()
        for index in range(len(batch)):
            if reason := refused.get(index):
                scores.refuse(index, reason)
                continue
            if not counts[index]:
                scores.refuse(index, TOO_SHORT)
                continue
            scores["energy_mean_db"][index] = float(mean[index])
            scores["energy_std_db"][index] = float(std[index])
            scores.details[index] = {
                "energy_frames": int(mask[index].sum()),
                "energy_active_frames": int(counts[index]),
                "energy_clip_db": float(10 * batch.clip(index).double().square().mean().log10()),
            }
        return scores

    def passport(self) -> Passport:
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge="none",
            parameters={
                "frame_s": FRAME_S,
                "hop_s": HOP_S,
                "active_within_db": DYNAMIC_RANGE_DB,
                "silence_dbfs": SILENCE_DBFS,
            },
            packages=versions("torch"),
        )

    @classmethod
    def unavailable(cls) -> str | None:
        return None
