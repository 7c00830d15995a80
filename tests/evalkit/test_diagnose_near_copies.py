"""Near copies in a set: found, named by the first, and with work that grows with the set and not with its square."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from diagnose_tables import REFERENCE, coded, read, write_table

from evalkit.diagnostics.training import near_copies as module
from evalkit.diagnostics.training.fingerprints import KEPT, fingerprint
from evalkit.diagnostics.training.near_copies import Prints, first_of_each, near_copies


def made(clips: int, seed: int = 0, pairs_of_peaks: int = 12000) -> Prints:
    """Fingerprints of clips that have nothing to do with each other, as crowded as those of speech."""
    rng = np.random.default_rng(seed)
    seconds = np.clip(rng.gamma(4, 1.6, clips), 1, 25).astype(np.float32)
    pairs = (rng.integers(0, pairs_of_peaks, (clips, KEPT)) * 2654435761 % 2**20).astype(np.uint32)
    hops = (rng.random((clips, KEPT)) * seconds[:, None] / 0.016).astype(np.uint32)
    return Prints(pairs << 12 | hops, np.full(clips, KEPT), seconds)


def copied(prints: Prints, source: int, target: int, moved: int, share: float, seed: int = 1) -> None:
    """Make one clip a copy of another of which a share of the pairs of peaks is left, `moved` hops later."""
    rng = np.random.default_rng(seed)
    kept = rng.random(KEPT) < share
    words = prints.words[source]
    prints.words[target] = np.where(kept, words + np.uint32(moved), rng.integers(0, 2**31, KEPT).astype(np.uint32))
    prints.seconds[target] = prints.seconds[source] + 0.1


def test_copies_are_found_among_many_and_nothing_else() -> None:
    prints = made(3000)
    for number in range(30):
        copied(prints, number, 2900 + number, moved=number % 8, share=0.4, seed=number)
    firsts = first_of_each(prints)
    expected = np.arange(3000)
    expected[2900:2930] = np.arange(30)
    assert (firsts == expected).all()


def test_copies_are_found_across_the_blocks_that_a_large_set_is_cut_into(monkeypatch: pytest.MonkeyPatch) -> None:
    prints = made(600)
    for number in range(100):
        copied(prints, number, 500 + number, moved=2, share=0.5, seed=number)
    monkeypatch.setattr(module, "_BLOCK", 7)
    assert (first_of_each(prints)[500:] == np.arange(100)).all()


def test_copies_are_found_in_crowded_buckets() -> None:
    prints = made(3000, pairs_of_peaks=400)
    prints.seconds[:] = np.random.default_rng(0).uniform(5, 5.5, 3000)
    for number in range(20):
        copied(prints, number, 2900 + number, moved=0, share=0.5, seed=number)
    assert (first_of_each(prints)[2900:2920] == np.arange(20)).all()


def test_a_recording_that_is_there_many_times_has_one_first() -> None:
    prints = made(500)
    for target in range(100, 400):
        copied(prints, 7, target, moved=target % 5, share=0.6, seed=target)
    firsts = first_of_each(prints)
    assert (firsts[100:400] == 7).all()
    assert (firsts[400:] == np.arange(400, 500)).all()


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs of clips were compared, call by call."""
    counts: list[int] = []
    real = module.same_recording

    def counting(prints: Prints, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        counts.append(len(first))
        return real(prints, first, second)

    monkeypatch.setattr(module, "same_recording", counting)
    return counts


def test_the_same_chime_before_every_sentence_makes_no_copies_and_not_the_square_of_the_work(
    compared: list[int],
) -> None:
    prints = made(2000)
    prints.words[:, :4] = prints.words[0, :4]  # too few to be a copy
    assert (first_of_each(prints) == np.arange(2000)).all()
    assert sum(compared) < 2000 * 4 * 2 * 8


def test_clips_that_have_one_pair_of_peaks_in_common_are_not_compared(compared: list[int]) -> None:
    prints = made(3000, pairs_of_peaks=2000)
    first_of_each(prints)
    assert sum(compared) < 600


def test_a_copy_whose_peaks_all_fall_into_the_next_stretch_of_time_is_found() -> None:
    prints = made(300)
    hops = np.arange(KEPT, dtype=np.uint32) * 18 + 17
    prints.words[0] = prints.words[0] >> 12 << 12 | hops
    copied(prints, 0, 299, moved=3, share=0.6)
    assert first_of_each(prints)[299] == 0


def test_the_table_names_the_first_and_leaves_copies_of_content_out(tmp_path: Path) -> None:
    one, other = (read(path) for path in sorted(REFERENCE.glob("*/*-1.flac"))[:2])
    variants = {
        "broken": None,
        "a": one,
        "b": other,
        "a again": one,
        "a in mp3": coded(one, "MP3", "MPEG_LAYER_III"),
        "b quieter": 0.2 * other[800:],
    }
    rows = [
        {
            "id": name,
            "fingerprint": None if samples is None else fingerprint(samples),
            "seconds": None if samples is None else len(samples) / 16000,
            "copy_of": "a" if name == "a again" else None,
            "problem": "cannot be read" if samples is None else None,
        }
        for name, samples in variants.items()
    ]
    table = write_table(tmp_path / "clips.parquet", rows)
    assert list(near_copies(table)) == [("a in mp3", "a"), ("b quieter", "b")]


def test_a_set_without_fingerprints_has_no_copies(tmp_path: Path) -> None:
    assert list(near_copies(write_table(tmp_path / "a.parquet", [{"id": "x", "problem": "no"}]))) == []
    assert list(near_copies(write_table(tmp_path / "b.parquet", []))) == []
