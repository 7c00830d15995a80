"""The append-only log: whole batches survive a kill, parts do not, damage is not hidden."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit.errors import EvalkitError
from evalkit.runs.log import UtteranceLog


def rows(*names: str) -> list[dict[str, object]]:
    return [{"utterance": name, "value": 0.1 + 0.2, "text": "ß ≠ s\n"} for name in names]


def filled(path: Path) -> bytes:
    log = UtteranceLog(path)
    log.append(rows("a", "b", "c"))
    log.append(rows("d", "e"))
    return path.read_bytes()


def test_reads_back_what_was_appended(tmp_path: Path) -> None:
    filled(tmp_path / "log.jsonl")
    assert UtteranceLog(tmp_path / "log.jsonl").rows == rows("a", "b", "c", "d", "e")


def test_cut_at_every_byte_keeps_exactly_the_whole_batches(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    content = filled(path)
    lines = content.splitlines(keepends=True)
    first_batch = sum(len(line) for line in lines[:3])
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        kept = [row["utterance"] for row in UtteranceLog(path).rows]
        expected = (
            ["a", "b", "c", "d", "e"] if length == len(content) else ["a", "b", "c"] if length >= first_batch else []
        )
        assert kept == expected, f"cut at byte {length}"
        assert path.read_bytes() == b"".join(lines[: len(kept)])


def test_goes_on_after_a_cut_as_if_nothing_had_happened(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    content = filled(path)
    path.write_bytes(content[:-5])
    UtteranceLog(path).append(rows("d", "e"))
    assert path.read_bytes() == content


def test_damage_in_the_middle_is_an_error_not_a_shorter_run(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    lines = filled(path).splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"garbage\n", *lines[2:]]))
    with pytest.raises(EvalkitError, match="damaged at line 1"):
        UtteranceLog(path)


def test_nan_never_reaches_the_disk(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        UtteranceLog(tmp_path / "log.jsonl").append([{"utterance": "a", "value": float("nan")}])
    assert not (tmp_path / "log.jsonl").exists()


def test_each_line_is_json_with_its_place_in_the_batch(tmp_path: Path) -> None:
    filled(tmp_path / "log.jsonl")
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["batch"] for line in lines] == [[0, 3]] * 3 + [[1, 2]] * 2
