"""How far a metric agrees with people: correlations with their ratings, per clip and per system."""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from evalkit.diagnostics.audit_measure import score
from evalkit.errors import EvalkitError
from evalkit.files import audio_files
from evalkit.pipeline.audio import read_audio, unusable
from metrics import ClipInfo, Metric

RESAMPLES = 1000
FEWEST = 5  # pairs: fewer say nothing of a correlation

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rated:
    """A clip with the mean of its ratings."""

    path: Path
    rating: float
    system: str
    text: str | None
    reference: tuple[Path, ...]


def read_ratings(path: Path) -> list[Rated]:
    """Rows of a CSV with the columns audio and rating, and optionally system, text and reference (file or folder).

    Paths are relative to the CSV; rows of one file are averaged. Raises EvalkitError on a bad header or row.
    """
    if not path.is_file():
        raise EvalkitError(f"There is no file {path}: give a CSV with the columns 'audio' and 'rating'.")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if missing := {"audio", "rating"} - set(reader.fieldnames or ()):
            raise EvalkitError(f"{path} has no column '{min(missing)}' in its first line: name audio, rating, system.")
        rows = list(reader)
    grouped: dict[Path, list[Rated]] = {}
    for line, row in enumerate(rows, start=2):
        audio = path.parent / (row["audio"] or "").strip()
        try:
            rating = float(row["rating"])
        except (TypeError, ValueError):
            rating = math.nan
        if not math.isfinite(rating) or not audio.is_file():
            what = f"the file {audio} does not exist" if math.isfinite(rating) else "'rating' is not a number"
            raise EvalkitError(f"{path} line {line}: {what}; mend the row or remove it.")
        system, text, named = ((row.get(key) or "").strip() for key in ("system", "text", "reference"))
        reference = path.parent / named if named else None
        clips = tuple(audio_files(reference)) if reference and reference.is_dir() else (reference,) if reference else ()
        grouped.setdefault(audio, []).append(Rated(audio, rating, system, text or None, clips))
    if len(grouped) < FEWEST:
        raise EvalkitError(f"{path} rates {len(grouped)} clips: a correlation needs {FEWEST} at the least.")
    return [replace(rows[0], rating=fmean(row.rating for row in rows)) for rows in grouped.values()]


def score_rated(metric: Metric, rated: Sequence[Rated], device: str) -> dict[str, list[float]]:
    """Column -> one value per rated clip, NaN where there is none; the clips as they are, one at a time."""
    values: dict[str, list[float]] = {column.name: [] for column in metric.spec.columns}
    for clip in rated:
        audio, rate = read_audio(clip.path)
        info = ClipInfo(clip.path.stem, clip.text, reference=clip.reference)
        scores = None if unusable(audio, rate) else score(metric, [audio], rate, [info], device)
        for column, found in values.items():
            found.append(scores[column][0] if scores is not None else math.nan)
    return values


def agreement(rated: Sequence[Rated], values: Sequence[float], seed: int) -> dict[str, Any]:
    """Correlations per clip and, where systems are named, per system, with the number of clips left out."""
    kept = [(clip, value) for clip, value in zip(rated, values, strict=True) if math.isfinite(value)]
    systems: dict[str, list[tuple[float, float]]] = {}
    for clip, value in kept:
        systems.setdefault(clip.system, []).append((clip.rating, value))
    means = [(fmean(r for r, _ in pairs), fmean(v for _, v in pairs)) for name, pairs in systems.items() if name]
    return {
        "left_out": len(rated) - len(kept),
        "rating": [clip.rating for clip, _ in kept],
        "value": [value for _, value in kept],
        "utterance": correlations([clip.rating for clip, _ in kept], [value for _, value in kept], seed),
        "system": correlations([rating for rating, _ in means], [value for _, value in means], seed),
    }


def correlations(ratings: Sequence[float], values: Sequence[float], seed: int) -> dict[str, Any] | None:
    """n, and Pearson, Spearman and Kendall (tau-b), each with its 95 % percentile bootstrap interval.

    None for fewer than 5 pairs or where one side is constant.
    """
    x, y = np.asarray(ratings, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if len(x) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    kinds = {"pearson": _pearson, "spearman": _spearman, "kendall": _kendall}
    return {
        "n": len(x),
        **{name: {"r": kind(x, y), "ci95": _interval(x, y, kind, seed)} for name, kind in kinds.items()},
    }


def _interval(x: Floats, y: Floats, statistic: Callable[[Floats, Floats], float], seed: int) -> list[float]:
    from scipy.stats import bootstrap

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a resample may be constant
        result = bootstrap(
            (x, y),
            statistic,
            paired=True,
            vectorized=False,
            n_resamples=RESAMPLES,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    return [float(bound) for bound in np.nanquantile(result.bootstrap_distribution, [0.025, 0.975])]


def _pearson(x: Floats, y: Floats) -> float:
    return float(np.corrcoef(x, y)[0, 1])


def _spearman(x: Floats, y: Floats) -> float:
    from scipy.stats import rankdata

    return _pearson(rankdata(x), rankdata(y))


def _kendall(x: Floats, y: Floats) -> float:
    from scipy.stats import kendalltau

    return float(kendalltau(x, y).statistic)
