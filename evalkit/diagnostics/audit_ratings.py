"""How far a metric agrees with people: correlations with their ratings, per clip and per system."""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from evalkit.diagnostics.audit_measure import score
from evalkit.errors import EvalkitError
from evalkit.files import read_text
from evalkit.pipeline.audio import read_audio, unusable
from evalkit.pipeline.existing import references_of
from metrics import ClipInfo, Metric, Scores

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


@dataclass
class Found:
    """One column of the rated clips, NaN where a clip has no value. reason: why the first of those has none."""

    values: list[float] = field(default_factory=list)
    reason: str = ""


def read_ratings(path: Path) -> list[Rated]:
    """Rows of a CSV with the columns audio and rating, and optionally system, text and reference (file or folder).

    Paths are relative to the CSV; rows of one file are averaged. Raises EvalkitError on a bad header or row, and where
    a clip or a reference is no audio.
    """
    if not path.is_file():
        raise EvalkitError(f"There is no file {path}: give a CSV with the columns 'audio' and 'rating'.")
    reader = csv.DictReader(io.StringIO(read_text(path)))
    try:
        rows = list(reader)
    except csv.Error as error:
        raise EvalkitError(f"{path} after line {reader.line_num} is not CSV ({error}): mend it.") from error
    if missing := {"audio", "rating"} - set(reader.fieldnames or ()):
        raise EvalkitError(f"{path} has no column '{min(missing)}' in its first line: name audio, rating, system.")
    grouped: dict[Path, list[Rated]] = {}
    lines: dict[Path, int] = {}  # file -> where it is first named
    for line, row in enumerate(rows, start=2):
        rated = _rated(path, line, row)
        grouped.setdefault(rated.path, []).append(rated)
        for file in (rated.path, *rated.reference):
            lines.setdefault(file, line)
    for file, line in lines.items():
        _check_audio(path, line, file)
    if len(grouped) < FEWEST:
        raise EvalkitError(f"{path} rates {len(grouped)} clips: a correlation needs {FEWEST} at the least.")
    return [replace(rows[0], rating=fmean(row.rating for row in rows)) for rows in grouped.values()]


def _rated(path: Path, line: int, row: Mapping[str, str | None]) -> Rated:
    audio = path.parent / (row["audio"] or "").strip()
    try:
        rating = float(row["rating"] or "")
    except ValueError:
        rating = math.nan
    if not math.isfinite(rating) or not audio.is_file():
        what = f"the file {audio} does not exist" if math.isfinite(rating) else "'rating' is not a number"
        raise EvalkitError(f"{path} line {line}: {what}; mend the row or remove it.")
    system, text = ((row.get(key) or "").strip() for key in ("system", "text"))
    return Rated(audio, rating, system, text or None, references_of(path, line, row.get("reference")))


def _check_audio(path: Path, line: int, file: Path) -> None:
    import soundfile

    try:
        soundfile.info(file)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise EvalkitError(
            f"{path} line {line}: {file} cannot be read as audio ({error}); mend the row or remove it."
        ) from error


def score_rated(metric: Metric, rated: Sequence[Rated], device: str) -> dict[str, Found]:
    """Column -> its values of the rated clips, which are scored as they are, one at a time."""
    columns = {column.name: Found() for column in metric.spec.columns}
    for clip in rated:
        scores = _score(metric, clip, device)
        for column, found in columns.items():
            found.values.append(scores[column][0])
            if not math.isfinite(scores[column][0]):
                reason = scores.reasons[0].get(column, "it gave no value and no reason")
                found.reason = found.reason or f"{clip.path.name}: {reason}".rstrip(".")
    return columns


def _score(metric: Metric, clip: Rated, device: str) -> Scores:
    try:
        audio, rate = read_audio(clip.path)
        info = ClipInfo(clip.path.stem, clip.text, reference=clip.reference)
        problem = unusable(audio, rate)
        if problem is None:
            return score(metric, [audio], rate, [info], device)
        reason = problem[1]
    except Exception as error:  # one clip is left out; it does not cost all that was measured before
        reason = str(error)
    refused = Scores(metric.spec, 1)
    refused.refuse(0, reason)
    return refused


def agreement(rated: Sequence[Rated], found: Found, seed: int) -> dict[str, Any]:
    """Correlations per clip and, where systems are named, per system; how many clips were left out, and the first
    reason.
    """
    kept = [(clip, value) for clip, value in zip(rated, found.values, strict=True) if math.isfinite(value)]
    systems: dict[str, list[tuple[float, float]]] = {}
    for clip, value in kept:
        systems.setdefault(clip.system, []).append((clip.rating, value))
    means = [(fmean(r for r, _ in pairs), fmean(v for _, v in pairs)) for name, pairs in systems.items() if name]
    return {
        "left_out": len(rated) - len(kept),
        "why_left_out": found.reason or None,
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
