"""The figures of one speaker's clips, or of all clips of a training set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.diagnostics.training.gathering import (
    ENERGY,
    HISTOGRAMS,
    Numbers,
    Totals,
    of_all,
    of_each,
    of_speaker,
)
from evalkit.diagnostics.training.rows import Floats, all_speakers, near_copies_in
from evalkit.diagnostics.training.speech_levels import COLUMNS as SPEECH
from evalkit.diagnostics.training.spread import in_speech, measure
from metrics.wada_table import DB_FIRST, DB_LAST

__all__ = ["ALL", "all_speakers", "each_speaker", "speaker_figures"]

ALL = "all speakers"


def speaker_figures(clips: Path, speaker: str | None, checks: Path | None = None) -> dict[str, Any]:
    """What is said of a speaker, but for verdict and phones; speaker None: of the whole set.

    `clips`, `hours`, `copies` and `unreadable` count everything that is in the set. All other figures count audio that
    is there twice once (near copies are known where there are checks), and leave out clips that cannot be read and
    clips without a value; a figure that no clip has is None. energy: levels of frames (25 ms every 10 ms,
    dBFS, within 40 dB of their clip's loudest) pooled over all clips; std divides by the number of frames;
    speech_std_db is that of the frames in speech, pauses the share of the others. Other sd divide by the number of
    clips less one. Intervals: 95 %, by a seeded bootstrap over clips. clip_s: s. wada_snr_db: dB; clips at an end of
    its table say no more than that, and are counted apart in at_an_end. f0: of the clips' medians; low and high are the
    5th and 95th percentile. speaking_rate: words per second of speech. silence_ratio, clipping_ratio: share of all the
    audio. bandwidth: Hz; low is the 5th percentile.
    """
    near = near_copies_in(checks)
    return _figures(speaker, *(of_all(clips, near) if speaker is None else of_speaker(clips, speaker, near)))


def each_speaker(clips: Path, checks: Path | None = None) -> Iterator[dict[str, Any]]:
    """`speaker_figures` of every speaker, in the order of their names; holds the numbers of one at a time."""
    for name, totals, numbers in of_each(clips, near_copies_in(checks)):
        yield _figures(name, totals, numbers)


def _figures(speaker: str | None, totals: Totals, numbers: Numbers) -> dict[str, Any]:
    spread = measure(*numbers.together(*ENERGY, "dnsmos_ovrl"))
    speech = in_speech(*numbers.together(ENERGY[0], *SPEECH))
    f0, bandwidth = _known(_one(numbers, "f0_median_hz")), _known(_one(numbers, "bandwidth_hz"))
    words = _known(_one(numbers, "words"))
    unique = totals.unique_words()
    snr, at_an_end = _snr(_one(numbers, "wada_snr_db"))
    rate = _mean_sd(_one(numbers, "speaking_rate"))
    return {
        "name": ALL if speaker is None else speaker,
        "clips": totals.clips,
        "hours": totals.seconds / 3600,
        "distinct_clips": totals.distinct,
        "distinct_hours": float(np.nansum(_one(numbers, "seconds"))) / 3600,
        "copies": totals.copies,
        "unreadable": totals.unreadable,
        "clip_s": _mean_sd(_one(numbers, "seconds")),
        "words": {"unique": unique, "per_clip": float(words.mean()) if len(words) else None} if unique else None,
        "energy": {
            "mean_db": spread.mean_db,
            "std_db": spread.std_db,
            "std_ci95": _listed(spread.std_ci95),
            "per_clip": _mean_sd(_one(numbers, "energy_clip_db")),
            "clips": spread.clips,
            "minutes": spread.frames / 6000,  # a frame is every 10 ms
            "speech_std_db": speech.std_db if speech else None,
            "pauses": speech.pauses if speech else None,
            "zones": dict(spread.zones) if spread.zones else None,
            "resamples": spread.resamples,
        },
        "dnsmos": {
            "mean": spread.dnsmos_mean,
            "sd": spread.dnsmos_sd,
            "sd_ci95": _listed(spread.dnsmos_sd_ci95),
        },
        "wada_snr_db": _mean_sd(snr) | {"at_an_end": at_an_end},
        "f0_hz": {"median": _quantile(f0, 0.5), "low": _quantile(f0, 0.05), "high": _quantile(f0, 0.95)},
        "f0_range_st": _mean_sd(_one(numbers, "f0_range_st"))["mean"],
        "speaking_rate": rate if rate["mean"] is not None else None,
        "silence_ratio": _share(*numbers.together("silence_ratio", "seconds")),
        "clipping_ratio": _share(*numbers.together("clipping_ratio", "seconds")),
        "bandwidth_hz": {"median": _quantile(bandwidth, 0.5), "low": _quantile(bandwidth, 0.05)},
        "sample_rates": _counts(_one(numbers, "sample_rate")),
        "phones": None,
        "verdict": None,
        "histograms": {column: bins for column in HISTOGRAMS if (bins := _bins(_one(numbers, column))) is not None},
    }


def _snr(values: Floats) -> tuple[Floats, int]:
    inside = (values > DB_FIRST) & (values < DB_LAST)
    return values[inside], int((np.isfinite(values) & ~inside).sum())


def _one(numbers: Numbers, column: str) -> Floats:
    return numbers.together(column)[0]


def _known(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _mean_sd(values: Floats) -> dict[str, float | None]:
    known = _known(values)
    return {
        "mean": float(known.mean()) if len(known) else None,
        "sd": float(known.std(ddof=1)) if len(known) > 1 else None,
    }


def _quantile(known: Floats, share: float) -> float | None:
    return float(np.quantile(known, share)) if len(known) else None


def _share(ratios: Floats, seconds: Floats) -> float | None:
    there = np.isfinite(ratios) & np.isfinite(seconds) & (np.nan_to_num(seconds) > 0)
    return float(np.average(ratios[there], weights=seconds[there])) if there.any() else None


def _counts(rates: Floats) -> dict[str, int]:
    found, clips = np.unique(_known(rates), return_counts=True)
    return {f"{int(rate)}": int(count) for rate, count in zip(found, clips, strict=True)}


def _bins(values: Floats) -> dict[str, Any] | None:
    from reports.charts import bin_values

    known = _known(values)
    if not len(known):
        return None
    bins = bin_values(known.tolist())
    return {"low": bins.low, "width": bins.width, "counts": list(bins.counts)}


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    return list(interval) if interval is not None else None
