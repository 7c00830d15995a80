"""The log of a diagnosis: whole batches or nothing, whatever a kill left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.diagnostics.training.log import MeasuredLog
from evalkit.errors import EvalkitError


def line(key: str, embedding: int | None = None) -> dict[str, object]:
    return {"key": key, "seconds": 1.0, "embedding": embedding}


def test_what_was_appended_is_known_again(tmp_path: Path) -> None:
    log = MeasuredLog(tmp_path / "measured.jsonl")
    log.append([line("a", 0), line("b")])
    log.append([line("c", 1)])
    again = MeasuredLog(log.path)
    assert again.keys == log.keys == {"a", "b", "c"}
    assert again.embeddings == log.embeddings == 2


def test_a_log_cut_anywhere_holds_whole_batches_and_goes_on(tmp_path: Path) -> None:
    log = MeasuredLog(tmp_path / "measured.jsonl")
    log.append([line("a"), line("b", 0)])
    first = len(log.path.read_bytes())
    log.append([line("c", 1), line("d", 2)])
    whole = log.path.read_bytes()
    for size in range(len(whole) + 1):
        log.path.write_bytes(whole[:size])
        cut = MeasuredLog(log.path)
        expected = {"a", "b", "c", "d"} if size == len(whole) else {"a", "b"} if size >= first else set()
        assert cut.keys == expected
        assert cut.embeddings == {4: 3, 2: 1, 0: 0}[len(expected)]
        cut.append([line("e")])
        assert MeasuredLog(log.path).keys == expected | {"e"}


@pytest.mark.parametrize(("vectors", "keys"), [(3, "abcd"), (2, "abc"), (1, "ab"), (0, "")])
def test_a_batch_whose_voices_were_lost_is_dropped_with_those_after_it(tmp_path: Path, vectors: int, keys: str) -> None:
    log = MeasuredLog(tmp_path / "measured.jsonl")
    for lines in ([line("a"), line("b", 0)], [line("c", 1)], [line("d", 2)]):
        log.append(lines)
    cut = MeasuredLog(log.path, vectors)
    assert cut.keys == set(keys) and cut.embeddings == vectors
    cut.append([line("e")])
    assert MeasuredLog(log.path).keys == {*keys, "e"}


def test_damage_in_the_middle_is_not_hidden(tmp_path: Path) -> None:
    log = MeasuredLog(tmp_path / "measured.jsonl")
    for key in "abc":
        log.append([line(key)])
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(lines[0] + lines[2])
    with pytest.raises(EvalkitError, match="is damaged"):
        MeasuredLog(log.path)
