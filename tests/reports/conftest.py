"""A made-up run for the report's tests: invented scores, tones and noise for audio. Nothing here is a measurement."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

RATE = 16_000
HOSTILE = """<script>document.title = "owned"</script> "double" 'single' & <b onmouseover=alert(1)>"""
NAMES = ("Subramanian", "Venkatesan", "Lakshmi", "Chaudhary", "Meenakshi", "Bhattacharya", "Tiruchirappalli", "Rajesh")
LANGUAGES = ("ta", "hi", "bn", "te")
FAILURES = {
    7: ("silent", "Every sample is below -60 dBFS."),
    19: ("failed", "The engine stopped with an index error in the length regulator."),
    23: ("too_long", "The text has 913 characters; the engine takes 400."),
    41: ("not_finite", "The engine returned 1203 samples that are NaN."),
    58: ("unknown_symbols", "The engine has no symbol for ஸ."),
}
# name: unit, better, range, metric, description
COLUMNS: dict[str, tuple[str, str, list[float], str, str]] = {
    "dnsmos_ovrl": ("MOS", "higher", [1, 5], "dnsmos", "Overall quality predicted by DNSMOS P.835"),
    "dnsmos_p808": ("MOS", "higher", [1, 5], "dnsmos", "Overall quality predicted by DNSMOS P.808"),
    "wada_snr_db": ("dB", "higher", [-20, 100], "wada_snr", "Signal to noise ratio by waveform amplitude distribution"),
    "speaker_similarity": ("", "higher", [0, 1], "speaker_similarity", "(cosine + 1) / 2 to the reference speaker"),
    "wer": ("", "lower", [0, math.inf], "wer", "Word error rate of the utterance"),
    "cer": ("", "lower", [0, math.inf], "wer", "Character error rate of the utterance"),
    "pronunciation_accuracy": (
        "",
        "higher",
        [0, 1],
        "pronunciation",
        "Share of entities whose accepted reading fits best",
    ),
    "pronunciation_margin": (
        "nat/frame",
        "higher",
        [-50, 50],
        "pronunciation",
        "Log-likelihood ratio, accepted to wrong",
    ),
    "energy_mean_db": ("dBFS", "neither", [-120, 0], "energy", "Mean level of active frames"),
    "duration_s": ("s", "neither", [0, math.inf], "signal", "Length of the speech"),
    "rtf": ("", "lower", [0, math.inf], "signal", "Synthesis time over audio time"),
}


@dataclass(frozen=True)
class FakeRun:
    manifest: dict[str, Any]
    summary: dict[str, Any]
    rows: list[dict[str, Any]]
    folder: Path


@pytest.fixture(scope="session")
def fake_run(tmp_path_factory: pytest.TempPathFactory) -> FakeRun:
    """60 utterances with audio, failures of five statuses, missing columns, tags, a baseline and hostile text."""
    folder = tmp_path_factory.mktemp("made-up-run")
    (folder / "audio").mkdir()
    rows = [make_row(index) for index in range(60)]
    for index, row in enumerate(rows):
        if row["audio"]:
            soundfile.write(folder / row["audio"], made_up_sound(index), RATE, format="FLAC", subtype="PCM_16")
    return FakeRun(make_manifest(), make_summary(rows), rows, folder)


@pytest.fixture(scope="session")
def make_rows() -> Callable[[int], list[dict[str, Any]]]:
    """Rows without audio files, as many as a test needs."""
    return lambda count: [make_row(index) for index in range(count)]


@pytest.fixture(scope="session")
def summarise() -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    return make_summary


def made_up_sound(index: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """One to two seconds of gliding harmonics in syllables, with bursts of noise between them."""
    rng = np.random.default_rng(index)
    time = np.arange(int(RATE * rng.uniform(1.0, 2.0))) / RATE
    pitch = 120 + 60 * np.sin(2 * np.pi * 0.7 * time + index) + 4 * index % 80
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = 900 + 700 * np.sin(2 * np.pi * 1.9 * time + index)
    voiced = sum(
        np.exp(-(((k * pitch - formants) / 500) ** 2)) * np.sin(k * phase) + 0.3 / k * np.sin(k * phase)
        for k in range(1, 14)
    )
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * time), 0, 1)
    hiss = rng.normal(0, 0.15, len(time)) * np.clip(np.sin(2 * np.pi * 3.1 * time + np.pi), 0.02, 1) ** 6
    return (0.12 * voiced * syllables + hiss).clip(-0.99, 0.99).astype(np.float32)


def make_row(index: int) -> dict[str, Any]:
    rng = np.random.default_rng(1000 + index)
    name, language = NAMES[index % len(NAMES)], LANGUAGES[index % len(LANGUAGES)]
    status, reason = FAILURES.get(index, ("ok", None))
    utterance = f"in-{index + 1:03d}.r0"
    text = f"Could you please connect me with {name} Iyer? The compensation is Rs.18,00,000 per annum."
    spoken = f"Could you please connect me with {name} Iyer? The compensation is eighteen lakh rupees per annum."
    if index == 3:
        text = spoken = f"Please call {name}, {HOSTILE}"
    if index == 11:
        text = spoken = "வணக்கம், திருச்சிராப்பள்ளி லட்சுமி अय्यर আমার নাম"
    right = bool(rng.random() < (0.92 if index % 4 else 0.7))
    heard = spoken.lower().replace(name.lower(), name.lower() if right else "super money in").replace("lakh", "lack")
    row: dict[str, Any] = {
        "utterance": utterance,
        "item": utterance.partition(".")[0],
        "repeat": 0,
        "seed": 17 * index,
        "status": status,
        "reason": reason,
        "text": text,
        "spoken": spoken,
        "read": spoken.lower(),
        "phonemes": None,
        "tags": [
            f"language:{language}",
            f"kind:{'person' if index % 3 else 'place'}",
            f"difficulty:{('easy', 'medium', 'hard')[index % 3]}",
            f"fixture:{'seen' if index % 5 else 'unseen'}",
        ],
        "audio": None
        if status in ("failed", "too_long", "not_finite", "unknown_symbols")
        else f"audio/{utterance}.flac",
        "sample_rate": RATE,
        "missing": {},
        "details": {},
    }
    if status != "ok":
        on_failure = {"wer": 1.0, "cer": 1.0, "pronunciation_accuracy": 0.0}
        row |= {column: on_failure.get(column) for column in COLUMNS}
        row["missing"] = {column: f"There is no usable speech: {status}." for column in COLUMNS if row[column] is None}
        return row
    words, errors = len(spoken.split()), (1 if right else 4) + int(rng.integers(0, 3))
    row |= {
        "dnsmos_ovrl": rng.normal(2.91, 0.22),
        "dnsmos_p808": rng.normal(3.3, 0.2),
        "wada_snr_db": rng.uniform(38, 100),
        "speaker_similarity": 1 - rng.gamma(4.0, 0.012),
        "wer": errors / words,
        "cer": errors / words / 2.2,
        "pronunciation_accuracy": 1.0 if right else 0.0,
        "pronunciation_margin": rng.normal(2 if right else -1.5, 0.8),
        "energy_mean_db": rng.normal(-27, 1.5),
        "duration_s": rng.uniform(1, 3),
        "rtf": rng.gamma(9.0, 0.0008),
    }
    row["details"] = {
        "heard": heard,
        "entities": [
            {"spelling": name, "right": right, "margin": row["pronunciation_margin"], "best": "S UW0 B R AH0 M"}
        ],
        "wer_errors": errors,
        "wer_words": words,
        "cer_errors": errors * 2,
        "cer_chars": words * 5,
    }
    if index in (5, 6):
        row |= {"wer": None, "cer": None}
        row["missing"] = dict.fromkeys(("wer", "cer"), "The judge heard nothing in the clip.")
        del row["details"]["heard"]
    return row


def made_up_interval(values: list[float]) -> list[float] | None:
    if len(values) < 2:
        return None
    half = 1.96 * statistics.stdev(values) / math.sqrt(len(values))
    return [statistics.mean(values) - half, statistics.mean(values) + half]


def make_summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    columns = {name: summary_column(rows, name) for name in COLUMNS}
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    heard = [row["details"] for row in rows if "wer_words" in row["details"]]
    tags = sorted({tag for row in rows for tag in row["tags"]})
    return {
        "run": "2026-11-21-merged-indian-names-1a2b3c4d",
        "model": "merged.pth",
        "suite": "indian-names 1",
        "created": "2026-11-21T03:30:00+00:00",
        "judges": {
            "dnsmos": {"judge": "speechmos 0.0.1.1", "kind": "bundled", "notice": None},
            "wer": {
                "judge": "pocketsphinx en-us",
                "kind": "bundled",
                "notice": "pocketsphinx en-us misses one word in four even of clean recordings: compare runs, "
                "do not quote this WER; `evalkit fetch whisper` brings the standard judge.",
            },
        },
        "coverage": {"planned": len(rows), "ok": counts["ok"], "share": counts["ok"] / len(rows), "by_status": counts},
        "columns": columns,
        "corpus": {
            f"{kind}_corpus": make_pooled(heard, f"{kind}_errors", f"{kind}_{of}")
            for kind, of in (("wer", "words"), ("cer", "chars"))
        },
        "absent": {
            "frontend_accuracy": "tinytts reads letters and cannot say which phonemes it read.",
            "first_chunk_s": "the engine does not stream.",
        },
        "tags": {tag: make_tag([row for row in rows if tag in row["tags"]]) for tag in tags},
        "baseline": make_baseline(columns),
        "reference": {
            "dnsmos_ovrl": 2.43,
            "dnsmos_p808": 3.02,
            "speaker_similarity": 0.982,
            "wer": 0.18,
            "wada_snr_db": 99.0,
        },
        "verdict": None,
    }


def summary_column(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    unit, better, bounds, metric, description = COLUMNS[name]
    scored = [row for row in rows if row[name] is not None]
    values = [row[name] for row in scored]
    worst = sorted(scored, key=lambda row: row[name], reverse=better == "lower")
    return {
        "n": len(values),
        "missing": len(rows) - len(values),
        "mean": statistics.mean(values),
        "sd": statistics.stdev(values),
        "ci95": made_up_interval(values),
        "min": min(values),
        "max": max(values),
        "unit": unit,
        "better": better,
        "range": bounds,
        "description": description,
        "metric": metric,
        "worst": [] if better == "neither" else [row["utterance"] for row in worst[:8]],
    }


def make_pooled(heard: list[dict[str, Any]], errors: str, of: str) -> dict[str, Any]:
    wrong, total = sum(found[errors] for found in heard), sum(found[of] for found in heard)
    return {
        "value": wrong / total,
        "ci95": [wrong / total - 0.03, wrong / total + 0.03],
        "errors": wrong,
        "of": total,
        "unit": "",
        "better": "lower",
        "description": "All errors over everything that should be heard",
    }


def make_tag(rows: list[dict[str, Any]]) -> dict[str, Any]:
    columns = {}
    for name in COLUMNS:
        values = [row[name] for row in rows if row[name] is not None]
        if values:
            columns[name] = {"n": len(values), "mean": statistics.mean(values), "ci95": made_up_interval(values)}
    return {"n": len(rows), "columns": columns}


def make_baseline(columns: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One difference of each kind: better, worse, unclear, changed and without an interval."""
    made_up = {
        "dnsmos_ovrl": (0.05, [0.01, 0.09]),
        "wer": (0.021, [0.008, 0.034]),
        "speaker_similarity": (-0.004, [-0.011, 0.003]),
        "pronunciation_accuracy": (0.31, [0.2, 0.42]),
        "energy_mean_db": (-0.8, [-1.1, -0.5]),
        "cer": (0.01, None),
    }
    return {
        "run": "2026-11-20-sarah-indian-names-99aa88bb",
        "model": "sarah.pth",
        "columns": {
            name: {
                "pairs": 55,
                "difference": difference,
                "ci95": bounds,
                "mean": columns[name]["mean"],
                "baseline_mean": columns[name]["mean"] - difference,
                "better": columns[name]["better"],
            }
            for name, (difference, bounds) in made_up.items()
        },
    }


