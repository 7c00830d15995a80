"""Every check of a measured training set, as the rows of `checks.parquet`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.diagnostics.training.flags import Checks, Thresholds, levels, severities
from evalkit.diagnostics.training.near_copies import near_copies
from evalkit.diagnostics.training.outliers import Voice, outliers
from evalkit.diagnostics.training.rows import batches
from evalkit.diagnostics.training.transcripts import Heard, Mismatch, mismatches

READ = (
    *("id", "speaker", "problem", "copy_of", "seconds", "sample_rate", "energy_clip_db", "wada_snr_db"),
    *("clipping_ratio", "bandwidth_hz", "silence_ratio", "leading_silence_s", "trailing_silence_s", "longest_pause_s"),
)


def check(
    clips: Path,
    embeddings: Path,
    dimension: int,
    judge: str = "bundled",
    heard: Mapping[str, Heard] | None = None,
    thresholds: Thresholds | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per clip, in the order of the set.

    id, near_copy_of, speaker_cosine, nearest_speaker, flags (list), severity (a number per flag, in its order: greater
    is worse), and `transcript`: why the text is not what is said, or None.

    dimension, judge: of the embeddings (`Embedder`); heard: by id, what a judge heard of clips.
    """
    chosen = thresholds or Thresholds()
    copies = dict(near_copies(clips))
    usual = levels(clips, frozenset(map(hash, copies)))
    texts = mismatches(clips, heard)
    text = next(texts, None)
    voices = outliers(embeddings, clips, dimension, judge)
    for batch in batches(clips, READ):
        for row, voice in zip(
            batch.to_pylist(), voices, strict=False
        ):  # rows run out first: a batch ends before they do
            mismatch = text if text is not None and text.id == row["id"] else None
            text = next(texts, None) if mismatch is not None else text
            checks = Checks(copies.get(row["id"]), voice.wrong, mismatch is not None, usual.get(row["speaker"]))
            yield _row(row, checks, voice, mismatch, chosen)


def _row(
    row: Mapping[str, Any], checks: Checks, voice: Voice, mismatch: Mismatch | None, thresholds: Thresholds
) -> dict[str, Any]:
    found = severities(row, checks, thresholds)
    if voice.cosine is not None and "wrong speaker" in found:
        found["wrong speaker"] = -voice.cosine
    if mismatch is not None and "transcript" in found:
        found["transcript"] = mismatch.severity
    return {
        "id": row["id"],
        "near_copy_of": checks.near_copy_of,
        "speaker_cosine": voice.cosine,
        "nearest_speaker": voice.nearest,
        "transcript": mismatch.says if mismatch is not None else None,
        "flags": list(found),
        "severity": list(found.values()),
    }
