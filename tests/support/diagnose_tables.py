"""Small `clips.parquet` and real audio for the tests of the checks of a training set."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

READINGS = Path(__file__).parents[2] / "fixtures" / "audio" / "readings"
REFERENCE = Path(__file__).parents[2] / "fixtures" / "audio" / "reference"

_TYPES = {
    **dict.fromkeys(("id", "speaker", "problem", "text", "copy_of"), "string"),
    **dict.fromkeys(("sample_rate", "embedding"), "int64"),
}


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A table of clips with the columns that checks read; what a row does not say is missing in it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from evalkit.diagnostics.training.checking import READ

    names = dict.fromkeys((*READ, "text", "speech_s", "fingerprint", "embedding"))
    kinds = {name: pa.type_for_alias(_TYPES.get(name, "float64")) for name in names}
    kinds["fingerprint"] = pa.list_(pa.uint32())
    schema = pa.schema(kinds)
    pq.write_table(pa.Table.from_pylist([{"speaker": "one", **row} for row in rows], schema), path)
    return path


def read(path: Path) -> np.ndarray:
    """float32 [samples] at 16 kHz."""
    samples, rate = soundfile.read(path, dtype="float32")
    return samples if rate == 16000 else soxr.resample(samples, rate, 16000)


def coded(samples: np.ndarray, kind: str, subtype: str, rate: int = 16000) -> np.ndarray:
    """What is left of 16 kHz audio after a codec, at 16 kHz again."""
    file = io.BytesIO()
    soundfile.write(file, samples if rate == 16000 else soxr.resample(samples, 16000, rate), rate, subtype, format=kind)
    file.seek(0)
    heard, _ = soundfile.read(file, dtype="float32")
    return heard if rate == 16000 else soxr.resample(heard, rate, 16000)


def noisy(samples: np.ndarray, snr_db: float, seed: int = 0) -> np.ndarray:
    level = np.sqrt(np.mean(samples**2)) * 10 ** (-snr_db / 20)
    return (samples + level * np.random.default_rng(seed).standard_normal(len(samples))).astype(np.float32)
