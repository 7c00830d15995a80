"""Clips are decoded in order, whatever the number of workers; what cannot be decoded is said and costs nothing else."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from evalkit.diagnostics.corpus.clip import Clip, File, Member
from evalkit.diagnostics.corpus.decoding import AT_ONCE, decode, decode_all
from evalkit.diagnostics.corpus.opening import open_corpus

RATE = 16000


def tone(hertz: float, seconds: float = 0.2, rate: int = RATE) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@dataclass(frozen=True)
class Deadly:
    """Audio that kills the process that reads it, as a fault in a codec would."""

    where: str = "deadly.wav"
    start_s: float = 0.0
    seconds: float | None = None

    def encoded(self) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More clips than all workers are given at once."""
    root = tmp_path_factory.mktemp("set")
    for number in range(5 * AT_ONCE):
        soundfile.write(root / f"{number:03d}.wav", tone(200 + number), RATE)
    return root


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(folder: Path, workers: int) -> None:
    clips = list(open_corpus(folder).clips())
    for one, other in zip(decode_all(clips, 0), decode_all(clips, workers), strict=True):
        assert (one.clip, one.key, one.sample_rate, one.channels) == (
            other.clip,
            other.key,
            other.sample_rate,
            other.channels,
        )
        assert one.samples is not None and other.samples is not None
        np.testing.assert_array_equal(one.samples, other.samples)


def test_decoding_stays_a_little_ahead_and_no_more(folder: Path) -> None:
    """A set that is larger than the memory is never listed as a whole."""
    asked = 0

    def counted() -> Iterator[Clip]:
        nonlocal asked
        for clip in open_corpus(folder).clips():
            asked += 1
            yield clip

    decoded = decode_all(counted(), 1)
    next(decoded)
    assert asked == 2 * AT_ONCE
    assert sum(1 for _ in decoded) == 5 * AT_ONCE - 1


def test_a_clip_that_kills_its_worker_costs_itself_alone(folder: Path) -> None:
    good = list(open_corpus(folder).clips())
    clips = [*good[:3], Clip("deadly", "x", None, Deadly()), *good[3:]]
    found = list(decode_all(clips, 2))
    assert [one.clip.id for one in found] == [clip.id for clip in clips]
    assert [one.clip.id for one in found if one.problem] == ["deadly"]
    assert found[3].problem == "made the decoder crash"


ABANDONED = """
import sys
from pathlib import Path
from evalkit.diagnostics.corpus.decoding import decode_all
from evalkit.diagnostics.corpus.opening import open_corpus
decoded = decode_all(open_corpus(Path(sys.argv[1])).clips(), 2)
next(decoded)
print("decoding", flush=True)
sys.stdin.read()
"""


def test_no_worker_outlives_a_process_that_is_killed(folder: Path) -> None:
    command = [sys.executable, "-c", ABANDONED, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "decoding\n"
    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) >= 3, "two workers, and what forks them"
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(started, timeout=60)
    assert not alive


def test_known_clips_are_hashed_and_not_decoded(folder: Path) -> None:
    clips = list(open_corpus(folder).clips())[:4]
    keys = [one.key for one in decode_all(clips, 0)]
    again = list(decode_all(clips, 1, frozenset(keys[:2])))
    assert [one.key for one in again] == keys
    assert [one.samples is None for one in again] == [True, True, False, False]


def test_the_key_is_of_the_content_and_of_the_part(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(200, 1.0), RATE)
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    whole, copy = (decode(Clip(name, "x", None, File(tmp_path / f"{name}.wav"))) for name in "ab")
    assert whole.key == copy.key
    parts = [decode(Clip("p", "x", None, File(tmp_path / "a.wav", start, 0.25))) for start in (0.0, 0.25)]
    assert len({whole.key, *(part.key for part in parts)}) == 3
    assert parts[1].samples is not None
    np.testing.assert_allclose(parts[1].samples, tone(200, 1.0)[4000:8000], atol=1e-4)


