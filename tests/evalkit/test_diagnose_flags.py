"""Flags of single clips: exactly the right ones on audio that was spoilt in a known way, and the rows of all checks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
import torch
from diagnose_tables import READINGS, REFERENCE, coded, noisy, read, write_table

from evalkit.diagnostics.training import rows as rows_module
from evalkit.diagnostics.training.checking import check
from evalkit.diagnostics.training.fingerprints import fingerprint
from evalkit.diagnostics.training.flags import KINDS, Checks, Level, Thresholds, levels, severities
from metrics import ClipBatch, ClipInfo
from metrics.energy import Energy
from metrics.signal import Signal
from metrics.wada import WadaSnr

FINE: dict[str, Any] = {
    "id": "a",
    "problem": None,
    "copy_of": None,
    "seconds": 4.0,
    "sample_rate": 24000,
    "energy_clip_db": -25.0,
    "wada_snr_db": 40.0,
    "clipping_ratio": 0.0,
    "bandwidth_hz": 11000.0,
    "silence_ratio": 0.1,
    "leading_silence_s": 0.2,
    "trailing_silence_s": 0.2,
    "longest_pause_s": 0.3,
}
USUAL = Checks(level=Level(-25.0, 1.0))


def measured(samples: np.ndarray, rate: int) -> dict[str, Any]:
    """A row with what the metrics say of audio at its own rate."""
    row: dict[str, Any] = {**FINE, "seconds": len(samples) / rate, "sample_rate": rate}
    for metric in (Signal(), WadaSnr(), Energy()):
        own = metric.spec.sample_rate or rate
        audio = soxr.resample(samples, rate, own).astype(np.float32) if own != rate else samples.astype(np.float32)
        scores = metric.score(ClipBatch.of([torch.from_numpy(audio)], own, [ClipInfo("a")]))
        row |= {name: values[0] for name, values in scores.items() if name in row}
        row |= {name: value for name, value in scores.details[0].items() if name in row}
    return row


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """At 16 kHz, where the fixture has energy up to nearly 8 kHz."""
    return read(REFERENCE / "sarah" / "sarah-2.flac")


def flags(samples: np.ndarray, rate: int, level_db: float | None = None) -> list[str]:
    row = measured(samples, rate)
    usual = row["energy_clip_db"] if level_db is None else level_db
    return list(severities(row, Checks(level=Level(usual, 1.0)), Thresholds()))


def test_speech_as_it_was_recorded_has_no_flag(speech: np.ndarray) -> None:
    assert flags(speech, 16000) == []


@pytest.mark.parametrize(("narrow", "rate"), [(8000, 24000), (8000, 16000), (16000, 24000), (16000, 44100)])
def test_upsampled_audio_is_found_and_downsampled_is_not(speech: np.ndarray, narrow: int, rate: int) -> None:
    at_narrow = soxr.resample(speech, 16000, narrow)
    assert flags(soxr.resample(at_narrow, narrow, rate), rate) == ["upsampled"]
    assert flags(at_narrow, narrow) == []


def test_clipped_audio_is_found(speech: np.ndarray) -> None:
    level = measured(np.clip(4 * speech / np.abs(speech).max(), -1, 1), 16000)["energy_clip_db"]
    assert flags(np.clip(4 * speech / np.abs(speech).max(), -1, 1), 16000, level) == ["clipped"]
    assert flags(speech / np.abs(speech).max(), 16000) == []  # a single peak at full scale is none


def test_noisy_audio_is_found(speech: np.ndarray) -> None:
    assert flags(noisy(speech, 3), 16000) == ["noisy"]
    assert flags(noisy(speech, 25), 16000) == []


def test_a_level_far_from_the_speakers_is_quiet_or_loud(speech: np.ndarray) -> None:
    usual = measured(speech, 16000)["energy_clip_db"]
    assert flags(0.25 * speech, 16000, usual) == ["quiet"]
    assert flags(speech, 16000, usual - 12) == ["loud"]
    assert flags(0.7 * speech, 16000, usual) == []


def test_who_varies_the_level_is_not_flagged_for_it() -> None:
    row = {**FINE, "energy_clip_db": -34.0}
    assert list(severities(row, USUAL, Thresholds())) == ["quiet"]
    assert list(severities(row, Checks(level=Level(-25.0, 4.0)), Thresholds())) == []
    assert list(severities(row, Checks(), Thresholds())) == []


@pytest.mark.parametrize(
    ("changed", "flag"),
    [
        ({"problem": "cannot be read", "wada_snr_db": None}, "unreadable"),
        ({"copy_of": "b"}, "copy"),
        ({"seconds": 0.5}, "too short"),
        ({"seconds": 31.0}, "too long"),
        ({"silence_ratio": 0.6}, "silence"),
        ({"leading_silence_s": 2.0}, "silence"),
        ({"trailing_silence_s": 2.0}, "silence"),
        ({"longest_pause_s": 4.0}, "silence"),
        ({"wada_snr_db": 5.0}, "noisy"),
        ({"clipping_ratio": 0.01}, "clipped"),
        ({"bandwidth_hz": 4000.0}, "upsampled"),
    ],
)
def test_each_figure_has_its_flag(changed: dict[str, Any], flag: str) -> None:
    assert list(severities({**FINE, **changed}, USUAL, Thresholds())) == [flag]


def test_what_was_not_measured_is_not_flagged() -> None:
    bare = dict.fromkeys(FINE) | {"id": "a", "seconds": 3.0}
    assert list(severities(bare, USUAL, Thresholds())) == []
    assert list(severities(FINE, USUAL, Thresholds())) == []


def test_what_comparing_clips_found_is_flagged() -> None:
    assert list(severities(FINE, Checks(near_copy_of="b", wrong_speaker=True, transcript=True), Thresholds())) == [
        "near copy",
        "wrong speaker",
        "transcript",
    ]
    assert list(severities(FINE, Checks(wrong_speaker=None), Thresholds())) == []


def test_the_worse_clip_has_the_greater_number() -> None:
    def severity(flag: str, **changed: Any) -> float:
        return severities({**FINE, **changed}, USUAL, Thresholds())[flag]

    assert severity("noisy", wada_snr_db=1.0) > severity("noisy", wada_snr_db=9.0)
    assert severity("too short", seconds=0.2) > severity("too short", seconds=0.7)
    assert severity("upsampled", bandwidth_hz=3400.0) > severity("upsampled", bandwidth_hz=8000.0)
    assert severity("silence", leading_silence_s=9.0) > severity("silence", silence_ratio=0.6)


def test_every_flag_has_a_sentence_with_the_figure_in_use() -> None:
    assert all(Thresholds().says(kind).endswith(".") for kind in KINDS)
    assert "12 dB" in replace(Thresholds(), wada_snr_db=12.0).says("noisy")
    assert list(severities({**FINE, "wada_snr_db": 11.0}, USUAL, replace(Thresholds(), wada_snr_db=12.0))) == ["noisy"]


def test_the_usual_level_is_of_distinct_clips_and_needs_some(tmp_path: Path) -> None:
    rows = [{"id": str(n), "energy_clip_db": -25.0 + n % 3} for n in range(9)]
    rows += [{"id": f"copy{n}", "energy_clip_db": 0.0, "copy_of": "0"} for n in range(30)]
    rows += [{"id": f"few{n}", "speaker": "few", "energy_clip_db": -20.0} for n in range(3)]
    rows += [{"id": f"near{n}", "energy_clip_db": -60.0} for n in range(30)]
    near = frozenset(hash(f"near{n}") for n in range(30))
    assert levels(write_table(tmp_path / "clips.parquet", rows), near) == {"one": Level(-24.0, pytest.approx(1.4826))}


@pytest.mark.parametrize("at_once", [4096, 3])
def test_every_clip_has_a_row_of_all_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """One set with everything wrong in it once, each in its own place, however the tables are read."""
    monkeypatch.setattr(rows_module, "ROWS", at_once)
    names = [path.name.removesuffix("-right-slt.flac") for path in sorted(READINGS.glob("*-right-slt.flac"))[:8]]
    audio = {
        f"{name}-{voice}": read(READINGS / f"{name}-right-{voice}.flac") for voice in ("slt", "rms") for name in names
    }
    audio["too"] = 0.3 * audio[f"{names[1]}-slt"][500:]
    audio["again"] = coded(0.5 * audio[f"{names[0]}-slt"], "MP3", "MPEG_LAYER_III")
    rng = np.random.default_rng(0)
    centres = {"slt": np.eye(16)[0], "rms": np.eye(16)[1]}
    rows: list[dict[str, Any]] = [{"id": "broken", "speaker": "slt", "problem": "cannot be read"}]
    vectors = []
    for number, (name, samples) in enumerate(audio.items()):
        voice = "rms" if name.endswith("rms") else "slt"
        vector = centres[voice] + 0.02 * rng.standard_normal(16)
        vectors.append(vector / np.linalg.norm(vector))
        rows.append(
            {
                **FINE,
                "id": name,
                "speaker": "slt" if number == 12 else voice,
                "seconds": len(samples) / 16000,
                "fingerprint": fingerprint(samples),
                "embedding": number,
                "text": "We met them there.",
                "speech_s": 1.2,
            }
        )
    rows[4]["text"] = "word " * 60
    rows[5]["wada_snr_db"] = 2.0
    (tmp_path / "e").write_bytes(np.array(vectors, dtype=np.float32).tobytes())
    table = write_table(tmp_path / "clips.parquet", rows)
    found = list(check(table, tmp_path / "e", 16))
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    assert {row["id"]: row["flags"] for row in found if row["flags"]} == {
        "broken": ["unreadable"],
        rows[4]["id"]: ["transcript"],
        rows[5]["id"]: ["noisy"],
        rows[13]["id"]: ["wrong speaker"],
        "too": ["near copy"],
        "again": ["near copy"],
    }
    assert found[-2]["near_copy_of"] == f"{names[1]}-slt"
    assert found[-1]["near_copy_of"] == f"{names[0]}-slt"
    assert "nobody speaks so fast" in found[4]["transcript"]
    assert found[13]["nearest_speaker"] == "rms" and found[13]["speaker_cosine"] < 0.5
    assert all(len(row["flags"]) == len(row["severity"]) for row in found)
