"""Signal: duration, clipping and bandwidth, from the samples alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from metrics.base import ClipBatch, Column, MetricSpec, Passport, Scores
from metrics.clips import SILENCE_DBFS, broken, unusable
from metrics.frames import DYNAMIC_RANGE_DB, FRAME_S, HOP_S, TOO_SHORT, active, frame_levels
from metrics.packages import versions

FULL_SCALE = 32767 / 32768  # the largest sample of a 16-bit file
CLIPPED_RUN = 3  # samples: a single one at full scale is a peak, not clipping
BAND_HZ = 200.0
BAND_RANGE_DB = 50.0  # below the strongest band; real speech keeps its own band above this, most noise floors do not

_FRAMES_PER_PASS = 8192


class Signal:
    """Duration, clipping and bandwidth of a clip.

    clipping_ratio: share of the samples that lie at or beyond full scale (32767/32768) in a run of at least three of
    the same sign. Clipping that happened before a gain is not seen.

    bandwidth_hz: upper edge of the highest band of 200 Hz whose mean power lies within 50 dB of the strongest band's,
    in the long-term average spectrum (25 ms Blackman every 10 ms) of the frames at most 40 dB below the loudest. A
    voice at 8 kHz that was resampled to 24 kHz has 4000 Hz, not 12000. Noise counts like speech, and so do the images
    that resampling by mere interpolation leaves.
    """

    spec = MetricSpec(
        name="signal",
        version="2",
        columns=(
            Column("duration_s", "s", "neither", (0.0, float("inf")), "length of the clip"),
            Column("clipping_ratio", "", "lower", (0.0, 1.0), "share of samples in runs at full scale"),
            Column("bandwidth_hz", "Hz", "neither", (0.0, float("inf")), "highest frequency with energy of the speech"),
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
        clipped_counts = (clipped(audio) & batch.mask().to(self._device)).sum(dim=1).tolist()
        bandwidths = bandwidth(audio, batch.lengths, batch.sample_rate).tolist()
        no_ratio, no_spectrum = broken(batch), unusable(batch)
        for index, length in enumerate(batch.lengths.tolist()):
            scores["duration_s"][index] = length / batch.sample_rate
            if reason := no_ratio.get(index):
                scores.reasons[index]["clipping_ratio"] = reason
            else:
                scores["clipping_ratio"][index] = clipped_counts[index] / length
            if reason := no_spectrum.get(index) or (None if bandwidths[index] else TOO_SHORT):
                scores.reasons[index]["bandwidth_hz"] = reason
            else:
                scores["bandwidth_hz"][index] = bandwidths[index]
        return scores

    def passport(self) -> Passport:
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge="none",
            parameters={
                "full_scale": FULL_SCALE,
                "clipped_run": CLIPPED_RUN,
                "frame_s": FRAME_S,
                "hop_s": HOP_S,
                "active_within_db": DYNAMIC_RANGE_DB,
                "band_hz": BAND_HZ,
                "band_within_db": BAND_RANGE_DB,
                "silence_dbfs": SILENCE_DBFS,
            },
            packages=versions("torch"),
        )

    @classmethod
    def unavailable(cls) -> str | None:
        return None


def clipped(audio: Tensor) -> Tensor:
    """True on samples at full scale in a run of at least three of one sign; bool [clips, samples], as audio is."""
    return _long_runs(audio >= FULL_SCALE) | _long_runs(audio <= -FULL_SCALE)


def bandwidth(audio: Tensor, lengths: Tensor, sample_rate: int) -> Tensor:
    """Upper edge in Hz, float64 [clips], of the highest band of 200 Hz within 50 dB of the strongest.

    audio: float32 [clips, samples]; lengths: int64 [clips]. 0 for a clip without a frame.
    """
    power = _active_power(audio, lengths, sample_rate)
    bins = torch.arange(power.shape[1], device=power.device)
    band_of = (bins * sample_rate / round(FRAME_S * sample_rate) / BAND_HZ).long()
    bands = int(band_of[-1]) + 1
    sums = power.new_zeros(len(power), bands).index_add_(1, band_of, power)
    levels = 10 * (sums / torch.bincount(band_of, minlength=bands)).log10()
    heard = levels >= levels.amax(dim=1, keepdim=True) - BAND_RANGE_DB
    edges = (torch.arange(1, bands + 1, device=power.device) * BAND_HZ).clamp_max(sample_rate / 2)
    return torch.where(power.sum(dim=1) > 0, (heard * edges).amax(dim=1), 0.0)


def _active_power(audio: Tensor, lengths: Tensor, sample_rate: int) -> Tensor:
    """Power spectrum of a clip, summed over its active frames, float64 [clips, bins]."""
    levels, real = frame_levels(audio, lengths, sample_rate)
    frame, hop = round(FRAME_S * sample_rate), round(HOP_S * sample_rate)
    frames = pad(audio, (0, max(0, frame - audio.shape[1]))).unfold(1, frame, hop)
    window = torch.blackman_window(frame, device=audio.device)  # Hann leaks 50 dB into the band beside a sharp edge
    power = torch.zeros(len(audio), frame // 2 + 1, dtype=torch.float64, device=audio.device)
    clips, places = active(levels, real).nonzero(as_tuple=True)
    for first in range(0, len(clips), _FRAMES_PER_PASS):
        here = slice(first, first + _FRAMES_PER_PASS)
        samples = frames[clips[here], places[here]]
        spectra = torch.fft.rfft((samples - samples.mean(dim=1, keepdim=True)) * window)
        power.index_add_(0, clips[here], spectra.abs().square().double())
    return power


def _long_runs(flags: Tensor) -> Tensor:
    beyond = CLIPPED_RUN - 1
    if flags.shape[1] <= beyond:
        return torch.zeros_like(flags)
    whole = flags.unfold(1, CLIPPED_RUN, 1).all(dim=2)  # True where a whole run begins
    return pad(whole, (beyond, beyond)).unfold(1, CLIPPED_RUN, 1).any(dim=2)
