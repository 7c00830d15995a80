"""--fix: what is kept and what is dropped add up, every drop has its reason, and the manifest is read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from clip_tables import clip, many, write_checks, write_clips

from evalkit.diagnostics.corpus.decoding import decode
from evalkit.diagnostics.corpus.opening import open_corpus
from evalkit.diagnostics.training import manifest
from evalkit.diagnostics.training.fixing import write_fixed
from evalkit.errors import EvalkitError


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def flagged(tmp_path: Path) -> tuple[Path, Path]:
    rows = [
        clip("good"),
        clip("broken", problem="is no audio that can be decoded"),
        clip("again", copy_of="good"),
        clip("near"),
        clip("other"),
        clip("hiss"),
        clip("text"),
        clip("soft"),
        clip("long", text=None),
    ]
    flags = {
        "near": ["near copy"],
        "other": ["wrong speaker"],
        "hiss": ["noisy", "clipped"],
        "soft": ["quiet"],
        "text": ["transcript"],
    }
    checks = write_checks(
        tmp_path,
        rows,
        flags | {"long": ["too long", "upsampled", "silence"]},
        near_copy_of={"near": "good"},
        speaker_cosine={"other": 0.21},
        nearest_speaker={"other": "bert"},
        transcript={"text": "8 of 9 words differ"},
    )
    return write_clips(tmp_path, rows), checks


def test_kept_and_dropped_add_up_and_say_why(tmp_path: Path, flagged: tuple[Path, Path]) -> None:
    found = write_fixed(*flagged, tmp_path / "out" / "fixed.jsonl")
    assert (found["clips"], found["kept"], found["dropped"]) == (9, 3, 6)
    assert found["flags"] == dict.fromkeys(
        ("unreadable", "copy", "near copy", "wrong speaker", "noisy", "clipped", "transcript"), 1
    )
    kept, dropped = lines(tmp_path / "out" / "fixed.jsonl"), lines(Path(found["dropped_manifest"]))
    assert Path(found["dropped_manifest"]).name == "fixed.dropped.jsonl"
    assert [one["id"] for one in kept] == ["good", "soft", "long"]
    assert {one["id"]: (one["reasons"], one["says"]) for one in dropped} == {
        "broken": (["unreadable"], "unreadable: is no audio that can be decoded"),
        "again": (["copy"], "the same audio as good"),
        "near": (["near copy"], "nearly the same audio as good"),
        "other": (["wrong speaker"], "wrong speaker: cosine 0.21 with its own, nearest to bert"),
        "text": (["transcript"], "transcript: 8 of 9 words differ"),
        "hiss": (["noisy", "clipped"], "noisy; clipped"),
    }
    assert found["hours_kept"] == pytest.approx(15 / 3600)
    assert found["hours_dropped"] == pytest.approx(25 / 3600)  # what is broken has no length
    assert kept[0] == {
        "audio_filepath": "/data/good.wav",
        "text": "The quick brown fox.",
        "speaker": "anna",
        "id": "good",
        "offset": 0.0,
        "duration": 5.0,
    }
    assert kept[2]["text"] == ""
    assert found["notices"] == []
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["fixed.dropped.jsonl", "fixed.jsonl"]


def test_the_user_chooses_which_flags_drop(tmp_path: Path, flagged: tuple[Path, Path]) -> None:
    found = write_fixed(*flagged, tmp_path / "fixed.jsonl", drop=["quiet", "too long"])
    assert found["drop"] == ["unreadable", "too long", "quiet"]
    assert found["flags"] == {"unreadable": 1, "quiet": 1, "too long": 1}
    assert found["kept"] == 6
    assert all(one["duration"] for one in lines(tmp_path / "fixed.jsonl")), "NeMo reads no clip without a length"
    with pytest.raises(EvalkitError, match=r"nois.*did you mean 'noisy'"):
        write_fixed(*flagged, tmp_path / "fixed.jsonl", drop=["nois"])


def test_without_checks_what_is_known_drops(tmp_path: Path, flagged: tuple[Path, Path]) -> None:
    found = write_fixed(flagged[0], None, tmp_path / "fixed.jsonl")
    assert found["flags"] == {"unreadable": 1, "copy": 1}


def test_nothing_left_is_said(tmp_path: Path) -> None:
    clips = write_clips(tmp_path, [clip("a", problem="gone")])
    found = write_fixed(clips, None, tmp_path / "fixed.jsonl")
    assert found["notices"] == ["Nothing is left: every clip has a flag that drops it."]
    assert (tmp_path / "fixed.jsonl").read_text() == ""


def test_a_copy_of_a_clip_that_is_dropped_is_kept_in_its_place(tmp_path: Path) -> None:
    rows = [clip("a"), clip("b", copy_of="a"), clip("c", copy_of="a")]
    clips, checks = write_clips(tmp_path, rows), write_checks(tmp_path, rows, {"a": ["transcript"]})
    write_fixed(clips, checks, tmp_path / "fixed.jsonl")
    assert [one["id"] for one in lines(tmp_path / "fixed.jsonl")] == ["b"]


def test_the_manifest_is_read_as_the_same_audio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole files, and parts at places with more digits than `where` shows, of a set named by a relative path."""
    data = tmp_path / "data"
    data.mkdir()
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 40000).astype(np.float32)
    soundfile.write(data / "whole.wav", samples[:9000], 8000, subtype="FLOAT")
    soundfile.write(data / "long.wav", samples, 8000, subtype="FLOAT")
    listed = [
        {"audio": "whole.wav", "text": "Whole.", "speaker": "anna", "id": "w", "start": 0, "seconds": 1.125},
        {"audio": "long.wav", "text": "Üben.", "speaker": "bert", "id": "p", "start": 1.234625, "seconds": 2.0005},
        {"audio": "long.wav", "text": None, "speaker": "bert", "id": "q", "start": 3.5, "seconds": 1.5},
    ]
    (data / "set.jsonl").write_text("\n".join(json.dumps(one) for one in listed))
    monkeypatch.chdir(tmp_path)
    before = [decode(one) for one in open_corpus(Path("data/set.jsonl")).clips()]
    rows = [
        clip(
            one.clip.id,
            one.clip.speaker,
            where=one.clip.audio.where,
            start_s=one.clip.audio.start_s,
            text=one.clip.text,
            seconds=len(one.samples) / one.sample_rate if one.samples is not None else None,
        )
        for one in before
    ]
    assert rows[1]["where"] == "data/long.wav from 1.23463 s"
    write_fixed(write_clips(tmp_path, rows), None, tmp_path / "elsewhere" / "fixed.jsonl")
    monkeypatch.chdir("/")
    after = [decode(one) for one in open_corpus(tmp_path / "elsewhere" / "fixed.jsonl").clips()]
    assert len(after) == 3
    for one, other in zip(before, after, strict=True):
        assert (other.clip.id, other.clip.speaker, other.clip.text) == (one.clip.id, one.clip.speaker, one.clip.text)
        assert other.problem is None
        np.testing.assert_array_equal(one.samples, other.samples)


