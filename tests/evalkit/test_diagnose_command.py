"""`evalkit diagnose`, end to end: real networks on made speech; whatever is wrong is said in one sentence."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import soundfile
from commands import FIXTURES, Call

REFERENCES = FIXTURES / "audio" / "reference"
SENTENCES = [
    f"{who} {what} the {thing} {where}, and that was the end of the story."
    for who, what in (("My sister", "found"), ("The doctor", "forgot"), ("Nobody", "wanted"), ("We all", "admired"))
    for thing in ("old clock", "wooden boat", "long letter", "grey horse")
    for where in ("behind the church", "on a rainy Sunday", "after dinner")
]


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers with four clips each, of which one is clipped, a copy, and a damaged file."""
    root = tmp_path_factory.mktemp("data") / "voices"
    for speaker in ("sarah", "sumit"):
        (root / speaker).mkdir(parents=True)
        for path in sorted((REFERENCES / speaker).glob("*.flac")):
            (root / speaker / path.name).write_bytes(path.read_bytes())
            (root / speaker / path.with_suffix(".txt").name).write_text("The boats were coming home across the bay.")
    copy = (root / "sarah" / "sarah-1.flac").read_bytes()
    (root / "sarah" / "again.flac").write_bytes(copy)
    (root / "sarah" / "again.txt").write_text("The boats were coming home across the bay.")
    (root / "sumit" / "broken.wav").write_bytes(b"RIFF and no more")
    audio, rate = soundfile.read(root / "sumit" / "sumit-2.flac", dtype="float32")
    soundfile.write(root / "sumit" / "sumit-2.flac", (20 * audio).clip(-1, 1), rate)
    return root


def diagnosed(evalkit: Call, data: Path, out: Path, *more: object) -> dict[str, object]:
    result = evalkit("diagnose", data, "--out", out, "--judges", "bundled", "--workers", 0, "--json", "-q", *more)
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_a_diagnosis_end_to_end(evalkit: Call, speech: Path, tmp_path: Path) -> None:
    fix, mix, markdown = (tmp_path / name for name in ("clean.jsonl", "mix.jsonl", "diagnosis.md"))
    found = diagnosed(
        evalkit, speech, tmp_path / "out", "--fix", fix, "--pick-references", 1, "--mix", "0.003",
        "--mix-manifest", mix, "--markdown", markdown,
    )  # fmt: skip
    data, speakers, flags = found["data"], found["speakers"], found["flags"]
    assert isinstance(data, dict) and isinstance(speakers, list) and isinstance(flags, dict)
    assert (data["clips"], data["measured"], data["problem_count"]) == (10, 9, 1)
    assert data["problems"][0]["id"] == "sumit/broken"
    assert {one["name"]: one["clips"] for one in speakers} == {"sarah": 5, "sumit": 5}
    assert {one["verdict"]["outcome"] for one in speakers} == {"cannot tell"}, "nine clips are too few"
    assert all(one["phones"]["covered"] > 10 for one in speakers)
    assert flags["copy"]["clips"] == ["sarah/sarah-1"]
    assert flags["unreadable"]["clips"] == ["sumit/broken"]
    assert flags["clipped"]["clips"] == ["sumit/sumit-2"]
    (folder,) = (tmp_path / "out").iterdir()
    assert json.loads((folder / "diagnosis.json").read_text()) == found
    page = (folder / "report.html").read_text()
    assert "sumit/broken" in page and "<audio" in page
    assert len(fix.read_text().splitlines()) == 7
    assert {json.loads(line)["id"] for line in (tmp_path / "clean.dropped.jsonl").read_text().splitlines()} == {
        "sumit/broken",
        "sumit/sumit-2",
        "sarah/sarah-1",
    }
    assert mix.read_text().strip() and "cannot tell" in markdown.read_text()
    rows = pq.read_table(folder / "clips.parquet").to_pylist()
    assert all(2 < row["dnsmos_ovrl"] < 4.5 and row["f0_median_hz"] > 60 for row in rows if row["problem"] is None)
    checks = {row["id"]: row for row in pq.read_table(folder / "checks.parquet").to_pylist()}
    assert checks["sarah/sarah-2"]["nearest_speaker"] == "sumit"
    assert checks["sarah/sarah-2"]["speaker_cosine"] > 0.8


def test_a_second_start_measures_nothing_and_says_the_same(evalkit: Call, speech: Path, tmp_path: Path) -> None:
    first = diagnosed(evalkit, speech, tmp_path)
    (log,) = tmp_path.glob("*/measured.jsonl")
    before = log.read_bytes()
    again = diagnosed(evalkit, speech, tmp_path)
    assert log.read_bytes() == before
    for one in (first, again):
        one["data"].pop("created")  # type: ignore[attr-defined]
    assert again == first


