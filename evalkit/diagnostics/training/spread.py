"""The spreads that the verdict rests on, and how sure they are: a seeded bootstrap over clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evalkit.decisions.intervals import RESAMPLES, SEED
from evalkit.diagnostics.training.published import ABOUT_GAIN_DB, COLLAPSE_DB, Zone
from evalkit.diagnostics.training.rows import Floats

Interval = tuple[float, float]
Bools = npt.NDArray[np.bool_]

_CELLS = 1_000_000  # resamples x clips that are drawn at once: 24 MB
_DRAWS = 40_000_000  # of all resamples together; more than 10,000 clips get fewer resamples, and need fewer
_LEAST = 1000


@dataclass(frozen=True)
class Spread:
    """Energy pooled over frames and DNS-MOS over clips.

    mean_db, std_db: of the levels of all counted frames, dBFS and dB; std divides by their number. dnsmos_sd divides by
    the number of clips less one. Intervals: 95 %, percentiles of the resamples, None for fewer than two clips. zones:
    share of the resamples whose energy spread lies in each.
    """

    clips: int
    frames: int
    mean_db: float | None
    std_db: float | None
    std_ci95: Interval | None
    zones: Mapping[Zone, float] | None
    dnsmos_mean: float | None
    dnsmos_sd: float | None
    dnsmos_sd_ci95: Interval | None
    resamples: int


def pooled(frames: Floats, means: Floats, stds: Floats) -> tuple[float, float]:
    """Mean and standard deviation of all frames of clips, from each clip's count, mean and (population) deviation.

    sum n m / sum n, and the root of sum n (s^2 + m^2) / sum n - mean^2, computed about the mean for precision.
    """
    mean = float(np.average(means, weights=frames))
    return mean, float(np.sqrt(np.average(stds**2 + (means - mean) ** 2, weights=frames)))


@dataclass(frozen=True)
class InSpeech:
    """std_db: of the frames in speech alone, dB; pauses: share of the counted frames that lie outside of speech."""

    std_db: float
    pauses: float


def in_speech(counted: Floats, frames: Floats, means: Floats, stds: Floats) -> InSpeech | None:
    """Per clip the counted frames, and number, mean and deviation of those in speech; None where nothing is known."""
    spoken = countable(frames, means, stds)
    if not spoken.any():
        return None
    known = np.isfinite(counted) & np.isfinite(frames)
    share = float(1 - frames[known].sum() / counted[known].sum())
    return InSpeech(pooled(frames[spoken], means[spoken], stds[spoken])[1], share)


def measure(frames: Floats, means: Floats, stds: Floats, dnsmos: Floats) -> Spread:
    """All given per clip, NaN where a clip has no value."""
    spoken = countable(frames, means, stds)
    rated = np.isfinite(dnsmos)
    mean, std = pooled(frames[spoken], means[spoken], stds[spoken]) if spoken.any() else (0.0, 0.0)
    average = float(dnsmos[rated].mean()) if rated.any() else 0.0
    table = np.zeros((len(frames), 6))
    n, m, d = frames[spoken], means[spoken] - mean, dnsmos[rated] - average
    table[spoken, :3] = np.column_stack([n, n * m, n * (stds[spoken] ** 2 + m**2)])
    table[rated, 3:] = np.column_stack([np.ones_like(d), d, d**2])
    energies, ratings = _resampled(table[spoken | rated])
    # Where few clips count, some resamples hold none of them and have no spread.
    energies = energies[np.isfinite(energies)] if spoken.sum() > 1 else np.empty(0)
    ratings = ratings[np.isfinite(ratings)] if rated.sum() > 1 else np.empty(0)
    return Spread(
        clips=int(spoken.sum()),
        frames=int(n.sum()),
        mean_db=mean if spoken.any() else None,
        std_db=std if spoken.any() else None,
        std_ci95=_interval(energies),
        zones=_zones(energies) if len(energies) else None,
        dnsmos_mean=average if rated.any() else None,
        dnsmos_sd=float(dnsmos[rated].std(ddof=1)) if rated.sum() > 1 else None,
        dnsmos_sd_ci95=_interval(ratings),
        resamples=len(energies),
    )


def countable(frames: Floats, means: Floats, stds: Floats) -> Bools:
    """Which clips have levels to pool."""
    return np.isfinite(frames) & np.isfinite(means) & np.isfinite(stds) & (np.nan_to_num(frames) > 0)


def _resampled(table: Floats) -> tuple[Floats, Floats]:
    """Both spreads of every resample of the clips. table: the sums that they are made of, a row per clip."""
    clips = len(table)
    if clips < 2:
        return np.empty(0), np.empty(0)
    count = min(RESAMPLES, max(_LEAST, _DRAWS // clips))
    rng = np.random.default_rng(SEED)
    at_once = max(1, _CELLS // clips)
    energies, ratings = np.empty(count), np.empty(count)
    for first in range(0, count, at_once):
        part = min(at_once, count - first)
        picks = rng.integers(clips, size=(part, clips))
        picks += clips * np.arange(part)[:, None]
        drawn = np.bincount(picks.reshape(-1), minlength=part * clips).reshape(part, clips)
        n, nm, nq, k, d, dd = (drawn @ table).T
        with np.errstate(invalid="ignore", divide="ignore"):
            energies[first : first + part] = np.sqrt(np.maximum(nq / n - (nm / n) ** 2, 0))
            ratings[first : first + part] = np.sqrt(np.maximum(dd - d**2 / k, 0) / (k - 1))
    return energies, ratings


def _interval(values: Floats) -> Interval | None:
    if not len(values):
        return None
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _zones(energies: Floats) -> dict[Zone, float]:
    gain, collapse = float((energies >= ABOUT_GAIN_DB).mean()), float((energies < COLLAPSE_DB).mean())
    return {"gain": gain, "undecided": max(0.0, 1 - gain - collapse), "collapse": collapse}
