"""Every clip is measured once, whatever the workers, the batches, and what interrupts; nothing is lost silently."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from torch import Tensor

from evalkit.diagnostics.corpus.opening import open_corpus
from evalkit.diagnostics.training import measuring
from evalkit.diagnostics.training.measuring import Files, Listed, Measurer
from evalkit.diagnostics.training.tables import problems, write_clips
from evalkit.errors import EvalkitError
from evalkit.pipeline.judges import choose
from metrics import ClipBatch, ClipInfo

RATE = 16000
METRICS = ("energy", "signal", "wada_snr")  # without networks: what is tested here is the way of the clips


class Lengths:
    """In place of an encoder: an embedding that says which clip it is of; none for the shortest."""

    dimension = 2

    def embed(self, clips: Sequence[Tensor]) -> list[np.ndarray | None]:
        found = [np.array([len(clip), float(clip.abs().sum())], np.float32) for clip in clips]
        return [None if len(clip) < 0.25 * RATE else vector for clip, vector in zip(clips, found, strict=True)]


def speechlike(seed: int, seconds: float, rate: int = RATE) -> np.ndarray:
    """Noise whose level moves as that of syllables does."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    level = 10 ** ((-30 + 8 * np.sin(2 * np.pi * 4 * time + seed) + rng.normal(0, 3)) / 20)
    return (level * rng.normal(size=len(time))).clip(-1, 1).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    for number in range(20):
        place = root / ("anna" if number % 2 else "bert")
        place.mkdir(parents=True, exist_ok=True)
        rate = 16000 if number % 5 else 22050
        audio = speechlike(number, 0.2 + 0.05 * number, rate)
        soundfile.write(place / f"{number:02d}.wav", audio, rate, subtype="FLOAT")
        (place / f"{number:02d}.txt").write_text("one two three" if number else "")
    return root


def measured(folder: Path, out: Path, workers: int = 0, sampled: dict[str, int] | None = None) -> tuple[Files, Listed]:
    files = Files(out)
    out.mkdir(exist_ok=True)
    choices = choose(METRICS, "bundled", "cpu")
    measurer = Measurer(files, choices, Lengths(), "cpu", sampled)  # type: ignore[arg-type]
    listed = measurer.measure(open_corpus(folder).clips(), workers, lambda clips, seconds: None)
    write_clips(files)
    return files, listed


def table(files: Files) -> list[dict[str, object]]:
    return pq.read_table(files.clips).to_pylist()


def test_the_table_holds_what_the_metrics_say_of_each_clip_alone(folder: Path, tmp_path: Path) -> None:
    files, listed = measured(folder, tmp_path / "out")
    rows = table(files)
    assert [row["id"] for row in rows] == [clip.id for clip in open_corpus(folder).clips()]
    assert (listed.clips, listed.problems, listed.measured) == (20, 0, 20)
    (energy,) = choose(("energy",), "bundled", "cpu")
    assert energy.metric is not None
    for row in rows:
        audio, rate = soundfile.read(folder / f"{row['id']}.wav", dtype="float32")
        alone = energy.metric.score(ClipBatch.of([torch.from_numpy(audio)], rate, [ClipInfo("x")]))
        assert row["energy_std_db"] == pytest.approx(alone["energy_std_db"][0], abs=1e-4)
        assert row["energy_active_frames"] == alone.details[0]["energy_active_frames"]  # type: ignore[attr-defined]
        assert row["seconds"] == pytest.approx(len(audio) / rate)
        assert (row["sample_rate"], row["channels"]) == (rate, 1)
        assert row["words"] == (None if str(row["id"]).endswith("00") else 3)
        assert row["problem"] is None and row["copy_of"] is None


def test_the_embedding_of_a_clip_is_where_its_row_says(folder: Path, tmp_path: Path) -> None:
    files, _ = measured(folder, tmp_path / "out")
    vectors = np.fromfile(files.embeddings, np.float32).reshape(-1, Lengths.dimension)
    rows = table(files)
    assert sorted(row["embedding"] for row in rows if row["embedding"] is not None) == list(range(len(vectors)))
    for row in rows:
        at_16k = float(row["seconds"]) * RATE  # type: ignore[arg-type]
        if row["embedding"] is None:
            assert at_16k < 0.25 * RATE
        else:
            assert vectors[row["embedding"], 0] == pytest.approx(at_16k, abs=1)


def same(first: list[dict[str, object]], second: list[dict[str, object]]) -> bool:
    return [{**row, "embedding": None} for row in first] == [{**row, "embedding": None} for row in second]


def test_workers_change_no_number(folder: Path, tmp_path: Path) -> None:
    alone, _ = measured(folder, tmp_path / "0", workers=0)
    for workers in (1, 2):
        assert table(measured(folder, tmp_path / str(workers), workers)[0]) == table(alone)