def test_the_table_names_each_speaker_and_the_report(evalkit: Call, speech: Path, tmp_path: Path) -> None:
    result = evalkit("diagnose", speech, "--out", tmp_path, "--judges", "bundled", "--workers", 0, "-q")
    assert result.exit_code == 0
    assert "sarah" in result.stdout and "sumit" in result.stdout and "report.html" in result.stdout


BAD: dict[str, tuple[tuple[object, ...], str]] = {
    "nothing there": (("missing",), "no training set at"),
    "no audio": (("empty",), "holds no clip"),
    "a field that no manifest has": (("empty", "--field", "voice=x"), "Unknown field 'voice'"),
    "half a field": (("empty", "--field", "speaker"), "write it as field=name"),
    "a flag that is none": (("empty", "--fix", "a.jsonl", "--drop", "cliped"), "did you mean 'clipped'"),
    "a drop without a fix": (("empty", "--drop", "clipped"), "give --fix"),
    "a mix without hours": (("empty", "--mix", "anna="), "--mix anna="),
    "a manifest for no mix": (("empty", "--mix-manifest", "a.jsonl"), "say what to mix"),
    "too few clips to hear": (("empty", "--transcripts", "3"), "fewer than 5"),
    "a manifest of another kind": (("empty", "--fix", "a.csv"), "ends in .jsonl"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_usage_is_one_sentence(what: str, evalkit: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    arguments, says = BAD[what]
    result = evalkit("diagnose", *arguments)
    assert result.exit_code == 2, result.output
    assert says in result.stderr and "Traceback" not in result.stderr
    assert not list((tmp_path / "diagnoses").glob("*/*.json*"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without networks, which the outcome of an option does not need."""
    from evalkit.diagnostics.training import diagnosing

    monkeypatch.setattr(diagnosing, "METRICS", ("energy", "signal", "wada_snr"))
    monkeypatch.setattr(diagnosing, "_embedder", lambda device, judges: (None, []))


@pytest.mark.usefixtures("quick")
def test_what_cannot_be_made_beside_it_costs_no_diagnosis(evalkit: Call, speech: Path, tmp_path: Path) -> None:
    fix, markdown = tmp_path / "clean.jsonl", tmp_path / "diagnosis.md"
    asked = ("--mix", "sarah=9,sumit=9", "--fix", fix, "--markdown", markdown)
    arguments = ("diagnose", speech, "--out", tmp_path / "out", "--judges", "bundled", "--workers", 0, "-q", *asked)
    result = evalkit(*arguments, "--json")
    assert result.exit_code == 2 and "asks for more than there is" in result.stderr
    found = json.loads(result.stdout)
    assert "mix" not in found and any("asks for more than there is" in notice for notice in found["notices"])
    (folder,) = (tmp_path / "out").iterdir()
    assert json.loads((folder / "diagnosis.json").read_text()) == found
    assert "asks for more than there is" in (folder / "report.html").read_text()
    assert fix.read_text() and "asks for more than there is" in markdown.read_text()
    told = evalkit(*arguments)
    assert told.exit_code == 2 and "asks for more" in told.stderr and "sarah: cannot tell" in told.stdout


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("--markdown", "file/x.md"), "Cannot write file/x.md"),
        (("--markdown", "voices/sarah/sarah-1.txt"), "inside the training set"),
        (("--fix", "x.jsonl", "--mix", "0.001", "--mix-manifest", "x.jsonl"), "would both be written to x.jsonl"),
    ],
)
def test_a_place_that_is_none_is_told_before_anything_is_measured(
    asked: tuple[str, ...], says: str, evalkit: Call, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(speech, "voices")
    Path("file").write_text("")
    result = evalkit("diagnose", "voices", "--judges", "bundled", "--workers", 0, "-q", *asked)
    assert result.exit_code == 2 and says in result.stderr, result.output
    assert not Path("diagnoses").exists() and not Path("x.jsonl").exists()
    assert Path("voices/sarah/sarah-1.txt").read_text() == (speech / "sarah" / "sarah-1.txt").read_text()


@pytest.mark.usefixtures("quick")
def test_a_list_of_dropped_clips_that_is_the_set_is_refused(evalkit: Call, speech: Path, tmp_path: Path) -> None:
    source = tmp_path / "clean.dropped.jsonl"
    source.write_text(json.dumps({"audio": str(speech / "sarah" / "sarah-1.flac"), "text": "The boats."}))
    result = evalkit("diagnose", source, "--out", tmp_path / "out", "--fix", tmp_path / "clean.jsonl", "-q")
    assert result.exit_code == 2 and "the training set itself" in result.stderr
    assert "The boats." in source.read_text() and not (tmp_path / "clean.jsonl").exists()


@pytest.mark.usefixtures("quick")
def test_near_copies_and_broken_clips_are_no_evidence(evalkit: Call, tmp_path: Path) -> None:
    """Recordings, the same ones at half the level, one speaker with copies of them alone, and a broken clip's text."""
    readings = sorted((FIXTURES / "audio" / "readings").glob("*-right-slt.flac"))[:6]
    for number, path in enumerate(readings):
        audio, rate = soundfile.read(path, dtype="float32")
        for speaker, level in (("anna", 1.0), ("anna", 0.5), ("bert", 0.4)):
            name = tmp_path / "set" / speaker / f"{number}-{level}.wav"
            name.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(name, level * audio, rate, subtype="FLOAT")
            name.with_suffix(".txt").write_text("The cat sat." if speaker == "anna" else "A quick joy.")
    (tmp_path / "set" / "anna" / "broken.wav").write_bytes(b"RIFF and no more")
    (tmp_path / "set" / "anna" / "broken.txt").write_text("zebra quagga okapi " * 20)
    found = diagnosed(evalkit, tmp_path / "set", tmp_path / "out")
    speakers = {one["name"]: one for one in found["speakers"]}  # type: ignore[attr-defined]
    anna, bert = speakers["anna"], speakers["bert"]
    assert (anna["clips"], anna["unreadable"], anna["distinct_clips"], anna["energy"]["clips"]) == (13, 1, 6, 6)
    assert anna["hours"] == pytest.approx(2 * anna["distinct_hours"])
    assert anna["words"] == {"unique": 3, "per_clip": 3.0} and anna["phones"]["words"] == 18
    assert found["all"]["distinct_clips"] == 6 and found["all"]["words"]["unique"] == 3  # type: ignore[index]
    assert bert["verdict"]["says"] == "Cannot tell: all its clips are copies of clips of anna, with whom they count."
    assert bert["phones"] is None


# A set of short clips, made while it is read: each names its own content, so that no two are alike.
MANY = """
import io, json, sys, tarfile
import numpy as np, soundfile
count, path = int(sys.argv[1]), sys.argv[2]
rng = np.random.default_rng(1)
noise = rng.normal(size=40000)
with tarfile.open(path, "w") as tar:
    for number in range(count):
        start = number % 30000
        audio = noise[start : start + 4800 + number % 7 * 400] * 10 ** (-1.2 - 0.04 * (number % 23))
        buffer = io.BytesIO()
        soundfile.write(buffer, audio, 16000, format="WAV", subtype="FLOAT")
        data = buffer.getvalue() if number % 100 != 50 else b"damaged"
        about = json.dumps({"speaker": f"s{number % 3}", "text": f"clip number {number}"}).encode()
        for suffix, content in (("json", about), ("wav", data)):
            member = tarfile.TarInfo(f"{number:06d}.{suffix}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
"""

# Measures without networks, which cost minutes and no memory that grows, and reports its peak.
MEASURE = """
import resource, sys
from pathlib import Path
from evalkit.diagnostics.training import diagnosing, measuring
measuring._WINDOW_S["cpu"] = 60.0
diagnosing.METRICS = ("energy", "signal", "wada_snr")
diagnosing._embedder = lambda device, judges: (None, [])
wanted = diagnosing.Wanted(out=Path(sys.argv[2]), workers=int(sys.argv[3]), judges="bundled")
found = diagnosing.diagnose_set(Path(sys.argv[1]), wanted, lambda total: lambda clips, seconds: None, lambda said: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def many(count: int, path: Path) -> Path:
    subprocess.run([sys.executable, "-c", MANY, str(count), str(path)], check=True)
    return path


def start(data: Path, out: Path, workers: int = 1) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", MEASURE, str(data), str(out), str(workers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> tuple[float, float]:
    """Peak memory in MB of the process that measures, and of the largest that it started."""
    largest = 0.0
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(process.pid).children(recursive=True)
            largest = max([largest, *(child.memory_info().rss / 2**20 for child in children)])
        time.sleep(0.05)
    output, _ = process.communicate()
    assert process.returncode == 0
    return float(output), largest


def rows(out: Path) -> list[dict[str, object]]:
    (path,) = out.glob("*/clips.parquet")
    return pq.read_table(path).to_pylist()


def test_the_same_numbers_with_one_worker_and_two_and_after_kills(tmp_path: Path) -> None:
    """Killed whenever its log has grown, and started again, until it is done."""
    data = many(1200, tmp_path / "set.tar")
    for workers in (1, 2):
        finished(start(data, tmp_path / f"w{workers}", workers))
    assert rows(tmp_path / "w1") == rows(tmp_path / "w2")
    kills, size = 0, 0
    while True:
        process = start(data, tmp_path / "killed", 2)
        while process.poll() is None:
            logs = list((tmp_path / "killed").glob("*/measured.jsonl"))
            if kills < 3 and logs and logs[0].stat().st_size > size:
                size = logs[0].stat().st_size
                workers_of = psutil.Process(process.pid).children(recursive=True)
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                assert not psutil.wait_procs(workers_of, timeout=60)[1], "a worker outlived its process"
                kills += 1
                break
            time.sleep(0.01)
        else:
            assert process.returncode == 0
            break
    assert kills == 3
    assert rows(tmp_path / "killed") == rows(tmp_path / "w1")
    (diagnosis,) = (tmp_path / "killed").glob("*/diagnosis.json")
    found = json.loads(diagnosis.read_text())["data"]
    assert (found["clips"], found["problem_count"], found["measured"]) == (1200, 12, 1188)
    assert {one["id"] for one in found["problems"]} == {f"{number:06d}" for number in range(50, 1200, 100)}


@pytest.mark.slow
def test_twenty_thousand_clips_take_the_memory_of_two_thousand(tmp_path: Path) -> None:
    peaks = {}
    for count in (2_000, 20_000):
        data = many(count, tmp_path / f"{count}.tar")
        peaks[count] = finished(start(data, tmp_path / f"out-{count}"))
        found = rows(tmp_path / f"out-{count}")
        assert len(found) == count and sum(row["problem"] is not None for row in found) == count // 100
        data.unlink()
    (small, small_child), (large, large_child) = peaks[2_000], peaks[20_000]
    assert large < 1.1 * small, "the process that measures"
    assert 0 < large_child < 1.1 * small_child, "a process that decodes"


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
def test_teacher_speech_at_mixed_levels_is_told_from_one_level_and_noise_is_no_variety(tmp_path: Path) -> None:
    """One voice says the same sentences at one level, at three levels, and at two levels with noise in the pauses.

    Three sets: in one they would be near copies of each other.
    """
    from evalkit.diagnostics.training.diagnosing import Wanted, diagnose_set

    rng = np.random.default_rng(3)
    levels = {"even": (-3.0,), "levels": (-4.0, -20.0, -36.0), "noisy": (-3.0, -19.2)}
    for number, text in enumerate(SENTENCES):
        subprocess.run(["flite", "-voice", "rms", "-t", text, str(tmp_path / "said.wav")], check=True)
        audio, rate = soundfile.read(tmp_path / "said.wav")
        noise = rng.normal(size=len(audio)) * np.sqrt(np.mean(audio**2)) * 10 ** (-30 / 20)
        for speaker, steps in levels.items():
            path = tmp_path / speaker / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            level = 10 ** (steps[number % len(steps)] / 20)
            soundfile.write(path, level * (audio + noise * (speaker == "noisy")), rate, subtype="FLOAT")
    wanted = Wanted(out=tmp_path / "out", workers=0, judges="bundled", dnsmos_clips=2)
    speakers: dict[str, Any] = {}
    for name in levels:
        found = diagnose_set(tmp_path / name, wanted, lambda total: lambda clips, seconds: None, lambda said: None)
        (speakers[name],) = found.diagnosis["speakers"]
    verdicts = {name: one["verdict"] for name, one in speakers.items()}
    assert {name: one["outcome"] for name, one in verdicts.items()} == {
        "even": "collapse",
        "levels": "risk",
        "noisy": "risk",
    }
    assert verdicts["levels"]["probability"]["gain"] >= 0.95
    assert "DNS-MOS contradicts" in verdicts["levels"]["says"], "a synthetic voice is as good in every clip"
    assert "only with the sound in pauses" in verdicts["noisy"]["says"]
    energy = {name: one["energy"] for name, one in speakers.items()}
    assert energy["noisy"]["pauses"] > 0.02 > energy["even"]["pauses"]
    assert energy["noisy"]["std_db"] > energy["noisy"]["speech_std_db"] + 0.5
