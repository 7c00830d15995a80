"""What a diagnosis writes where the user says replaces neither the training set, nor part of it, nor its own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.diagnostics.training.targets import check_target, check_targets, dropped_beside
from evalkit.errors import EvalkitError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A set with a list of its own, Kaldi's files, and what an earlier diagnosis made."""
    for name in ("set/metadata.csv", "set/text", "set/wavs/a.wav", "set/clean.jsonl", "set/diagnosis.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("precious")
    return tmp_path


@pytest.mark.parametrize("name", ["metadata.csv", "text", "wavs/a.wav", "clean.jsonl", "diagnosis.md", "wavs/../text"])
def test_no_file_in_the_folder_of_a_set_is_replaced(root: Path, name: str) -> None:
    (root / "link").symlink_to(root / "set")
    for folder in ("set", "link"):
        with pytest.raises(EvalkitError, match="inside the training set"):
            check_target(root / folder / name, root / "set")
        with pytest.raises(EvalkitError, match="inside the training set"):
            check_target(root / "set" / name, root / folder)


@pytest.mark.parametrize("name", ["metadata.jsonl", "clean_cuts.jsonl", "wav.scp", "wavs/a.txt", "more.parquet"])
def test_nothing_new_in_the_folder_of_a_set_would_be_read_as_part_of_it(root: Path, name: str) -> None:
    with pytest.raises(EvalkitError, match="the training set"):
        check_target(root / "set" / name, root / "set")


def test_other_names_in_the_folder_of_a_set_and_all_outside_are_free(root: Path) -> None:
    for name in ("set/new.md", "set/made/new.jsonl", "summary", "metadata.csv"):
        check_target(root / name, root / "set")


def test_beside_a_set_that_is_a_file_its_parts_stay_and_what_was_made_of_it_is_made_again(root: Path) -> None:
    source = root / "set" / "metadata.csv"
    for name in ("clean.jsonl", "diagnosis.md", "new.txt", "../anything"):
        check_target(root / "set" / name, source)
    with pytest.raises(EvalkitError, match="the training set itself"):
        check_target(source, source)
    for name in ("text", "wavs/a.wav"):
        with pytest.raises(EvalkitError, match=r"may be part of the training set: .* ends in \.jsonl or \.md"):
            check_target(root / "set" / name, source)


def test_two_files_of_one_name_are_refused_however_they_are_written(root: Path) -> None:
    source, fix = root / "set", root / "x.jsonl"
    (root / "again.jsonl").symlink_to(fix)
    for other in (fix, root / "set" / ".." / "x.jsonl", root / "again.jsonl"):
        with pytest.raises(EvalkitError, match="--fix and --mix-manifest would both be written"):
            check_targets({"--fix": fix, "--mix-manifest": other}, source)
    with pytest.raises(EvalkitError, match="would both be written"):
        check_targets({"dropped": dropped_beside(fix), "--markdown": root / "x.dropped.jsonl"}, source)
    with pytest.raises(EvalkitError, match="keeps for itself"):
        check_targets({"--fix": fix}, source, [fix.resolve()])
    assert not fix.exists()


def test_a_place_where_nothing_can_be_written_is_told_and_a_missing_folder_made(root: Path) -> None:
    check_targets({"--fix": root / "new" / "folder" / "x.jsonl"}, root / "set")
    assert not any((root / "new" / "folder").iterdir())
    (root / "file").write_text("")
    with pytest.raises(EvalkitError, match=r"Cannot write .*x\.md"):
        check_targets({"--markdown": root / "file" / "x.md"}, root / "set")
    with pytest.raises(EvalkitError, match="is a folder"):
        check_targets({"--markdown": root / "new"}, root / "set")
