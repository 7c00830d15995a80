"""WADA-SNR: a blind estimate of the signal-to-noise ratio from the distribution of amplitudes."""

from __future__ import annotations

import torch
from torch import Tensor

from metrics.base import ClipBatch, Column, MetricSpec, Passport, Scores
from metrics.clips import broken
from metrics.options import Option
from metrics.packages import versions
from metrics.wada_table import DB_FIRST, DB_LAST, PUBLISHED_G

# |x| after peak normalisation is not taken below this, so that an exact zero counts as ln(1e-10) = -23.
FLOOR = 1e-10


class WadaSnr:
    """WADA-SNR as the common numpy version computes it: peak normalised, floor 1e-10, published table.

    The estimate is good for noisy speech below about 30 dB. Clean or synthetic speech often runs into the end of the
    table, and exact zeros push it there: compare it only together with `wada_saturated` and `digital_silence_ratio`,
    and at equal sample rates. With the options `zeros` and `dc` the estimate is of what is left of the clip: first the
    exact zeros go, then the mean of the rest.
    """

    spec = MetricSpec(
        name="wada_snr",
        version="1",
        columns=(
            Column("wada_snr_db", "dB", "higher", (DB_FIRST, DB_LAST), "WADA estimate of the signal-to-noise ratio"),
            Column("wada_saturated", "", "neither", (0.0, 1.0), "1 where wada_snr_db is an end of its table, else 0"),
            Column("digital_silence_ratio", "", "neither", (0.0, 1.0), "share of samples that are exactly zero"),
        ),
        sample_rate=None,
        needs=frozenset(),
        judge="none",
        source="Kim, Stern: WADA-SNR, Interspeech 2008; snreval/wada_snr.m with peak normalisation",
        options={
            "dc": Option(False, "remove the clip's mean first; published numbers leave it in"),
            "zeros": Option(False, "drop exact zeros first, which push the estimate up; published numbers keep them"),
        },
    )

    def __init__(self, device: str = "cpu", *, dc: bool = False, zeros: bool = False) -> None:
        self._device = torch.device(device)
        self._dc = dc
        self._zeros = zeros

    def score(self, batch: ClipBatch) -> Scores:
        scores = Scores(self.spec, len(batch))
        reasons = broken(batch)
        audio, mask = batch.audio.to(self._device), batch.mask().to(self._device)
        silence = _masked_mean((audio == 0).float(), mask).tolist()
        snr, saturated = invert(amplitude_statistic(*self._prepared(audio, mask)))
        for index in range(len(batch)):
            if reason := reasons.get(index):
                scores.refuse(index, reason)
                continue
            if snr[index].isnan():
                constant = "every sample of the clip is zero" if silence[index] == 1 else "the clip is its mean alone"
                scores.refuse(index, constant)
                del scores.reasons[index]["digital_silence_ratio"]
            else:
                scores["wada_snr_db"][index] = float(snr[index])
                scores["wada_saturated"][index] = float(saturated[index])
            scores["digital_silence_ratio"][index] = silence[index]
        return scores

    def _prepared(self, audio: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if self._zeros:
            mask = mask & (audio != 0)
        if self._dc:
            audio = audio - _masked_mean(audio, mask)[:, None].to(audio.dtype)
        return audio.abs(), mask

    def passport(self) -> Passport:
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge="none",
            parameters={
                "table": "published, alpha 0.4, made monotone",
                "level": "peak 1",
                "floor": FLOOR,
                "dc": "removed" if self._dc else "kept",
                "zeros": "dropped" if self._zeros else "kept",
            },
            packages=versions("torch"),
        )

    @classmethod
    def unavailable(cls, dc: bool = False, zeros: bool = False) -> str | None:
        return None


def amplitude_statistic(magnitude: Tensor, mask: Tensor) -> Tensor:
    """G = ln E|x| - E ln|x|, float64 [clips], over the unmasked samples of |x|, float32 [clips, samples].

    NaN for a clip without samples or with nothing but zeros.
    """
    if magnitude.shape[1] == 0:
        return torch.full((len(magnitude),), torch.nan, dtype=torch.float64)
    peak = magnitude.masked_fill(~mask, 0).amax(dim=1, keepdim=True)
    normalised = (magnitude / peak).clamp_min(FLOOR)
    return _masked_mean(normalised, mask).log() - _masked_mean(normalised.log(), mask)


def invert(statistic: Tensor) -> tuple[Tensor, Tensor]:
    """SNR in dB, float64 [clips], by linear interpolation in the table; bool [clips], True where G is outside it.

    The SNR is NaN where G is.
    """
    table = torch.tensor(PUBLISHED_G, dtype=torch.float64).cummax(0).values
    statistic = statistic.cpu()
    above = torch.searchsorted(table, statistic).clamp(1, len(table) - 1)
    low, high = table[above - 1], table[above]
    snr = DB_FIRST + above - 1 + (statistic - low) / (high - low)
    return snr.clamp(DB_FIRST, DB_LAST), (statistic <= table[0]) | (statistic >= table[-1])


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    # Summed in float64: near 100 dB a step of one dB is less than 1e-3 of G.
    return values.double().masked_fill(~mask, 0).sum(dim=1) / mask.sum(dim=1)