def make_manifest() -> dict[str, Any]:
    return {
        "evalkit": "0.1.0",
        "id": "2026-11-21-merged-indian-names-1a2b3c4d",
        "created": "2026-11-21T03:30:00+00:00",
        "command": [
            "evalkit",
            "run",
            "fixtures/voices/merged.pth",
            "--suite",
            "indian-names",
            "--baseline",
            "sarah's run",
        ],
        "checkpoint": {
            "path": "fixtures/voices/merged.pth",
            "name": "merged.pth",
            "layout": "tinytts",
            "engine": "tinytts",
            "fingerprint": "0f" * 32,
            "loaded_digest": "1e" * 32,
            "parameters": 1_657_771,
            "sections": {"encoder": 536_000, "predictor": 303_000, "decoder": 818_771},
        },
        "engine": {
            "name": "tinytts",
            "version": "1",
            "front_end": "characters",
            "sample_rate": RATE,
            "options": {"speed": 1.0},
        },
        "voice": None,
        "reference": {"files": [{"name": "sarah-1.flac", "sha256": "ab" * 32}]},
        "suite": {"name": "indian-names", "version": 1, "sha256": "cd" * 32, "items": 60},
        "repeats": 1,
        "seed": 0,
        "device": "cpu",
        "judges": "auto",
        "passports": {
            "dnsmos": {
                "metric": "dnsmos",
                "version": "1",
                "judge": "speechmos 0.0.1.1",
                "weights_sha256": {"sig_bak_ovr.onnx": "ef" * 32},
                "parameters": {"compat": True},
                "packages": {"onnxruntime": "1.20"},
                "accuracy": {},
            },
            "pronunciation": {
                "metric": "pronunciation",
                "version": "1",
                "judge": "pocketsphinx en-us",
                "weights_sha256": {},
                "parameters": {"threshold": -0.2},
                "packages": {"pocketsphinx": "5.1.1"},
                "accuracy": {"clips": 452, "accuracy": 0.954, "right kept": 0.947, "wrong caught": 0.96},
            },
        },
        "audio": {"format": "FLAC 16 bit", "scored": "the stored samples"},
        "git": {"commit": "e62edd4", "dirty": False},
        "packages": {"torch": "2.11.0", "numpy": "2.1"},
        "python": "3.11.9",
        "platform": "Linux x86_64",
    }