def test_a_changed_file_has_another_key_though_parts_of_it_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    keys = set()
    for hertz in (200.0, 300.0):
        soundfile.write(path, tone(hertz, 1.0), RATE)
        os.utime(path, ns=(0, round(hertz)))
        keys.add(decode(Clip("p", "x", None, File(path, 0.5, 0.25))).key)
    assert len(keys) == 2


def test_channels_are_averaged_and_any_rate_is_kept(tmp_path: Path) -> None:
    both = np.stack([tone(200, rate=44100), np.zeros(8820, np.float32)], axis=1)
    soundfile.write(tmp_path / "a.flac", both, 44100)
    found = decode(Clip("a", "x", None, File(tmp_path / "a.flac")))
    assert (found.sample_rate, found.channels) == (44100, 2)
    assert found.samples is not None
    np.testing.assert_allclose(found.samples, both.mean(axis=1), atol=1e-4)


def test_a_clip_can_be_of_some_channels(tmp_path: Path) -> None:
    three = np.stack([tone(200), tone(300), tone(400)], axis=1)
    soundfile.write(tmp_path / "a.wav", three, RATE)
    keys = {decode(Clip("a", "x", None, File(tmp_path / "a.wav"))).key}
    for only in ((0,), (2,), (0, 2)):
        found = decode(Clip("a", "x", None, File(tmp_path / "a.wav", channels=only)))
        assert found.samples is not None and found.channels == 3
        np.testing.assert_allclose(found.samples, three[:, list(only)].mean(axis=1), atol=1e-4)
        keys.add(found.key)
    assert len(keys) == 4
    missing = decode(Clip("a", "x", None, File(tmp_path / "a.wav", channels=(3,))))
    assert missing.problem == "has no channel 3: it has 3, counted from 0"


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "opus"])
def test_every_format_is_decoded(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    kind = {"opus": ("OGG", "OPUS"), "ogg": ("OGG", "VORBIS"), "mp3": ("MP3", None)}.get(suffix, (suffix.upper(), None))
    soundfile.write(path, tone(220, 1.0), RATE, format=kind[0], subtype=kind[1])
    (clip,) = open_corpus(tmp_path).clips()
    found = decode(clip)
    assert found.problem is None and found.samples is not None
    middle = found.samples[found.sample_rate // 4 : -found.sample_rate // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * found.sample_rate / len(middle) == pytest.approx(220, abs=3)


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    (tmp_path / "noise.wav").write_bytes(b"RIFF but nothing else")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), RATE)
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan, np.float32), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "cut.flac", tone(200, 2.0), RATE)
    (tmp_path / "cut.flac").write_bytes((tmp_path / "cut.flac").read_bytes()[:60])
    problems = {
        name: decode(Clip(name, "x", None, File(tmp_path / f"{name}"))).problem or ""
        for name in ("noise.wav", "empty.wav", "nan.wav", "cut.flac", "missing.wav")
    }
    assert "no audio that can be decoded" in problems["noise.wav"]
    assert "no samples" in problems["empty.wav"]
    assert "NaN" in problems["nan.wav"]
    assert "no audio that can be decoded" in problems["cut.flac"]
    assert "No such file" in problems["missing.wav"]


def test_a_file_that_was_cut_short_is_no_shorter_clip(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    soundfile.write(tmp_path / "a.flac", noise, RATE)
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(whole[: len(whole) // 2])
    found = decode(Clip("a", "x", None, File(tmp_path / "a.flac")))
    assert found.samples is None and found.problem
    soundfile.write(tmp_path / "b.wav", noise, RATE)
    beyond = decode(Clip("b", "x", None, File(tmp_path / "b.wav", 1.5, 1.0)))
    assert beyond.problem == "ends 0.50 s too soon: a part of it is missing"


def test_a_tar_that_ends_too_soon_is_the_clips_problem(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(200), RATE, format="WAV")
    (tmp_path / "a.tar").write_bytes(buffer.getvalue()[:100])
    found = decode(Clip("a", "x", None, Member(tmp_path / "a.tar", "a.wav", 0, len(buffer.getvalue()))))
    assert found.problem is not None and "ends in the middle" in found.problem
