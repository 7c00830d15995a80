"""Clips of a wrong speaker: found by real voices, and by made embeddings where the truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diagnose_tables import READINGS, read, write_table

from evalkit.diagnostics.training.embeddings import Embedder
from evalkit.diagnostics.training.outliers import MIN_CLIPS, Voice, outliers

DIMENSION = 32


def found(
    tmp_path: Path, vectors: np.ndarray, speakers: list[str], copies: dict[int, int] | None = None
) -> list[Voice]:
    vectors = np.asarray(vectors, dtype=np.float32)
    (tmp_path / "embeddings.f32").write_bytes(vectors.tobytes())
    rows = [
        {
            "id": str(number),
            "speaker": speaker,
            "embedding": (copies or {}).get(number, number),
            "copy_of": str(copies[number]) if copies and number in copies else None,
        }
        for number, speaker in enumerate(speakers)
    ]
    table = write_table(tmp_path / "clips.parquet", rows)
    return list(outliers(tmp_path / "embeddings.f32", table, vectors.shape[1]))


def voices(speakers: int, clips: int, spread: float = 0.06, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    centres = np.abs(rng.standard_normal((speakers, DIMENSION)))
    vectors = np.repeat(centres, clips, axis=0) + spread * rng.standard_normal((speakers * clips, DIMENSION))
    names = [f"speaker {number}" for number in range(speakers) for _ in range(clips)]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), names


def cosine(vector: np.ndarray, others: np.ndarray) -> float:
    total = others.sum(axis=0)
    return float(vector @ total / np.linalg.norm(total))


def wrong(answers: list[Voice]) -> list[int]:
    return [number for number, voice in enumerate(answers) if voice.wrong]


def test_real_voices_that_were_swapped_are_found_and_no_others(tmp_path: Path) -> None:
    paths = sorted(READINGS.glob("*-slt.flac"))[:20] + sorted(READINGS.glob("*-rms.flac"))[:20]
    vectors = Embedder("cpu", "bundled").embed([torch.from_numpy(read(path)) for path in paths])
    speakers = ["slt"] * 20 + ["rms"] * 20
    assert wrong(found(tmp_path, np.stack(vectors), speakers)) == []
    speakers[3], speakers[30] = "rms", "slt"
    answers = found(tmp_path, np.stack(vectors), speakers)
    assert wrong(answers) == [3, 30]
    assert answers[3].nearest == "slt"
    alone = [*range(20), 25, 26]
    assert wrong(found(tmp_path, np.stack([vectors[i] for i in alone]), ["slt"] * 22)) == [20, 21]


def test_the_cosine_is_to_the_mean_of_the_others(tmp_path: Path) -> None:
    vectors, names = voices(2, 6)
    answers = found(tmp_path, vectors, names)
    assert np.isclose(answers[0].cosine, cosine(vectors[0], vectors[1:6]), atol=1e-5)
    assert np.isclose(answers[0].nearest_cosine, cosine(vectors[0], vectors[6:]), atol=1e-5)
    assert answers[0].nearest == "speaker 1"


def test_several_wrong_clips_do_not_hide_each_other(tmp_path: Path) -> None:
    vectors, names = voices(4, 40)
    swapped = [0, 1, 2, 3, 4, 5, 50, 51, 90, 130]
    for number in swapped:
        names[number] = f"speaker {(number // 40 + 1) % 4}"
    assert wrong(found(tmp_path, vectors, names)) == swapped


def test_who_has_few_clips_cannot_be_told(tmp_path: Path) -> None:
    vectors, names = voices(3, 10)
    names = [*names[: MIN_CLIPS - 1], *["rest"] * (len(names) - MIN_CLIPS + 1)]
    answers = found(tmp_path, vectors, names)
    assert all(voice.wrong is None and voice.cosine is not None for voice in answers[: MIN_CLIPS - 1])
    lonely = found(tmp_path, vectors[:3], ["a", "b", "b"])
    assert lonely[0].cosine is None and lonely[0].wrong is None and lonely[0].nearest == "b"


def test_a_copy_of_a_strangers_clip_does_not_vouch_for_itself(tmp_path: Path) -> None:
    """The same file under two speakers: the second place is wrong, though it is its own neighbour."""
    vectors, names = voices(2, 10, spread=0.15)
    answers = found(tmp_path, vectors, [*names, "speaker 1", "speaker 1"], copies={20: 0, 21: 0})
    assert wrong(answers) == [20, 21]
    assert answers[20].nearest == "speaker 0"
    assert np.isclose(answers[20].cosine, cosine(vectors[0], vectors[10:]), atol=1e-5)
    assert np.isclose(answers[1].cosine, cosine(vectors[1], vectors[[0, *range(2, 10)]]), rtol=0, atol=1e-6)


def test_clips_without_embedding_keep_their_places(tmp_path: Path) -> None:
    vectors, names = voices(2, 6)
    (tmp_path / "e").write_bytes(vectors.astype(np.float32).tobytes())
    rows = [{"id": "silent", "speaker": "speaker 0"}]
    rows += [{"id": str(n), "speaker": name, "embedding": n} for n, name in enumerate(names)]
    table = write_table(tmp_path / "clips.parquet", rows)
    answers = list(outliers(tmp_path / "e", table, DIMENSION))
    assert [voice.id for voice in answers] == [row["id"] for row in rows]
    assert answers[0] == Voice("silent") and answers[1].cosine is not None
    nobody = list(outliers(tmp_path / "none.f32", table, DIMENSION))
    assert len(nobody) == len(rows) and all(voice.cosine is None for voice in nobody)
