"""`evalkit select --references`: which clips are good ones to clone a voice from, and why the others are not.

What cloning wants was published with a study of a six-speaker LoRA tuning: one continuous recording, a high
signal-to-noise ratio, DNS-MOS of 3.5 or more; more seconds do not help by themselves, and joined clips hurt. The other
limits are ours, and none was fitted to listening tests.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from evalkit import __version__
from evalkit.decisions.scores import open_scores
from evalkit.decisions.select.splices import Sign, find_splices
from evalkit.errors import EvalkitError
from evalkit.files import digest, write_atomically, write_json
from evalkit.pipeline.audio import read_audio
from evalkit.pipeline.engine_setup import pick_device
from evalkit.pipeline.existing import plan_existing
from evalkit.pipeline.job import Options
from evalkit.pipeline.judges import choose
from evalkit.pipeline.plan import Utterance
from evalkit.pipeline.references import check_references
from evalkit.pipeline.run import Announce, quietly, score_files
from evalkit.runs.log import Row

Weight = Literal["serious", "minor"]
Verdict = Literal["good", "usable", "avoid"]

METRICS = ("dnsmos", "wada_snr", "pauses", "signal", "energy")
SIMILARITY = "speaker_similarity"
MOST_COMPARED = 20  # clips: each is compared with all others
COLUMNS = (
    "dnsmos_ovrl",
    "wada_snr_db",
    "duration_s",
    "longest_pause_s",
    "silence_ratio",
    "clipping_ratio",
    "bandwidth_hz",
    "energy_std_db",
    SIMILARITY,
)


@dataclass(frozen=True)
class Limit:
    """A value on the wrong side of `serious` or `minor` is a fault. below: whether lower is the wrong side."""

    column: str
    below: bool
    minor: float | None
    serious: float | None
    says: str  # with {value}, {limit}


LIMITS = (
    Limit("dnsmos_ovrl", True, 3.5, 3.0, "DNS-MOS {value:.2f} is below {limit:g}"),
    Limit("wada_snr_db", True, 20.0, 10.0, "a signal-to-noise ratio of {value:.0f} dB is below {limit:g} dB"),
    Limit("duration_s", True, 3.0, 1.5, "{value:.1f} s is short: give 3 s at least"),
    Limit("duration_s", False, 15.0, None, "{value:.1f} s is long: more than {limit:g} s does not help by itself"),
    Limit("clipping_ratio", False, 1e-5, 1e-3, "{value:.3%} of the samples are clipped"),
    Limit("bandwidth_hz", True, 6000.0, 4000.0, "nothing above {value:.0f} Hz: a narrow band is cloned with the voice"),
    Limit("longest_pause_s", False, 1.0, 2.0, "a pause of {value:.1f} s is cloned as a habit"),
    Limit(SIMILARITY, True, 0.8, 0.65, "a similarity of {value:.2f} to the other clips: perhaps another speaker"),
)


@dataclass(frozen=True)
class Ranked:
    """result: what references.json holds; folder: of it and its report.html."""

    result: Mapping[str, Any]
    folder: Path


def rank_references(clips: Path, options: Options, announce: Announce = quietly) -> Ranked:
    """Score a folder (or a CSV) of clips and rank them as references. Raises EvalkitError where there are none."""
    from evalkit.decisions.select.selecting import SELECTIONS
    from reports.references_page import render_references

    planned, content = plan_existing(clips)
    metrics, notices = list(options.metrics or METRICS), []
    if options.metrics and "dnsmos" not in {name.split(".")[0] for name in options.metrics}:
        metrics.append("dnsmos")
    comparable = _comparable(planned, options) if len(planned) <= MOST_COMPARED else []
    if len(comparable) > 1:
        planned = [replace(u, references=tuple(path for path in comparable if path != u.source)) for u in planned]
        content = digest([content, "each against the others"])
        metrics += [] if SIMILARITY in metrics else [SIMILARITY]
    else:
        notices.append("How alike the clips are was not measured: it takes a judge of speakers, and 2 to 20 clips.")
    chosen = replace(options, metrics=tuple(metrics), reference=None, baseline=None)
    finished = score_files(f"{clips.resolve().name}-references", planned, content, chosen, announce)
    scores = open_scores(finished.folder.path)
    sources = {utterance.id: utterance.source for utterance in planned}
    found = sorted((_clip(row, sources[row["utterance"]]) for row in scores.rows), key=_order)
    result = {
        "evalkit": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "folder": str(clips),
        "run": scores.run,
        "limits": [
            {"column": x.column, "wrong": "below" if x.below else "above", "minor": x.minor, "serious": x.serious}
            for x in LIMITS
        ],
        "clips": [{"rank": place, **one} for place, one in enumerate(found, start=1)],
        "best": found[0]["name"] if found[0]["verdict"] != "avoid" else None,
        "notices": notices,
    }
    result["advice"] = advise(result)
    folder = options.out / SELECTIONS / digest({"references": scores.run})[:8]
    write_json(folder / "references.json", result)
    write_atomically(folder / "report.html", render_references(result, links(result, folder)))
    return Ranked(result, folder)


def links(result: Mapping[str, Any], near: Path) -> dict[str, str]:
    """Addresses of the clips from a page that lies in `near`."""
    files = {one["name"]: Path(one["file"]).resolve() for one in result["clips"]}
    return {name: os.path.relpath(path, near.resolve()) for name, path in files.items()}


def advise(result: Mapping[str, Any]) -> list[str]:
    clips = result["clips"]
    counts = {v: sum(one["verdict"] == v for one in clips) for v in ("good", "usable", "avoid")}
    summary = f"Of {len(clips)} clips {counts['good']} are good, {counts['usable']} usable, {counts['avoid']} to avoid."
    if result["best"] is None:
        return ["Use none of them: every clip has a serious fault. Record one, 3 to 15 s in one go.", summary]
    best = clips[0]
    why = "no fault was found" if not best["faults"] else "; ".join(one["says"] for one in best["faults"])
    return [f"Clone from {best['name']}: {why}.", summary]


def _comparable(planned: Sequence[Utterance], options: Options) -> list[Path]:
    """The clips that others can be compared with; none where there is no judge of speakers."""
    try:
        choices = choose((SIMILARITY,), options.judges, pick_device(options.device))
    except EvalkitError:
        return []
    found = []
    for path in (utterance.source for utterance in planned if utterance.source is not None):
        try:
            check_references((path,), choices)
        except EvalkitError:
            continue  # it is scored all the same, and the reason is in its line
        found.append(path)
    return found


def _clip(row: Row, source: Path | None) -> dict[str, Any]:
    values = {name: row.get(name) for name in COLUMNS}
    faults: list[dict[str, str]] = []
    signs: list[Sign] = []
    if row["status"] != "ok":
        faults.append({"what": row["status"], "weight": "serious", "says": str(row["reason"] or row["status"])})
    else:
        assert source is not None
        audio, rate = read_audio(source)
        signs = find_splices(audio.numpy(), rate)
        if signs:
            where = "; ".join(sign.sentence() for sign in signs[:3])
            faults.append({"what": "splice", "weight": "serious", "says": f"not one continuous recording: {where}"})
        faults += _faults(values, bool(row.get("wada_saturated")))
    verdict: Verdict = "good"
    if faults:
        verdict = "avoid" if any(one["weight"] == "serious" for one in faults) else "usable"
    return {
        "name": row["item"],
        "file": str(source),
        "verdict": verdict,
        "faults": faults,
        "values": values,
        "splices": [{"what": sign.what, "at_s": sign.at_s, "size": sign.size} for sign in signs],
    }


def _faults(values: Mapping[str, float | None], saturated: bool) -> list[dict[str, str]]:
    found = []
    for limit in LIMITS:
        value = values[limit.column]
        if value is None or (saturated and limit.column == "wada_snr_db"):
            continue  # an end of WADA's table says that it could not be measured
        for weight, bound in (("serious", limit.serious), ("minor", limit.minor)):
            if bound is not None and (value < bound if limit.below else value > bound):
                says = limit.says.format(value=value, limit=bound)
                found.append({"what": limit.column, "weight": weight, "says": says})
                break
    return found


def _order(clip: Mapping[str, Any]) -> tuple[Any, ...]:
    """What cannot be scored last; else by serious faults, then by the others, then DNS-MOS, then the SNR."""
    serious = sum(one["weight"] == "serious" for one in clip["faults"])
    values = clip["values"]
    return (
        values["dnsmos_ovrl"] is None,
        serious,
        len(clip["faults"]) - serious,
        -(values["dnsmos_ovrl"] or 0.0),
        -(values["wada_snr_db"] or 0.0),
        clip["name"],
    )
