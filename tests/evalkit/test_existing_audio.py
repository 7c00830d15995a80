"""Audio that exists: folders, CSV files, and everything that can be wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import QUICK, Call

from evalkit.errors import EvalkitError
from evalkit.pipeline.existing import plan_existing
from evalkit.pipeline.judges import choose
from evalkit.runs.table import read_scores
from evalkit.suites import load_suite


def tone(path: Path, seconds: float = 1.0, rate: int = 16000, level: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, level * np.sin(np.arange(int(seconds * rate)) * 0.1), rate)
    return path


def test_a_folder_takes_its_text_from_beside_the_audio(tmp_path: Path) -> None:
    tone(tmp_path / "one.wav")
    (tmp_path / "one.txt").write_text("Good morning.\n")
    tone(tmp_path / "deeper" / "two b.flac", 0.5, 8000)
    planned, _ = plan_existing(tmp_path)
    assert [(u.id, u.item.spoken, u.sample_rate, u.expected_s) for u in planned] == [
        ("deeper-two-b", "", 8000, 0.5),
        ("one", "Good morning.", 16000, 1.0),
    ]


def test_a_csv_says_everything(tmp_path: Path) -> None:
    tone(tmp_path / "a.wav")
    speaker = tone(tmp_path / "speaker" / "s.wav")
    (tmp_path / "list.csv").write_text(
        "\ufeffaudio,id,text,spoken,reference,tags\na.wav,first,Rs.5,five rupees,speaker,kind:amount voice:a\n"
    )
    (planned,), _ = plan_existing(tmp_path / "list.csv")
    assert planned.item.text == "Rs.5" and planned.item.spoken == "five rupees"
    assert planned.item.tags == ("kind:amount", "voice:a") and planned.references == (speaker,)


def test_files_named_after_items_are_judged_by_them(tmp_path: Path) -> None:
    item = load_suite("smoke").items[0]
    tone(tmp_path / f"{item.id}.r0.wav")
    planned, _ = plan_existing(tmp_path, load_suite("smoke").items)
    assert {u.id: u.item.spoken for u in planned if u.source} == {f"{item.id}.r0": item.spoken}


def test_the_digest_follows_content_and_text_but_not_the_place(tmp_path: Path) -> None:
    tone(tmp_path / "x" / "a.wav")
    tone(tmp_path / "y" / "a.wav")
    assert plan_existing(tmp_path / "x")[1] == plan_existing(tmp_path / "y")[1]
    (tmp_path / "y" / "a.txt").write_text("text")
    assert plan_existing(tmp_path / "x")[1] != plan_existing(tmp_path / "y")[1]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone", None, "does not exist"),
        ("list.txt", "a", "neither a folder nor a .csv"),
        ("list.csv", "", "no column 'audio'"),
        ("list.csv", "file\na.wav\n", "no column 'audio'"),
        ("list.csv", "audio\n", "holds no audio"),
        ("list.csv", "audio,text\n,hello\n", "line 2"),
        ("list.csv", "audio,id\na.wav,x\nb.wav,x\n", "share the id 'x'"),
        ("list.csv", "audio,reference\na.wav,nobody\n", "line 2: the reference nobody"),
    ],
)
def test_bad_lists_are_one_sentence(tmp_path: Path, name: str, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(EvalkitError, match=words):
        plan_existing(tmp_path / name)


def test_text_that_is_not_utf8_is_one_sentence_and_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    tone(tmp_path / "a.wav")
    (tmp_path / "a.txt").write_text("\ufeffCafé.\n")
    (planned,), _ = plan_existing(tmp_path)
    assert planned.item.spoken == "Café."
    (tmp_path / "a.txt").write_bytes("Café.".encode("latin-1"))
    with pytest.raises(EvalkitError, match=r"a\.txt is not UTF-8 at byte 3; save it as UTF-8"):
        plan_existing(tmp_path)
    (tmp_path / "list.csv").write_bytes("audio,text\na.wav,Café.\n".encode("latin-1"))
    with pytest.raises(EvalkitError, match=r"list\.csv is not UTF-8 at byte 20; save it as UTF-8"):
        plan_existing(tmp_path / "list.csv")


def test_a_missing_and_a_broken_file_count_against_coverage(evalkit: Call, tmp_path: Path) -> None:
    tone(tmp_path / "good.wav")
    tone(tmp_path / "quiet.wav", level=0.0)
    (tmp_path / "broken.wav").write_bytes(b"RIFF not really")
    (tmp_path / "list.csv").write_text("audio\ngood.wav\nquiet.wav\nbroken.wav\nmissing.wav\n")
    result = evalkit("score", tmp_path / "list.csv", "--metrics", QUICK, "--out", tmp_path / "runs")
    assert result.exit_code == 3 and "1 of 4" in result.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    statuses = {row["item"]: row["status"] for row in read_scores(folder / "scores.parquet")}
    assert statuses == {"good": "ok", "quiet": "silent", "broken": "unreadable", "missing": "unreadable"}


def test_columns_without_text_or_reference_are_absent_and_say_why(evalkit: Call, tmp_path: Path) -> None:
    tone(tmp_path / "in" / "a.wav")
    result = evalkit("score", tmp_path / "in", "--metrics", "wer,speaker_similarity", "--out", tmp_path / "runs")
    assert result.exit_code == 0, result.output
    assert "wer is absent: no text was given" in result.stdout
    assert "speaker_similarity is absent: no reference clip" in result.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    assert set(json.loads((folder / "summary.json").read_text())["absent"]) >= {"wer", "cer", "speaker_similarity"}


def test_what_has_no_rival_is_the_standard() -> None:
    (dnsmos,) = choose(["dnsmos"], "standard", "cpu")
    assert dnsmos.metric is not None and dnsmos.notice is None
    (wer,) = choose(["wer"], "auto", "cpu")
    assert wer.metric is not None and "Whisper" in str(wer.notice)
    with pytest.raises(EvalkitError, match=r"evalkit fetch whisper:base\.en"):
        choose(["wer"], "standard", "cpu")
