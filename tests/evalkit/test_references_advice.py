"""Which clip to clone a voice from: splices, noise, clipping and narrow bands are found on real speech."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from commands import FIXTURES, Call

from evalkit.decisions.select.references import _faults, _order, advise
from evalkit.decisions.select.splices import find_splices

Audio = npt.NDArray[np.float32]
OWN = FIXTURES / "audio" / "reference"


def read(path: Path) -> tuple[Audio, int]:
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return audio.mean(axis=1), rate


@pytest.fixture(scope="module")
def real() -> list[Path]:
    """Single recordings of at least 5 s, by several speakers."""
    folder = os.environ.get("EVALKIT_REAL_AUDIO")
    if not folder:
        pytest.skip("EVALKIT_REAL_AUDIO names no folder of real speech")
    return [path for path in sorted(Path(folder).rglob("*.flac")) if soundfile.info(path).duration >= 5]


def kinds(audio: Audio, rate: int = 16000) -> set[str]:
    return {sign.what for sign in find_splices(audio, rate)}


def speech(seconds: float, level: float = 0.1, background: float = 1e-3, seed: int = 0) -> Audio:
    """Noise in syllables over a background, as far as the detector is concerned a recording."""
    random = np.random.default_rng(seed)
    times = np.arange(int(seconds * 16000)) / 16000
    syllables = np.clip(np.sin(2 * np.pi * 1.3 * times), 0, 1)
    return (random.normal(size=len(times)) * (level * syllables + background)).astype(np.float32)


def test_one_recording_has_no_splice_and_one_whose_background_jumps_has() -> None:
    assert kinds(speech(8)) == set()
    signs = find_splices(np.concatenate([speech(4), speech(4, background=1e-2, seed=1)]), 16000)
    assert {sign.what for sign in signs} == {"background"}
    assert signs[0].at_s == pytest.approx(4.0, abs=0.6)
    assert signs[0].size == pytest.approx(20, abs=4)
    assert "the background changes by" in signs[0].sentence()


def test_a_jump_of_level_and_a_change_of_colour_are_told() -> None:
    assert "level" in kinds(np.concatenate([speech(4), speech(4, level=0.8, seed=1)]))
    dark = np.convolve(speech(4, seed=1), np.ones(8) / 8, mode="same").astype(np.float32)
    assert "voice" in kinds(np.concatenate([speech(4), dark]))


def test_digital_silence_counts_between_words_and_not_at_the_ends() -> None:
    gap, clip = np.zeros(4800, np.float32), speech(3)
    (sign,) = find_splices(np.concatenate([clip, gap, clip]), 16000)
    assert (sign.what, round(sign.size, 2)) == ("zeros", 0.3)
    assert sign.at_s == pytest.approx(3.0, abs=0.01)
    assert kinds(np.concatenate([gap, clip, gap])) == set()
    assert kinds(np.concatenate([clip, gap[:400], clip])) == set()  # 25 ms


def test_clipping_is_no_digital_silence_and_short_or_silent_clips_are_no_error() -> None:
    assert kinds(np.clip(speech(3) * 100, -1, 1)) == set()
    assert kinds(speech(1)) == set()
    assert kinds(np.zeros(16000, np.float32)) == set()
    assert kinds(np.zeros(100, np.float32)) == set()
    assert find_splices(speech(2), 8000) == []


def test_single_real_recordings_are_left_alone(real: list[Path]) -> None:
    blamed = [path.name for path in real if find_splices(*read(path))]
    assert len(real) >= 20
    assert len(blamed) <= 1, blamed


def test_clips_of_different_recordings_joined_are_found_more_often_than_not(real: list[Path]) -> None:
    clips = [read(path) for path in real]
    pairs = [(one, other) for one in range(0, len(clips), 3) for other in range(1, len(clips), 4)]
    pairs = [
        (one, other)
        for one, other in pairs
        if real[one].parent != real[other].parent and clips[one][1] == clips[other][1]
    ]
    found = 0
    for one, other in pairs:
        rate = clips[one][1]
        joined = np.concatenate([clips[one][0][: 6 * rate], clips[other][0][: 6 * rate]])
        found += bool(find_splices(joined, rate))
    assert len(pairs) >= 20
    assert found > 0.55 * len(pairs), (found, len(pairs))


def clip(name: str, faults: list[str], **values: float) -> dict[str, Any]:
    return {
        "name": name,
        "verdict": "avoid" if "serious" in faults else "usable" if faults else "good",
        "faults": [{"what": "x", "weight": weight, "says": f"{name} is {weight}"} for weight in faults],
        "values": {"dnsmos_ovrl": None, "wada_snr_db": None, **values},
    }


def test_a_serious_fault_weighs_more_than_any_number_of_others() -> None:
    clips = [
        clip("a", ["serious"], dnsmos_ovrl=4.5),
        clip("b", ["minor", "minor", "minor"], dnsmos_ovrl=3.0),
        clip("c", [], dnsmos_ovrl=3.6, wada_snr_db=30),
        clip("d", [], dnsmos_ovrl=3.6, wada_snr_db=40),
        clip("e", [], dnsmos_ovrl=3.7),
    ]
    assert [one["name"] for one in sorted(clips, key=_order)] == ["e", "d", "c", "b", "a"]
    assert advise({"clips": [clips[4]], "best": "e"})[0] == "Clone from e: no fault was found."
    assert "a serious fault" in advise({"clips": [clips[0]], "best": None})[0]


@pytest.mark.parametrize(
    ("column", "value", "weight"),
    [
        ("dnsmos_ovrl", 3.5, None),
        ("dnsmos_ovrl", 3.49, "minor"),
        ("dnsmos_ovrl", 2.9, "serious"),
        ("wada_snr_db", 9.0, "serious"),
        ("duration_s", 2.0, "minor"),
        ("duration_s", 1.0, "serious"),
        ("duration_s", 40.0, "minor"),
        ("duration_s", 9.0, None),
        ("clipping_ratio", 0.01, "serious"),
        ("bandwidth_hz", 3400.0, "serious"),
    ],
)
def test_limits(column: str, value: float, weight: str | None) -> None:
    from evalkit.decisions.select.references import COLUMNS

    values: dict[str, float | None] = dict.fromkeys(COLUMNS)
    found = _faults({**values, column: value}, saturated=False)
    assert [one["weight"] for one in found] == ([weight] if weight else [])


def test_a_ratio_that_could_not_be_measured_is_no_fault() -> None:
    from evalkit.decisions.select.references import COLUMNS

    assert _faults({**dict.fromkeys(COLUMNS), "wada_snr_db": -20.0}, saturated=True) == []


def test_the_command_ranks_a_clean_clip_before_its_spoilt_versions(evalkit: Call, tmp_path: Path) -> None:
    clean, rate = read(OWN / "sumit" / "sumit-1.flac")
    other, _ = read(OWN / "sarah" / "sarah-2.flac")
    random = np.random.default_rng(0)
    folder = tmp_path / "clips"
    folder.mkdir()
    noisy = clean + random.normal(0, 0.3 * clean.std(), len(clean)).astype(np.float32)
    versions = {
        "clean": clean,
        "noisy": noisy / np.abs(noisy).max() * 0.8,
        "clipped": np.clip(clean * 20, -1, 1),
        "joined": np.concatenate([clean, np.zeros(rate // 2, np.float32), other]),
    }
    for name, audio in versions.items():
        soundfile.write(folder / f"{name}.flac", audio, rate)
    (folder / "broken.wav").write_bytes(b"no audio")
    done = evalkit(
        "select", "--references", folder, "--out", tmp_path / "runs", "--html", tmp_path / "page.html", "--json"
    )
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    clips = {one["name"]: one for one in result["clips"]}
    assert result["clips"][0]["name"] == result["best"] == "clean"
    assert clips["joined"]["verdict"] == "avoid"
    assert {sign["what"] for sign in clips["joined"]["splices"]} >= {"zeros"}
    assert "clipping_ratio" in {fault["what"] for fault in clips["clipped"]["faults"]}
    assert clips["noisy"]["values"]["wada_snr_db"] < clips["clean"]["values"]["wada_snr_db"]
    assert clips["broken"]["verdict"] == "avoid"
    assert clips["broken"]["rank"] == 5
    assert clips["clean"]["values"]["speaker_similarity"] > 0.5
    (saved,) = (tmp_path / "runs" / "selections").glob("*/references.json")
    assert json.loads(saved.read_text()) == result
    assert 'href="clips/clean.flac"' in (tmp_path / "page.html").read_text()