def test_a_kill_anywhere_costs_a_batch_and_changes_no_number(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(measuring._WINDOW_S, "cpu", 2.0)
    monkeypatch.setitem(measuring._BATCH_S, "cpu", 1.5)
    whole, listed = measured(folder, tmp_path / "whole")
    log = whole.measured.read_bytes()
    for cut in (0, 1, len(log) // 3, len(log) // 2, len(log) - 1):
        out = tmp_path / f"cut-{cut}"
        out.mkdir()
        (out / "measured.jsonl").write_bytes(log[:cut])
        (out / "embeddings.f32").write_bytes(whole.embeddings.read_bytes())  # always ahead of the log
        files, again = measured(folder, out)
        assert again.measured <= listed.measured and again.clips == 20
        assert same(table(files), table(whole))
        vectors = np.fromfile(files.embeddings, np.float32).reshape(-1, 2)
        assert len(vectors) == sum(row["embedding"] is not None for row in table(files))


@pytest.mark.parametrize("left", [0, 5, 40])
def test_clips_whose_voices_a_power_cut_took_are_measured_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    """A file of voices that is shorter than the log says is never filled up with zeros."""
    monkeypatch.setitem(measuring._WINDOW_S, "cpu", 2.0)
    whole, _ = measured(folder, tmp_path / "out")
    expected, vectors = table(whole), np.fromfile(whole.embeddings, np.float32).reshape(-1, 2)
    whole.embeddings.write_bytes(whole.embeddings.read_bytes()[:left])
    files, again = measured(folder, tmp_path / "out")
    assert again.measured > 0 and same(table(files), expected)
    found = np.fromfile(files.embeddings, np.float32).reshape(-1, 2)
    for row, before in zip(table(files), expected, strict=True):
        if before["embedding"] is not None:
            np.testing.assert_array_equal(found[row["embedding"]], vectors[before["embedding"]])  # type: ignore[call-overload]


def test_voices_are_on_disk_before_the_log_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)

    monkeypatch.setattr(os, "fsync", fsync)
    measured(folder, tmp_path / "out")
    assert synced[:2] == ["embeddings.f32", "measured.jsonl"]


def test_a_set_of_which_nothing_can_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"audio": "a.wav"}\n{"audio": "b.wav"}\n')
    with pytest.raises(EvalkitError, match=rf"None of the 2 clips .* {tmp_path}/a.wav, cannot be read \(No such file"):
        measured(tmp_path / "m.jsonl", tmp_path / "out")


def test_a_set_of_which_nothing_can_be_measured_is_listed(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    soundfile.write(tmp_path / "set" / "silent.wav", np.zeros(RATE, np.float32), RATE)
    files, listed = measured(tmp_path / "set", tmp_path / "out")
    assert (listed.clips, listed.problems) == (1, 1) and problems(files, 9)[0] == 1


def test_a_name_that_is_not_utf_8_costs_its_clip_alone(folder: Path, tmp_path: Path) -> None:
    latin = os.fsdecode("caf\xe9".encode("latin1"))
    shutil.copy(folder / "anna" / "01.wav", folder / "anna" / f"{latin}.wav")
    files, listed = measured(folder, tmp_path / "out", workers=1)
    assert (listed.clips, listed.problems, listed.measured) == (21, 1, 20)
    (found,) = problems(files, 9)[1]
    assert found["id"] == "anna/caf\\udce9" and "is not UTF-8" in found["problem"]


def test_what_was_measured_is_not_measured_again(folder: Path, tmp_path: Path) -> None:
    first, _ = measured(folder, tmp_path / "out")
    before = first.measured.read_bytes()
    (folder / "anna" / "01.wav").rename(folder / "anna" / "99.wav")
    (folder / "bert" / "02.wav").unlink()
    files, listed = measured(folder, tmp_path / "out")
    assert (listed.clips, listed.measured) == (19, 0)
    assert files.measured.read_bytes() == before
    assert "anna/99" in {row["id"] for row in table(files)}


def test_copies_are_measured_once_and_named(folder: Path, tmp_path: Path) -> None:
    for name in ("x", "y"):
        (folder / "anna" / f"{name}.wav").write_bytes((folder / "bert" / "04.wav").read_bytes())
    files, listed = measured(folder, tmp_path / "out", workers=1)
    assert (listed.clips, listed.measured) == (22, 20)
    rows = {row["id"]: row for row in table(files)}
    assert {name: row["copy_of"] for name, row in rows.items() if row["copy_of"]} == {
        "anna/y": "anna/x",
        "bert/04": "anna/x",
    }
    assert rows["anna/x"]["energy_mean_db"] == rows["bert/04"]["energy_mean_db"] is not None


def test_damaged_and_silent_clips_are_listed_with_their_reason(folder: Path, tmp_path: Path) -> None:
    (folder / "anna" / "broken.wav").write_bytes(b"RIFFnothing")
    (folder / "anna" / "broken2.wav").write_bytes(b"RIFFnothing")
    (folder / "anna" / "empty.flac").write_bytes(b"")
    soundfile.write(folder / "bert" / "silent.wav", np.zeros(RATE, np.float32), RATE)
    files, listed = measured(folder, tmp_path / "out", workers=2)
    assert (listed.clips, listed.problems, listed.measured) == (24, 4, 20)
    count, found = problems(files, 100)
    assert count == 4 and {one["id"] for one in found} == {"anna/broken", "anna/broken2", "anna/empty", "bert/silent"}
    silent = next(one["problem"] for one in found if one["id"] == "bert/silent")
    assert silent.startswith("is silent")
    assert problems(files, 1)[0] == 4 and len(problems(files, 1)[1]) == 1
    rows = {row["id"]: row for row in table(files)}
    assert rows["bert/silent"]["energy_mean_db"] is None


def test_a_metric_can_be_of_a_sample_of_each_speakers_clips(folder: Path, tmp_path: Path) -> None:
    files, _ = measured(folder, tmp_path / "out", sampled={"wada_snr": 3})
    rows = table(files)
    for speaker in ("anna", "bert"):
        has = [row["wada_snr_db"] is not None for row in rows if row["speaker"] == speaker]
        assert has == [True, True, True, False, True, False, True, False, False, False]
    assert all(row["energy_mean_db"] is not None for row in rows)
