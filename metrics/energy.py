"""Energy: how loud the speech is and how much its loudness moves."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metrics import silero
from metrics.base import ClipBatch, Column, MetricSpec, Passport, Scores
from metrics.clips import SILENCE_DBFS, unusable
from metrics.frames import DYNAMIC_RANGE_DB, FRAME_S, HOP_S, active, frame_levels
from metrics.options import Option, Value, check_values
from metrics.packages import versions
from metrics.silero import SileroVad, in_stretches

FLOOR_DBFS = -60.0
_FRAMES = {
    "within40": f"within {DYNAMIC_RANGE_DB:g} dB of the clip's loudest",
    "all": "all; one of zeros is at -200 dBFS",
    "all_floored": f"all, none taken as lower than {FLOOR_DBFS:g} dBFS",
    "vad": "whose middle is in speech, by silero-vad at 16 kHz (soxr HQ)",
}


class Energy:
    """Mean and standard deviation of frame levels in dBFS.

    A frame is 25 ms every 10 ms, wholly inside the clip; its level is 20 log10 of its RMS, full scale being 1. The
    option `frames` says which ones count; the deviation divides by their number. Papers differ here and rarely say what
    they did: of LibriSpeech, `within40` (the default) gives -32.5 dBFS and 9.7 dB, `vad` -32.2 and 10.3, `all_floored`
    -35.8 and 11.9, `all` -37.0 and 13.4, which digital silence drives far beyond. Details: `energy_frames` and
    `energy_active_frames` (those that count; to pool clips into one figure per speaker), `energy_clip_db` (RMS of the
    whole clip).
    """

    spec = MetricSpec(
        name="energy",
        version="1",
        columns=(
            Column("energy_mean_db", "dBFS", "neither", (-200.0, math.inf), "mean level of the frames that count"),
            Column("energy_std_db", "dB", "neither", (0.0, math.inf), "standard deviation of those frames' levels"),
        ),
        sample_rate=None,
        needs=frozenset(),
        judge="none",
        source="frame RMS in dBFS over frames within 40 dB of the loudest",
        options={
            "frames": Option("within40", "which frames count", choices=tuple(_FRAMES)),
            "frame_ms": Option(1000 * FRAME_S, "length of a frame in ms", low=5.0, high=500.0),
            "hop_ms": Option(1000 * HOP_S, "from one frame to the next, in ms", low=1.0, high=500.0),
        },
    )

    def __init__(
        self,
        device: str = "cpu",
        *,
        frames: str = "within40",
        frame_ms: float = 1000 * FRAME_S,
        hop_ms: float = 1000 * HOP_S,
    ) -> None:
        check_values(self.spec.name, self.spec.options, frames=frames, frame_ms=frame_ms, hop_ms=hop_ms)
        self._device = torch.device(device)
        self._frames = frames
        self._frame_s, self._hop_s = frame_ms / 1000, hop_ms / 1000
        self._vad = SileroVad(self._device)

    def score(self, batch: ClipBatch) -> Scores:
        scores = Scores(self.spec, len(batch))
        refused = unusable(batch)
        audio = batch.audio.to(self._device)
        levels, real = frame_levels(audio, batch.lengths, batch.sample_rate, self._frame_s, self._hop_s)
        if self._frames == "all_floored":
            levels = levels.clamp_min(FLOOR_DBFS)
        counted = self._counted(batch, levels, real)
        counts = counted.sum(dim=1)
        mean = levels.masked_fill(~counted, 0).sum(dim=1) / counts
        squares = (levels - mean[:, None]).square().masked_fill(~counted, 0).sum(dim=1)
        std = (squares / counts).sqrt()
        for index in range(len(batch)):
            if reason := refused.get(index) or self._nothing_to_count(int(real[index].sum()), int(counts[index])):
                scores.refuse(index, reason)
                continue
            scores["energy_mean_db"][index] = float(mean[index])
            scores["energy_std_db"][index] = float(std[index])
            scores.details[index] = {
                "energy_frames": int(real[index].sum()),
                "energy_active_frames": int(counts[index]),
                "energy_clip_db": float(10 * batch.clip(index).double().square().mean().log10()),
            }
        return scores

    def _counted(self, batch: ClipBatch, levels: Tensor, real: Tensor) -> Tensor:
        """Which frames count, bool [clips, frames]."""
        if self._frames == "within40":
            return active(levels, real)
        if self._frames == "vad":
            middles = torch.arange(real.shape[1], device=real.device) * self._hop_s + self._frame_s / 2
            speech = [in_stretches(middles, stretches) for stretches in self._vad.speech(batch)]
            return real & torch.stack(speech) if speech else real
        return real

    def _nothing_to_count(self, frames: int, counted: int) -> str | None:
        if not frames:
            return f"the clip is shorter than one frame of {1000 * self._frame_s:g} ms"
        return None if counted else "no speech was found in the clip"

    def passport(self) -> Passport:
        by_vad = self._frames == "vad"
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge="silero-vad" if by_vad else "none",
            weights_sha256=silero.weights_sha256() if by_vad else {},
            parameters={
                "frames": _FRAMES[self._frames],
                "frame_s": self._frame_s,
                "hop_s": self._hop_s,
                "silence_dbfs": SILENCE_DBFS,
            },
            packages=silero.packages() if by_vad else versions("torch"),
        )

    @classmethod
    def unavailable(cls, frames: str = "within40", **_: Value) -> str | None:
        return silero.unavailable() if frames == "vad" else None
