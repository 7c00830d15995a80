"""The two DNSMOS networks of the `speechmos` wheel, run by onnxruntime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from metrics.dnsmos_windows import SAMPLE_RATE
from metrics.mel import mel_power
from metrics.packages import package_file

P835_FILE = "dnsmos_models/sig_bak_ovr.onnx"
P808_FILE = "dnsmos_models/model_v8.onnx"

# Coefficients from the highest power down, as in speechmos: what the network says -> MOS of ITU-T P.835.
_SIG = (-0.08397278, 1.22083953, 0.0052439)
_BAK = (-0.13166888, 1.60915514, -0.39604546)
_OVRL = (-0.06766283, 1.11546468, 0.04602535)


def weights() -> dict[str, Path]:
    """File name inside the package -> path."""
    return {name: package_file("speechmos", name) for name in (P835_FILE, P808_FILE)}


class DnsMosNets:
    """Both networks. Windows in, one row per window out."""

    def __init__(self, threads: int) -> None:
        files = weights()
        self._p835 = _session(files[P835_FILE], threads)
        self._p808 = _session(files[P808_FILE], threads)

    def mos(self, windows: Tensor) -> NDArray[np.float64]:
        """MOS, float64 [windows, 4] in the order ovrl, sig, bak, p808, of windows, float32 [windows, 144160]."""
        (p835,) = self._p835.run(None, {"input_1": windows.numpy()})
        (p808,) = self._p808.run(None, {"input_1": p808_features(windows).numpy()})
        sig, bak, ovrl = p835.astype(np.float64).T
        columns = (np.polyval(_OVRL, ovrl), np.polyval(_SIG, sig), np.polyval(_BAK, bak), p808[:, 0])
        return np.stack(columns, axis=1)


def p808_features(windows: Tensor) -> Tensor:
    """Input of the P.808 network, float32 [windows, 900, 120] in -1..1, from windows, float32 [windows, 144160].

    120 mels of the window without its last 160 samples, in dB below the window's loudest bin, cut off at -80 dB.
    """
    mel = mel_power(windows[:, :-160], sample_rate=SAMPLE_RATE, n_fft=321, hop=160, n_mels=120)
    db = 10 * mel.clamp_min(1e-10).log10()
    below_peak = db - db.amax(dim=(1, 2), keepdim=True)
    return ((below_peak.clamp_min(-80) + 40) / 40).transpose(1, 2).contiguous()


def _session(path: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
