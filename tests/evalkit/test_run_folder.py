"""Which folder a run goes on in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evalkit.errors import EvalkitError
from evalkit.runs.folder import find_or_name

HASH = "dc0e5d35"
NAMED = f"2026-01-02-merged-smoke-{HASH}"


def started(out: Path, name: str, named: str | None = None) -> Path:
    (out / name).mkdir(parents=True)
    (out / name / "manifest.json").write_text(json.dumps({"id": named or name}))
    return out / name


def test_the_last_start_is_gone_on_with(tmp_path: Path) -> None:
    started(tmp_path, f"2026-01-01-merged-smoke-{HASH}")
    last = started(tmp_path, NAMED)
    started(tmp_path, "2026-01-03-merged-smoke-00000000")
    assert find_or_name(tmp_path, "merged", "smoke", HASH).path == last


def test_a_folder_without_a_manifest_was_started_too(tmp_path: Path) -> None:
    (tmp_path / NAMED).mkdir()
    assert find_or_name(tmp_path, "merged", "smoke", HASH).path == tmp_path / NAMED


@pytest.mark.parametrize("name", [f"old-{NAMED}", f"2020-01-02-merged-smoke-{HASH}", f"2026-01-02-broken-{HASH}"])
def test_a_renamed_folder_is_put_aside(tmp_path: Path, name: str) -> None:
    started(tmp_path, name, NAMED)
    today = datetime.now(UTC).date().isoformat()
    assert find_or_name(tmp_path, "merged", "smoke", HASH).path.name == f"{today}-merged-smoke-{HASH}"


def test_a_name_that_another_run_was_given_is_not_written_to(tmp_path: Path) -> None:
    today = datetime.now(UTC).date().isoformat()
    started(tmp_path, f"{today}-merged-smoke-{HASH}", NAMED)
    with pytest.raises(EvalkitError, match="holds another run, which was given this name: rename it or move it out"):
        find_or_name(tmp_path, "merged", "smoke", HASH)


def test_a_damaged_manifest_says_what_to_do(tmp_path: Path) -> None:
    (started(tmp_path, NAMED) / "manifest.json").write_text("{")
    with pytest.raises(EvalkitError, match="rename its run folder or move it out"):
        find_or_name(tmp_path, "merged", "smoke", HASH)