def test_without_an_exact_start_the_place_is_read_from_where(tmp_path: Path) -> None:
    assert manifest.place({"where": "/a b/c.wav from 12.5 s"}) == ("/a b/c.wav", 12.5)
    assert manifest.place({"where": "/a from 3 s.wav", "start_s": 0.0}) == ("/a from 3 s.wav", 0.0)
    assert manifest.place({"where": "/a.wav from 1e+06 s", "start_s": 1000000.25}) == ("/a.wav", 1000000.25)


PACKED = (
    *("/d/shard-0.tar: a/b.flac", "/d/train-0.parquet row 17", "/d/x.arrow row 0"),
    *("/d/call.wav channel 1", "/d/call.wav channel 0+1"),
)


@pytest.mark.parametrize("where", PACKED)
def test_packed_clips_keep_their_place_and_are_announced(tmp_path: Path, where: str) -> None:
    clips = write_clips(tmp_path, [clip("a", where=where), clip("b", where="/d/my row 3.wav")])
    found = write_fixed(clips, None, tmp_path / "fixed.jsonl")
    assert lines(tmp_path / "fixed.jsonl")[0]["audio_filepath"] == where
    assert found["notices"][0].startswith("Clips inside tars or tables, or of one channel of a file: 1. ")


def test_a_part_of_a_channel_keeps_its_place_too() -> None:
    row = {"where": "/d/call.wav channel 1 from 2.5 s", "start_s": 2.5}
    assert manifest.is_packed(row) and manifest.place(row) == ("/d/call.wav channel 1", 2.5)


def test_names_that_would_not_be_read_again_or_destroy_the_set(tmp_path: Path, flagged: tuple[Path, Path]) -> None:
    with pytest.raises(EvalkitError, match=r"ends in \.jsonl"):
        write_fixed(*flagged, tmp_path / "fixed.json")
    source = tmp_path / "set.jsonl"
    source.write_text("precious")
    (tmp_path / "link.jsonl").symlink_to(source)
    for name in ("set.jsonl", "link.jsonl"):
        with pytest.raises(EvalkitError, match="the training set itself"):
            write_fixed(*flagged, tmp_path / name, source=source)
    assert source.read_text() == "precious"
    for name in ("metadata.jsonl", "clean_recordings.jsonl", "cuts.jsonl"):
        with pytest.raises(EvalkitError, match="the list of the training set"):
            write_fixed(*flagged, tmp_path / name, source=tmp_path)
    assert write_fixed(*flagged, tmp_path / "clean.jsonl", source=tmp_path)["kept"] == 3
    with pytest.raises(EvalkitError, match="there already, inside the training set"):
        write_fixed(*flagged, tmp_path / "clean.jsonl", source=tmp_path)
    (tmp_path / "list.dropped.jsonl").write_text("precious")
    with pytest.raises(EvalkitError, match="the training set itself"):
        write_fixed(*flagged, tmp_path / "list.jsonl", source=tmp_path / "list.dropped.jsonl")
    assert (tmp_path / "list.dropped.jsonl").read_text() == "precious"
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(EvalkitError, match="is a folder"):
        write_fixed(*flagged, tmp_path / "folder.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(EvalkitError, match="Cannot write"):
        write_fixed(*flagged, tmp_path / "file" / "fixed.jsonl")


def test_an_end_in_the_middle_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    clips = write_clips(tmp_path, many(10))
    write_fixed(clips, None, out / "fixed.jsonl")
    before = (out / "fixed.jsonl").read_text()
    rows = many(10)
    checks = write_checks(tmp_path, [*rows[:5], clip("stranger")], {"anna-0001": ["noisy"]})
    with pytest.raises(EvalkitError, match="not of the clips"):
        write_fixed(clips, checks, out / "fixed.jsonl")
    assert (out / "fixed.jsonl").read_text() == before
    assert sorted(path.name for path in out.iterdir()) == ["fixed.dropped.jsonl", "fixed.jsonl"]
