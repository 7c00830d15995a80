"""`--mix`: which clips of several speakers to train on together, and what their spread promises."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evalkit.decisions.intervals import SEED
from evalkit.diagnostics.training import manifest
from evalkit.diagnostics.training.dropping import Dropping
from evalkit.diagnostics.training.published import UNSEEN_SIMILARITY, UNSEEN_STATED
from evalkit.diagnostics.training.rows import Floats, rows
from evalkit.diagnostics.training.speech_levels import COLUMNS as SPEECH
from evalkit.diagnostics.training.spread import in_speech, measure
from evalkit.diagnostics.training.targets import check_manifest
from evalkit.diagnostics.training.verdict import from_statistics
from evalkit.errors import EvalkitError, some
from evalkit.registry import unknown

STRATA = 10  # equal parts of a speaker's audio by level, from which clips are drawn in turn
_ENERGY = ("energy_active_frames", "energy_mean_db", "energy_std_db", "dnsmos_ovrl")
_COLUMNS = (*_ENERGY, *SPEECH, "seconds")

Wanted = Mapping[str, float] | float
"""Hours of each named speaker, or so many of every speaker."""


@dataclass
class _Speaker:
    """Usable clips: their places in the table, and the columns of each."""

    places: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def columns(self) -> Floats:
        return np.frombuffer(self.values).reshape(-1, len(_COLUMNS))

    @property
    def hours(self) -> float:
        return float(np.nansum(self.columns()[:, -1])) / 3600


def read_mix(text: str) -> Wanted:
    """`anna=2,bert=1.5`, or `2` for as much of every speaker. Raises EvalkitError for anything else."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(parts) == 1 and "=" not in parts[0]:
        return _hours(parts[0], text)
    wanted: dict[str, float] = {}
    for part in parts:
        name, equals, hours = part.rpartition("=")
        if not equals or not name.strip() or name.strip() in wanted:
            raise EvalkitError(
                f"--mix {text}: write it as speaker=hours,speaker=hours, each speaker once, or as hours."
            )
        wanted[name.strip()] = _hours(hours, text)
    if not wanted:
        raise EvalkitError("--mix: write it as speaker=hours,speaker=hours or as hours of every speaker.")
    return wanted


def plan_mix(
    clips: Path,
    checks: Path | None,
    wanted: Wanted,
    out: Path | None = None,
    *,
    seed: int = SEED,
    source: Path | None = None,
) -> dict[str, Any]:
    """Choose clips, seeded and spread over each speaker's levels, and judge what they are together.

    Clips with a flag of `rows.DROPPED` are not used. out: where the manifest goes, if anywhere; source: the set, which
    is not overwritten. Hours are those asked for to within one clip, and never more. Raises EvalkitError where a
    speaker is not there or has less than is asked for.
    """
    if out is not None:
        check_manifest(out, source)
    speakers = _usable(clips, checks)
    hours = dict(wanted) if isinstance(wanted, Mapping) else dict.fromkeys(sorted(speakers), wanted)
    _check(hours, speakers)
    rng = np.random.default_rng(seed)
    chosen = {name: _choose(speakers[name].columns(), hours[name], rng) for name in hours}
    tables = {name: speakers[name].columns()[picks] for name, picks in chosen.items()}
    whole = np.concatenate(list(tables.values()))
    places = np.sort(np.concatenate([np.array(speakers[name].places)[picks] for name, picks in chosen.items()]))
    packed = _write(clips, checks, out, places) if out is not None else 0
    parts = [_part(name, table, hours[name], speakers[name].hours) for name, table in tables.items()]
    return _result(whole, parts) | {
        "seed": seed,
        "manifest": str(out) if out is not None else None,
        "notices": [manifest.PACKED.format(count=packed)] if packed else [],
    }


def _usable(clips: Path, checks: Path | None) -> dict[str, _Speaker]:
    speakers: dict[str, _Speaker] = {}
    dropping = Dropping()
    for place, row in enumerate(rows(clips, checks, _COLUMNS)):
        speaker = speakers.setdefault(row["speaker"], _Speaker())
        if not dropping.reasons(row) and row["seconds"]:
            speaker.places.append(place)
            speaker.values.extend(np.nan if row[name] is None else row[name] for name in _COLUMNS)
    return speakers


