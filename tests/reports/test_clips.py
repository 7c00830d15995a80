import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from reports.clips import ClipReader, audio_link


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "audio").mkdir()
    tone = (0.1 * np.sin(np.arange(16_000) / 10)).astype(np.float32)
    for name in ("one", "two", "three"):
        soundfile.write(tmp_path / "audio" / f"{name}.flac", tone, 16_000)
    (tmp_path / "audio" / "broken.flac").write_bytes(b"fLaC but then nothing")
    soundfile.write(tmp_path / "audio" / "empty.flac", tone[:0], 16_000, format="WAV")
    return tmp_path


def row(name: str) -> dict[str, str]:
    return {"audio": f"audio/{name}.flac"}


def test_the_stored_bytes_are_embedded(folder: Path) -> None:
    clip = ClipReader(folder).read(row("one"))
    assert clip.problem is None
    assert clip.seconds == 1.0
    assert clip.audio is not None
    kind, _, data = clip.audio.partition(",")
    assert kind == "data:audio/flac;base64"
    assert base64.b64decode(data) == (folder / "audio" / "one.flac").read_bytes()


@pytest.mark.parametrize(
    ("name", "words"), [("gone", "missing"), ("broken", "cannot be read"), ("empty", "no samples")]
)
def test_bad_audio_is_said_not_raised(folder: Path, name: str, words: str) -> None:
    clip = ClipReader(folder).read(row(name))
    assert clip.audio is None
    assert words in (clip.problem or "")
    assert str(folder) not in (clip.problem or "")


def test_what_the_budget_does_not_hold_is_linked(folder: Path) -> None:
    size = len(ClipReader(folder).read(row("one")).audio or "")
    reader = ClipReader(folder, budget=2 * size)
    clips = [reader.read(row(name)) for name in ("one", "two", "three")]
    assert [clip.audio is not None for clip in clips] == [True, True, False]
    assert clips[2].link == "audio/three.flac"
    assert clips[2].picture


@pytest.mark.parametrize("audio", [None, "", "/etc/passwd", 3])
def test_no_audio(folder: Path, audio: object) -> None:
    assert audio_link(audio) is None
    assert ClipReader(folder).read({"audio": audio}).problem == "There is no audio of this utterance."


def test_existing_audio_outside_the_run_folder_becomes_flac(folder: Path) -> None:
    """`score` leaves clips where they are, in whatever format they have."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (24_000, 2)).astype(np.float32)
    soundfile.write(folder / "clip one.wav", noise, 24_000, subtype="FLOAT")
    (folder / "run").mkdir()
    clip = ClipReader(folder / "run").read({"audio": "../clip one.wav"})
    assert clip.link == "../clip%20one.wav"
    assert clip.audio is not None
    decoded, rate = soundfile.read(io.BytesIO(base64.b64decode(clip.audio.partition(",")[2])))
    assert rate == 24_000
    assert abs(decoded - noise).max() < 2**-15


def test_links_are_quoted() -> None:
    assert audio_link("javascript:alert(1)") == "javascript%3Aalert%281%29"
    assert audio_link('audio/a "b" #1?.flac') == "audio/a%20%22b%22%20%231%3F.flac"
