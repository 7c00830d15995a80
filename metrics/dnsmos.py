"""DNSMOS: what listeners would say of the speech, the background and the whole."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metrics.base import ClipBatch, Column, MetricSpec, Passport, Scores
from metrics.clips import SILENCE_DBFS, require_rate, unusable
from metrics.dnsmos_nets import DnsMosNets, load_nets
from metrics.dnsmos_p808 import p808_features
from metrics.dnsmos_shared import HOP, Stretch, p835, stretches
from metrics.dnsmos_weights import p835_file, weight_files
from metrics.dnsmos_windows import SAMPLE_RATE, WINDOW_MODES, distinct_windows
from metrics.options import Option, Value, check_values
from metrics.packages import missing_packages, sha256, versions
from metrics.precision import full_float32

# What the P.835 networks say of sig, bak and ovrl -> MOS, coefficients from the highest power down, as in speechmos.
_POLYNOMIALS = {
    False: (
        (-0.08397278, 1.22083953, 0.0052439),
        (-0.13166888, 1.60915514, -0.39604546),
        (-0.06766283, 1.11546468, 0.04602535),
    ),
    True: (
        (-0.01019296, 0.02751166, 1.19576786, -0.24348726),
        (-0.04976499, 0.44276479, -0.1644611, 0.96883132),
        (-0.00533021, 0.005101, 1.18058466, -0.11236046),
    ),
}


def _mos(name: str, description: str) -> Column:
    # Meant for 1 to 5, but nothing in the networks keeps to it: a click can get less than 0.
    return Column(name, "MOS", "higher", (-math.inf, math.inf), description)


class DnsMos:
    """DNSMOS P.835 (signal, background, overall) and P.808, equal to `speechmos.dnsmos.run`.

    Levels are left as they are (the P.835 scores depend on them), and a silent clip is refused, because the networks
    give silence 2.5. Samples beyond +-1, which speechmos refuses, are clamped and counted in the details as
    `dnsmos_clamped_samples`: resampling a loud clip overshoots a little.

    Windows of a clip share their convolutions: `metrics.dnsmos_shared`.
    """

    spec = MetricSpec(
        name="dnsmos",
        version="2",
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
        options={
            "windows": Option(
                "compat",
                "compat scores the windows of 9.01 s that speechmos scores, so a clip of 17 to under 34 s by its first "
                "15 s, and a longer one without its seconds 15 to 24; all scores every one",
                choices=tuple(WINDOW_MODES),
            ),
            "personalised": Option(
                False, "P.835 of the speaker in front: other speakers count as noise; P.808 stays the same"
            ),
        },
    )

    def __init__(
        self, device: str = "cpu", threads: int | None = None, *, windows: str = "compat", personalised: bool = False
    ) -> None:
        """onnxruntime with `threads` (by default at most two) runs the networks on the CPU; torch does elsewhere."""
        check_values(self.spec.name, self.spec.options, windows=windows)
        self._device = torch.device(device)
        self._threads = threads or min(2, os.cpu_count() or 1)
        self._windows = windows
        self._personalised = personalised
        self._nets: DnsMosNets | None = None

    def score(self, batch: ClipBatch) -> Scores:
        """MOS per clip: the mean over its windows. Windows that occur several times in a clip are computed once."""
        require_rate(batch, self.spec)
        scores = Scores(self.spec, len(batch))
        refused = unusable(batch)
        for index, reason in refused.items():
            scores.refuse(index, reason)
        clips = {index: batch.clip(index).to(self._device) for index in range(len(batch)) if index not in refused}
        for index, clip in clips.items():
            if beyond := int((clip.abs() > 1).sum()):
                scores.details[index]["dnsmos_clamped_samples"] = beyond
        for index, mos in self._mean_mos({index: clip.clamp(-1, 1) for index, clip in clips.items()}).items():
            for column, value in zip(self.spec.columns, mos.tolist(), strict=True):
                scores[column.name][index] = value
        return scores

    def _mean_mos(self, clips: dict[int, Tensor]) -> dict[int, NDArray[np.float64]]:
        """Clip -> mean ovrl, sig, bak and p808."""
        if self._nets is None:
            self._nets = load_nets(self._personalised, self._device, self._threads)
        times = {index: distinct_windows(len(clip), self._windows) for index, clip in clips.items()}
        parts = [
            (index, part)
            for index, clip in clips.items()
            for part in stretches(clip, [start // HOP for start in times[index]])
        ]
        rows: dict[int, list[NDArray[np.float64]]] = {index: [] for index in clips}
        for group in _passes(parts, self._nets.chunk_frames * self._nets.pieces_per_pass):
            mos = self._window_mos([part for _, part in group])
            ends = np.cumsum([len(part.starts) for _, part in group])
            for (index, _), part_mos in zip(group, np.split(mos, ends[:-1]), strict=True):
                rows[index].append(part_mos)
        return {
            index: np.average(np.concatenate(rows[index]), axis=0, weights=list(times[index].values()))
            for index in clips
        }

    def _window_mos(self, parts: Sequence[Stretch]) -> NDArray[np.float64]:
        """MOS of every window of these stretches, float64 [windows, 4] in the order ovrl, sig, bak, p808."""
        assert self._nets is not None
        with torch.inference_mode(), full_float32(self._device):
            raw = p835(self._nets, parts)
            features = torch.cat([p808_features(part) for part in parts])
            p808 = torch.cat([self._nets.p808(some) for some in torch.split(features, self._nets.pieces_per_pass)])
        sig, bak, ovrl = (
            np.polyval(coefficients, said)
            for coefficients, said in zip(_POLYNOMIALS[self._personalised], raw.double().cpu().numpy().T, strict=True)
        )
        return np.stack([ovrl, sig, bak, p808[:, 0].double().cpu().numpy()], axis=1)

    def passport(self) -> Passport:
        files = weight_files(self._personalised)
        on_cpu = self._device.type == "cpu"
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge=f"DNSMOS P.835 {p835_file(self._personalised)} and P.808 model_v8.onnx",
            weights_sha256={name: sha256(path) for name, path in files.items()},
            parameters={
                "windows": WINDOW_MODES[self._windows],
                "personalised": self._personalised,
                "level": "unchanged, clamped to +-1",
                "silence_dbfs": SILENCE_DBFS,
                "resampler": "soxr_hq by the caller",
                "runtime": "onnxruntime CPU float32" if on_cpu else f"torch {self._device.type} float32",
            },
            packages=versions("onnxruntime", "speechmos", "torch"),
        )

    @classmethod
    def unavailable(cls, **options: Value) -> str | None:
        return missing_packages(("onnx", "onnxruntime", "speechmos"), "bundled")


def _passes(parts: Sequence[tuple[int, Stretch]], frames: int) -> Iterator[list[tuple[int, Stretch]]]:
    """Divide stretches into groups of about so many frames, at least one stretch in each."""
    group: list[tuple[int, Stretch]] = []
    for item in parts:
        if group and sum(part.length for _, part in [*group, item]) > frames:
            yield group
            group = []
        group.append(item)
    if group:
        yield group
