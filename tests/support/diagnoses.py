"""Made-up diagnoses for the tests of their page, table and Markdown. Nothing here is a measurement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from reports.charts import bin_values

PUBLISHED: list[dict[str, Any]] = [
    {"name": "1", "energy_std_db": 12.93, "dnsmos_sd": 0.321, "gain": 0.029},
    {"name": "2", "energy_std_db": 13.11, "dnsmos_sd": 0.370, "gain": 0.424},
    {"name": "11614", "energy_std_db": 13.34, "dnsmos_sd": 0.383, "gain": 0.138},
    {"name": "1401", "energy_std_db": 11.89, "dnsmos_sd": 0.255, "gain": -0.274},
    {"name": "1212", "energy_std_db": 9.91, "dnsmos_sd": 0.248, "gain": -0.414},
    {"name": "1259", "energy_std_db": 8.25, "dnsmos_sd": 0.293, "gain": -0.001},
]
OUTCOMES = ("gain", "collapse", "risk", "cannot tell")
_SPREAD = {"gain": 13.6, "collapse": 8.7, "risk": 11.4, "cannot tell": 12.8}
_SHARES = {
    "gain": {"gain": 0.974, "undecided": 0.026, "collapse": 0.0},
    "collapse": {"gain": 0.0, "undecided": 0.004, "collapse": 0.996},
    "risk": {"gain": 0.01, "undecided": 0.93, "collapse": 0.06},
    "cannot tell": {"gain": 0.41, "undecided": 0.55, "collapse": 0.04},
}
_SAYS = {
    "gain": "Gain expected: an energy spread of 13.6 dB is about 13 dB or more, where all 3 speakers gained.",
    "collapse": "Collapse expected: an energy spread of 8.7 dB (8.4 to 8.9) lies below 10 dB, where speakers lost.",
    "risk": "Risk: an energy spread of 11.4 dB lies between the thresholds, where a published speaker lost 0.274 MOS.",
    "cannot tell": "Cannot tell: energy sd 12.80 dB [9.80, 14.80] reaches into all three zones: too few clips.",
}
DEFINITION = (
    "Mean and standard deviation of the levels of 25 ms frames every 10 ms in dBFS, of frames within 40 dB of the "
    "clip's loudest, pooled over all such frames of the speaker's clips."
)
FLAGS = {
    "wrong speaker": "The voice is nearer to another speaker's clips than to its own speaker's.",
    "transcript": "The words heard differ from the transcript far more than for the other clips.",
    "noisy": "WADA-SNR lies below 15 dB.",
    "clipped": "More than 0.1 % of the samples are at full scale.",
    "upsampled": "The speech ends far below half the sampling rate.",
    "silence": "More than half of the clip is silence.",
    "too short": "Shorter than 1 s.",
    "too long": "Longer than 30 s.",
    "quiet": "Far quieter than the other clips of the speaker.",
    "loud": "Far louder than the other clips of the speaker.",
    "near copy": "Sounds the same as an earlier clip.",
    "copy": "Holds the same audio as an earlier clip.",
}


def make_speaker(
    name: str, outcome: str = "gain", seed: int = 0, clips: int = 400, texts: bool = True
) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    spread = _SPREAD[outcome] + rng.normal(0, 0.25)
    mos_sd = 0.15 + 0.017 * spread + rng.normal(0, 0.02)
    wide = 1.9 if outcome == "cannot tell" else 0.35
    seconds = rng.gamma(4, 1.2, clips)
    values = {
        "energy_clip_db": rng.normal(-26 - seed % 5, 2.5, clips),
        "energy_std_db": rng.normal(spread - 1.2, 1.4, clips),
        "dnsmos_ovrl": rng.normal(3.4, mos_sd, clips).clip(1, 5),
        "wada_snr_db": rng.normal(30 + seed % 9, 8, clips).clip(-20, 100),
        "seconds": seconds,
        "f0_median_hz": rng.normal(110 + 35 * (seed % 4), 12, clips),
        "speaking_rate": rng.normal(3.0, 0.4, clips),
    }
    if not texts:
        del values["speaking_rate"]
    return {
        "name": name,
        "clips": clips,
        "hours": float(seconds.sum() / 3600),
        "clip_s": {"mean": float(seconds.mean()), "sd": float(seconds.std())},
        "words": {"unique": 3 * clips, "per_clip": 9.4} if texts else None,
        "energy": {
            "mean_db": -29.4,
            "std_db": spread,
            "std_ci95": [spread - wide, spread + 0.9 * wide],
            "speech_std_db": spread - 0.27,
            "pauses": 0.031,
            "per_clip": {"mean": -26.0, "sd": 2.5},
        },
        "dnsmos": {"mean": 3.41, "sd": mos_sd, "sd_ci95": [mos_sd - 0.02, mos_sd + 0.022]},
        "wada_snr_db": {"mean": 33.2, "sd": 8.0},
        "f0_hz": {"median": 110.0 + 35 * (seed % 4), "low": 84.0, "high": 240.0},
        "f0_range_st": 11.2,
        "speaking_rate": {"mean": 3.02, "sd": 0.4} if texts else None,
        "silence_ratio": 0.142,
        "clipping_ratio": 0.00002,
        "bandwidth_hz": {"median": 7800.0, "low": 3900.0},
        "sample_rates": {"24000": clips - 3, "16000": 3},
        "phones": {"covered": 38, "of": 39, "missing": ["ZH"], "rare": ["OY", "TH"]} if texts else None,
        "verdict": {
            "outcome": outcome,
            "says": _SAYS[outcome],
            "probability": _SHARES[outcome],
            "evidence": [
                f"Energy spread {spread:.2f} dB of {clips} clips; gains from about 13 dB, collapse below 10 dB.",
                "Six speakers stand behind the rule. It was right for 4 of the 5 that it decides (95 % interval of "
                "that share 28 % to 99 %), the speakers that it was read from: 1259 at 8.25 dB lost nothing (-0.001).",
            ],
            "advice": [
                f"Drop {3 + seed} of {clips} clips (0.02 h; --fix writes the manifest without them): 3 noisy.",
                "Choose the checkpoint by what it sounds like (evalkit select): the loss fell for all six speakers.",
            ],
        },
        "histograms": {key: _histogram(found) for key, found in values.items()},
    }


def nothing_measured(name: str) -> dict[str, Any]:
    """A speaker of whom no clip could be read."""
    return {
        "name": name,
        "clips": 0,
        "hours": 0.0,
        "clip_s": {"mean": None, "sd": None},
        "words": None,
        "energy": {"mean_db": None, "std_db": None, "std_ci95": None, "per_clip": {"mean": None, "sd": None}},
        "dnsmos": {"mean": None, "sd": None, "sd_ci95": None},
        "wada_snr_db": {"mean": None, "sd": None},
        "f0_hz": {"median": None, "low": None, "high": None},
        "f0_range_st": None,
        "speaking_rate": None,
        "silence_ratio": None,
        "clipping_ratio": None,
        "bandwidth_hz": {"median": None, "low": None},
        "sample_rates": {},
        "phones": None,
        "verdict": None,
        "histograms": {},
    }


def make_diagnosis(
    speakers: Sequence[dict[str, Any]], flagged: int = 0, unreadable: int = 0, path: str = "corpora/six-speakers"
) -> dict[str, Any]:
    """flagged: clips of every kind of finding; unreadable: clips that count as such (the first 1000 are listed)."""
    measured = sum(speaker["clips"] for speaker in speakers)
    hours = sum(speaker["hours"] for speaker in speakers)
    together = make_speaker("all speakers", clips=max(1, measured)) if measured else nothing_measured("all speakers")
    if len(speakers) > 1:
        together["verdict"] = None
    return {
        "data": {
            "path": path,
            "format": "LJSpeech",
            "clips": measured + unreadable,
            "measured": measured,
            "hours": hours,
            "problems": [
                {
                    "id": f"broken/{n:05d}",
                    "where": f"{path}/wavs/broken-{n:05d}.wav",
                    "problem": "The file ends inside its header.",
                }
                for n in range(min(1000, unreadable))
            ],
            "problem_count": unreadable,
            "created": "2026-11-28T20:00:00+00:00",
            "evalkit": "0.7.0",
            "passports": {
                "dnsmos": {"judge": "speechmos", "version": "2"},
                "energy": {"judge": "none", "frames": "within40"},
            },
            "energy_definition": DEFINITION,
        },
        "speakers": list(speakers),
        "all": together,
        "flags": {
            kind: {
                "count": flagged + place,
                "hours": 0.004 * (flagged + place),
                "says": says,
                "clips": [f"{kind.replace(' ', '-')}/{n:04d}" for n in range(min(200, flagged + place))],
            }
            for place, (kind, says) in enumerate(FLAGS.items() if flagged else ())
        },
        "notices": ["DNS-MOS was measured on the first 10 s of 4 clips."] if flagged else [],
    }


def extras(hostile: str) -> dict[str, Any]:
    """What `--fix`, `--mix` and `--pick-references` add to a diagnosis."""
    picked = [
        {"rank": rank, "id": f"good/{rank}", "where": f"good-{rank}.wav", "text": hostile, "reasons": ["DNS-MOS 3.9"]}
        for rank in (1, 2, 3, 4)
    ]
    mixed = make_speaker("mixed", "gain")
    parts = [
        {"name": name, "asked_hours": 2.0, "hours": 1.998, "clips": 1200, "energy_mean_db": -28.1}
        | {"energy_std_db": 11.9, "dnsmos_sd": None}
        for name in ("Ada", hostile)
    ]
    return {
        "fix": {"kept": 1110, "dropped": 10, "clips": 1120, "hours_kept": 1.5, "hours_dropped": 0.01}
        | {"manifest": "clean.jsonl", "dropped_manifest": "clean.dropped.jsonl", "flags": {"noisy": 7, "copy": 3}}
        | {"notices": ["3 clips lie in tars."]},
        "references": {"speakers": [{"name": "Ada", "says": "4 of 80 clips fit.", "picked": picked}]},
        "mix": {key: mixed[key] for key in ("energy", "dnsmos", "verdict")}
        | {"speakers": parts, "manifest": "mix.jsonl", "notices": []},
    }


def several(count: int, texts: bool = True) -> list[dict[str, Any]]:
    return [
        make_speaker(f"speaker-{n + 1:02d}", OUTCOMES[n % 4], seed=n, clips=120 + 40 * (n % 5), texts=texts)
        for n in range(count)
    ]


def _histogram(values: Any) -> dict[str, Any]:
    bins = bin_values([float(value) for value in values])
    return {"low": bins.low, "width": bins.width, "counts": list(bins.counts)}
