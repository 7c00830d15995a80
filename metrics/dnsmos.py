"""DNSMOS: what listeners would say of the speech, the background and the whole."""

from __future__ import annotations

import os

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metrics.base import ClipBatch, Column, MetricSpec, Passport, Scores
from metrics.clips import SILENCE_DBFS, require_rate, unusable
from metrics.dnsmos_nets import DnsMosNets, weights
from metrics.dnsmos_windows import SAMPLE_RATE, cut, distinct_windows
from metrics.packages import missing_packages, sha256, versions

# More windows in a pass gain no time on a CPU and take 0.15 GB each; one also keeps a clip's score the same to the last
# bit, whatever else is in the batch.
WINDOWS_PER_PASS = 1


def _mos(name: str, description: str) -> Column:
    return Column(name, "MOS", "higher", (1.0, 5.0), description)


class DnsMos:
    """DNSMOS P.835 (signal, background, overall) and P.808, equal to `speechmos.dnsmos.run`.

    Levels are left as they are (the scores depend on them), and a silent clip is refused, because the networks give
    silence 2.5. Samples beyond +-1, which speechmos refuses, are clamped and counted in the details as
    `dnsmos_clamped_samples`: resampling a loud clip overshoots a little.
    """

    spec = MetricSpec(
        name="dnsmos",
        version="1",
        columns=(
            _mos("dnsmos_ovrl", "DNSMOS P.835, overall quality"),
            _mos("dnsmos_sig", "DNSMOS P.835, quality of the speech itself"),
            _mos("dnsmos_bak", "DNSMOS P.835, absence of background noise"),
            _mos("dnsmos_p808", "DNSMOS P.808, overall quality; does not depend on level"),
        ),
        sample_rate=SAMPLE_RATE,
        needs=frozenset(),
        judge="bundled",
        source="Reddy, Gopal, Cutler: DNSMOS P.835, ICASSP 2022; speechmos 0.0.1.1",
    )

    def __init__(self, device: str = "cpu", threads: int | None = None) -> None:
        """`threads` of onnxruntime, by default at most two. The networks run on the CPU, whatever the device."""
        self._threads = threads or min(2, os.cpu_count() or 1)
        self._nets: DnsMosNets | None = None

    def score(self, batch: ClipBatch) -> Scores:
        """MOS per clip: the mean over its windows. Windows that occur several times in a clip are computed once."""
        require_rate(batch, self.spec)
        scores = Scores(self.spec, len(batch))
        refused = unusable(batch)
        for index, reason in refused.items():
            scores.refuse(index, reason)
        clips = {index: batch.clip(index).cpu() for index in range(len(batch)) if index not in refused}
        for index, clip in clips.items():
            if beyond := int((clip.abs() > 1).sum()):
                scores.details[index]["dnsmos_clamped_samples"] = beyond
        for index, mos in self._mean_mos({index: clip.clamp(-1, 1) for index, clip in clips.items()}).items():
            for column, value in zip(self.spec.columns, mos.tolist(), strict=True):
                scores[column.name][index] = value
        return scores

    def _mean_mos(self, clips: dict[int, Tensor]) -> dict[int, NDArray[np.float64]]:
        if self._nets is None:
            self._nets = DnsMosNets(self._threads)
        windows = [(index, *window) for index, clip in clips.items() for window in distinct_windows(len(clip)).items()]
        sums = {index: np.zeros(len(self.spec.columns)) for index in clips}
        counts = dict.fromkeys(clips, 0)
        for first in range(0, len(windows), WINDOWS_PER_PASS):
            chunk = windows[first : first + WINDOWS_PER_PASS]
            mos = self._nets.mos(torch.stack([cut(clips[index], start) for index, start, _ in chunk]))
            for (index, _, times), row in zip(chunk, mos, strict=True):
                sums[index] += times * row
                counts[index] += times
        return {index: sums[index] / counts[index] for index in clips}

    def passport(self) -> Passport:
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge="DNSMOS P.835 sig_bak_ovr.onnx and P.808 model_v8.onnx, not personalised",
            weights_sha256={name: sha256(path) for name, path in weights().items()},
            parameters={
                "windows": "as speechmos: 9.01 s every second, without 7..23 and 119..122",
                "level": "unchanged, clamped to +-1",
                "silence_dbfs": SILENCE_DBFS,
                "resampler": "soxr_hq by the caller",
                "runtime": "onnxruntime CPU float32",
            },
            packages=versions("onnxruntime", "speechmos", "torch"),
        )

    @classmethod
    def unavailable(cls) -> str | None:
        return missing_packages(("onnxruntime", "speechmos"), "bundled")