def _check(hours: Mapping[str, float], speakers: Mapping[str, _Speaker]) -> None:
    if len(hours) < 2:
        raise EvalkitError("A mix needs two speakers or more: name more of them, or give a set that has them.")
    for name in hours:
        if name not in speakers:
            raise EvalkitError(f"--mix: {unknown('speaker', name, list(speakers))}")
    short = {name: speakers[name].hours for name, asked in hours.items() if asked > speakers[name].hours + 1e-9}
    if short:
        # Rounded down, so that what is offered can be had.
        told = [f"'{name}' has {np.floor(100 * there) / 100:.2f} of {hours[name]:g} h" for name, there in short.items()]
        raise EvalkitError(f"--mix asks for more than there is without flagged clips: {some(told)}; ask for less.")


def _choose(table: Floats, hours: float, rng: np.random.Generator) -> Sequence[int]:
    """Rows of a speaker's table. In turn one at random of each part of its range, while there is room."""
    order = np.argsort(table[:, 1], kind="stable")  # those without a level last
    share = np.cumsum(table[order, -1]) / table[:, -1].sum()
    part = np.minimum((share * STRATA).astype(int), STRATA - 1)
    waiting = [list(rng.permutation(order[part == one])) for one in range(STRATA)]
    room = hours * 3600 + 1e-6
    chosen: list[int] = []
    while any(waiting):
        for stratum in waiting:
            if stratum:
                one = int(stratum.pop())
                if table[one, -1] <= room:
                    room -= float(table[one, -1])
                    chosen.append(one)
    return sorted(chosen)


def _write(clips: Path, checks: Path | None, out: Path, places: npt.NDArray[np.int64]) -> int:
    """Returns how many of the clips lie in tars or tables."""
    packed = 0
    wanted = iter(places.tolist())
    following = next(wanted, None)
    with manifest.written(out) as (write,):
        for place, row in enumerate(rows(clips, checks, manifest.columns(clips))):
            if place == following:
                write(manifest.line(row))
                packed += manifest.is_packed(row)
                following = next(wanted, None)
    return packed


def _part(name: str, table: Floats, asked: float, there: float) -> dict[str, Any]:
    found = measure(*table[:, : len(_ENERGY)].T)
    return {
        "name": name,
        "asked_hours": asked,
        "hours": float(table[:, -1].sum()) / 3600,
        "usable_hours": there,
        "clips": len(table),
        "energy_mean_db": found.mean_db,
        "energy_std_db": found.std_db,
        "dnsmos_sd": found.dnsmos_sd,
    }


def _result(whole: Floats, parts: list[dict[str, Any]]) -> dict[str, Any]:
    found = measure(*whole[:, : len(_ENERGY)].T)
    hours = float(whole[:, -1].sum()) / 3600
    judged = from_statistics(
        found.std_db,
        found.dnsmos_sd,
        hours,
        ci95=found.std_ci95,
        zones=found.zones,
        clips=found.clips,
        minutes=found.frames / 6000,
        resamples=found.resamples,
        dnsmos_ci95=found.dnsmos_sd_ci95,
        speech=in_speech(whole[:, 0], *whole[:, len(_ENERGY) : -1].T),
    )
    return {
        "hours": hours,
        "clips": len(whole),
        "speakers": parts,
        "energy": {"mean_db": found.mean_db, "std_db": found.std_db, "std_ci95": found.std_ci95},
        "dnsmos": {"mean": found.dnsmos_mean, "sd": found.dnsmos_sd, "sd_ci95": found.dnsmos_sd_ci95},
        "verdict": judged | {"evidence": [*judged["evidence"], _between(found.std_db, parts)]},
    }


def _between(std: float | None, parts: Sequence[Mapping[str, Any]]) -> str:
    told = [f"{one['energy_std_db']:.1f} ({one['name']})" for one in parts if one["energy_std_db"] is not None]
    pooled = f"{std:.1f} dB" if std is not None else "not known"
    return (
        f"The spread of the mix is {pooled}, of its speakers alone {some(told)}; what is more comes from their "
        "different levels. The thresholds were found for single speakers. Of a mix the study says: three unseen "
        f"speakers scored {UNSEEN_STATED:g} DNS-MOS more with 2 + 2 + 2 hours of others than with one of their own, "
        f"and {UNSEEN_SIMILARITY[0] - UNSEEN_SIMILARITY[1]:.3f} less in similarity."
    )


def _hours(text: str, whole: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = float("nan")
    if not 0 < hours < float("inf"):
        raise EvalkitError(f"--mix {whole}: '{text.strip()}' is no number of hours above 0.")
    return hours
