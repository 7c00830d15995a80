"""Tables of measured clips, as a diagnosis keeps them, from a few numbers per clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_FLOATS = (
    *("energy_mean_db", "energy_std_db", "energy_active_frames", "energy_clip_db"),
    *("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", "dnsmos_p808", "wada_snr_db", "f0_median_hz", "f0_range_st"),
    *("voiced_ratio", "speaking_rate", "speech_s", "silence_ratio", "leading_silence_s", "trailing_silence_s"),
    *("longest_pause_s", "clipping_ratio", "bandwidth_hz", "wer", "seconds", "start_s"),
    *("speech_frames", "speech_mean_db", "speech_std_db"),
)
_STRINGS = ("id", "speaker", "where", "key", "problem", "text", "copy_of")
_WHOLE = ("sample_rate", "channels", "words", "embedding")
SCHEMA = pa.schema(
    [(name, pa.string()) for name in _STRINGS]
    + [(name, pa.float64()) for name in _FLOATS]
    + [(name, pa.int64()) for name in _WHOLE]
    + [("fingerprint", pa.list_(pa.uint32()))]
)
CHECKS = pa.schema(
    [
        ("id", pa.string()),
        ("near_copy_of", pa.string()),
        ("speaker_cosine", pa.float64()),
        ("nearest_speaker", pa.string()),
        ("transcript", pa.string()),
        ("flags", pa.list_(pa.string())),
    ]
)


def clip(name: str, speaker: str = "anna", **others: Any) -> dict[str, Any]:
    """A good clip of 5 s; a clip with a problem has nothing measured."""
    row = {
        "id": name,
        "speaker": speaker,
        "where": f"/data/{name}.wav",
        "key": f"key-{name}",
        "text": "The quick brown fox.",
        "words": 4,
        "start_s": 0.0,
        "seconds": 5.0,
        "sample_rate": 24000,
        "channels": 1,
        "energy_mean_db": -30.0,
        "energy_std_db": 10.0,
        "energy_active_frames": 400.0,
        "energy_clip_db": -25.0,
        "dnsmos_ovrl": 3.6,
        "wada_snr_db": 30.0,
        "silence_ratio": 0.1,
        "clipping_ratio": 0.0,
        "bandwidth_hz": 11000.0,
    } | others
    if row.get("problem"):
        kept = ("id", "speaker", "where", "key", "problem", "text", "words", "start_s", "copy_of")
        row = {key: value for key, value in row.items() if key in kept}
    return row


def many(
    count: int, spread_db: float = 10.0, moves_db: float = 2.0, speaker: str = "anna", seed: int = 0, **others: Any
) -> list[dict[str, Any]]:
    """Clips whose levels vary by spread_db within, and by moves_db between them; DNS-MOS by 0.36."""
    rng = np.random.default_rng(seed)
    return [
        clip(
            f"{speaker}-{place:04}",
            speaker,
            **{
                "seconds": float(rng.uniform(3, 7)),
                "energy_mean_db": float(-30 + moves_db * rng.standard_normal()),
                "energy_std_db": float(spread_db + 0.5 * rng.standard_normal()),
                "energy_active_frames": float(rng.integers(300, 700)),
                "dnsmos_ovrl": float(3.6 + 0.36 * rng.standard_normal()),
            }
            | others,
        )
        for place in range(count)
    ]


def write_clips(folder: Path, rows: Sequence[Mapping[str, Any]], name: str = "clips.parquet") -> Path:
    path = folder / name
    pq.write_table(pa.Table.from_pylist(list(rows), schema=SCHEMA), path, row_group_size=1000)
    return path


def write_checks(
    folder: Path, rows: Sequence[Mapping[str, Any]], flags: Mapping[str, Sequence[str]], **more: Any
) -> Path:
    """A line per clip; flags: id -> kinds; more: column -> {id: value}."""
    lines = [
        {"id": row["id"], "flags": list(flags.get(row["id"], ()))}
        | {column: values.get(row["id"]) for column, values in more.items()}
        for row in rows
    ]
    path = folder / "checks.parquet"
    pq.write_table(pa.Table.from_pylist(lines, schema=CHECKS), path)
    return path
