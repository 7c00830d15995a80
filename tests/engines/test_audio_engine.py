"""The engine `audio`: clips from a folder, and what happens to an item that has none."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from evalkit.engines.audio.engine import Audio
from evalkit.engines.audio.reading import from_pcm16, read_clip, wav_header
from evalkit.engines.base import Request, Setup, Speech
from evalkit.errors import EvalkitError


def clip(seed: int, channels: int = 1, seconds: float = 0.1, rate: int = 16000) -> np.ndarray:
    """float32 [samples, channels] on the 16-bit grid."""
    samples = np.random.default_rng(seed).integers(-9000, 9000, (int(seconds * rate), channels))
    return (samples / 32768).astype(np.float32)


def write(path: Path, seed: int = 0, channels: int = 1, rate: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, clip(seed, channels, rate=rate), rate)


def set_up(folder: Path) -> Audio:
    engine = Audio()
    engine.set_up(Setup(options={"folder": f" {folder}"}))
    return engine


def speak(engine: Audio, *ids: str) -> list[Speech]:
    return list(engine.synthesize([Request(name, "hello", 0) for name in ids]))


def test_files_are_found_by_item_and_by_repeat(tmp_path: Path) -> None:
    for seed, name in enumerate(("in-001.wav", "in-002.r0.flac", "in-002.r1.wav", "in/003.ogg", "in-004.mp3")):
        write(tmp_path / name, seed)
    engine = set_up(tmp_path)
    assert engine.spec.sample_rate == 16000
    speeches = speak(engine, "in-001.r0", "in-002.r1", "in-002.r0", "in-003.r0", "in-004.r0")
    assert [s.status for s in speeches] == ["ok"] * 5
    assert [s.details["file"] for s in speeches] == [
        "in-001.wav",
        "in-002.r1.wav",
        "in-002.r0.flac",
        "003.ogg",
        "in-004.mp3",
    ]
    for speech, seed in zip(speeches[:3], (0, 2, 1), strict=True):
        assert torch.equal(speech.audio, torch.from_numpy(clip(seed)[:, 0]))
    assert all(s.seconds is None for s in speeches)  # nothing was synthesised


def test_an_item_without_a_file_counts_against_the_system(tmp_path: Path) -> None:
    write(tmp_path / "in-001.wav")
    speeches = speak(set_up(tmp_path), "in-001.r0", "in-002.r0", "in-001.r1", "in-001", "../in-001")
    assert [s.status for s in speeches] == ["ok", "failed", "failed", "ok", "failed"]
    assert speeches[1].reason == "There is no file for in-002.r0."


def test_channels_are_averaged(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 1, channels=2)
    (speech,) = speak(set_up(tmp_path), "a.r0")
    assert torch.allclose(speech.audio, torch.from_numpy(clip(1, 2).mean(axis=1)), atol=1e-7)


def test_a_file_that_cannot_be_read_is_a_status(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    (tmp_path / "b.wav").write_bytes(b"no audio at all" * 9)
    (tmp_path / "c.wav").touch()
    (tmp_path / "d.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:-100])
    engine = set_up(tmp_path)
    (tmp_path / "a.wav").unlink()
    speeches = speak(engine, "a", "b", "c", "d")
    assert {s.status for s in speeches} == {"failed"}
    said = [str(s.reason) for s in speeches]
    assert "a.wav" in said[0] and "cannot be read" in said[1] and "empty" in said[2] and "cut short" in said[3]


def test_another_rate_after_the_folder_was_looked_at(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    engine = set_up(tmp_path)
    write(tmp_path / "a.wav", rate=8000)
    assert "8000 Hz" in str(speak(engine, "a")[0].reason)


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "twice" / "a.wav")
    write(tmp_path / "twice" / "a.flac")
    write(tmp_path / "rates" / "a.wav", rate=16000)
    write(tmp_path / "rates" / "b.wav", rate=24000)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.wav").write_bytes(b"x")
    for name, said in (
        ("gone", "There is no folder"),
        ("empty", "holds no audio"),
        ("twice", "Two files .* for 'a'"),
        ("rates", "a.wav 16000 Hz, b.wav 24000 Hz"),
        ("bad", "No file in .* can be read"),
    ):
        with pytest.raises(EvalkitError, match=said):
            set_up(tmp_path / name)
    with pytest.raises(EvalkitError, match="--engine 'audio: my-clips/'"):
        Audio().set_up(Setup(options={"folder": ""}))


def test_identity_is_of_names_and_contents(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 0)
    write(tmp_path / "b.wav", 1)
    before = dict(set_up(tmp_path).identity)
    assert before["files"] == "2" and dict(set_up(tmp_path).identity) == before
    (tmp_path / "notes.txt").write_text("not a clip")
    assert dict(set_up(tmp_path).identity) == before
    write(tmp_path / "b.wav", 2)
    changed = dict(set_up(tmp_path).identity)
    write(tmp_path / "b.wav", 1)
    (tmp_path / "b.wav").rename(tmp_path / "c.wav")
    renamed = dict(set_up(tmp_path).identity)
    assert len({before["sha256"], changed["sha256"], renamed["sha256"]}) == 3


def test_takes_no_weights_and_no_voice(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    engine = set_up(tmp_path)
    assert engine.weights() == {} and Audio.spec.weights == "none"
    with pytest.raises(EvalkitError, match="takes no checkpoint"):
        engine.load({})
    with pytest.raises(EvalkitError, match="takes no voice"):
        engine.prepare_voice(tmp_path, None)
    with pytest.raises(EvalkitError, match="set_up"):
        Audio().synthesize([])


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
def test_headers_agree_with_libsndfile(subtype: str, form: str) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, clip(0, 2), 22050, format=form, subtype=subtype)
    data = buffer.getvalue()
    header = wav_header(data)
    assert header is not None
    assert (header.channels, header.rate) == (2, 22050)
    assert header.size == len(clip(0, 2)) * 2 * header.bits // 8
    assert header.is_pcm16 == (subtype == "PCM_16")
    audio, rate = read_clip(data)
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    assert rate == 22050 and np.array_equal(audio.numpy(), expected.mean(axis=1))
    if header.is_pcm16:
        assert torch.equal(from_pcm16(data[header.start : header.start + header.size], 2), audio)
    early = next(n for n in range(len(data)) if wav_header(data[:n]) is not None)
    assert early == header.start and wav_header(data[:early]) == header


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_a_wav_whose_length_was_not_known_is_read_whole(size: int) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, clip(3), 16000, format="WAV", subtype="PCM_16")
    data = buffer.getvalue()
    streamed = data[:4] + struct.pack("<I", size) + data[8:40] + struct.pack("<I", size) + data[44:]
    assert torch.equal(read_clip(streamed)[0], torch.from_numpy(clip(3)[:, 0]))


@given(st.binary(max_size=200), st.integers(0, 60))
def test_damage_is_a_sentence(damage: bytes, place: int) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, clip(0, seconds=0.005), 16000, format="WAV", subtype="PCM_16")
    data = buffer.getvalue()
    for bad in (damage, data[:place] + damage + data[place:], data[:place] + damage + data[place + len(damage) :]):
        try:
            audio, rate = read_clip(bad)
        except EvalkitError as error:
            assert str(error).isprintable()
        else:
            assert len(audio) and audio.ndim == 1 and rate > 0
