"""Whose audio is kept, and the removal of the rest. Scores, reports and manifests are never removed."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.files import disk_errors, write_atomically, write_json
from evalkit.nightly.entries import DONE
from evalkit.nightly.judging import BLOCKED
from evalkit.nightly.schema import KeepEntry
from evalkit.runs.folder import RunFolder

PRUNED = "pruned.json"
_MARK = "<!-- audio pruned -->"

NightRun = Mapping[str, Any]  # night, began, key, state, run, verdict


@dataclass(frozen=True)
class Prunable:
    """A run whose audio may go: its files, and their size in bytes."""

    run: str
    files: tuple[Path, ...]
    size: int


def prunable(runs: Path, history: Sequence[NightRun], keep: KeepEntry, baselines: Collection[str]) -> list[Prunable]:
    """Runs of earlier nights whose audio nothing asks to keep.

    history: every job of every night, oldest first. baselines: names of the runs that are accepted ones. Only runs that
    a night made are looked at; whatever else lies in the folder belongs to somebody.
    """
    if keep.audio_nights == 0:
        return []
    done = [one for one in history if one["state"] == DONE]
    kept = _recent(history, done, keep.audio_nights) | {one["run"] for one in _last_of_each(done)}
    if keep.baselines:
        kept |= set(baselines)
    if keep.blocked:
        kept |= _newly_blocked(done)
    names = dict.fromkeys(one["run"] for one in done if one["run"] not in kept)
    found = [_audio_of(runs, name) for name in names]
    return [one for one in found if one is not None]


def prune(runs: Path, found: Iterable[Prunable], night: str) -> None:
    """Remove the audio, after the run's report says so: a kill in between leaves files that go the next time."""
    for one in found:
        folder = RunFolder(runs / one.run)
        write_json(
            folder.path / PRUNED,
            {"night": night, "when": datetime.now(UTC).isoformat(timespec="seconds"), "files": len(one.files)},
        )
        mark_again(folder)
        with disk_errors(folder.audio_path):
            for path in one.files:
                path.unlink(missing_ok=True)


def mark_again(folder: RunFolder) -> None:
    """Let the report of a run whose audio was removed say that, also after it was written anew."""
    if not (folder.path / PRUNED).is_file() or not folder.report_path.is_file():
        return
    try:
        page = folder.report_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EvalkitError(f"{folder.report_path} cannot be read ({error}).") from error
    if _MARK in page or "</header>" not in page:
        return
    notice = (
        f'{_MARK}<style>a.play{{display:none}}</style><section class="box warn"><h2>The audio was pruned</h2>'
        "<p>The audio files of this run are no longer kept. What this page embeds, the worst utterances, can still be "
        "played; every score is still here.</p></section></header>"
    )
    write_atomically(folder.report_path, page.replace("</header>", notice, 1))


def accepted_runs(runs: Path) -> set[str]:
    """Names of the runs that are the accepted baseline of any label and suite."""
    from evalkit.runs.baselines import entries

    current = {(entry.label, entry.suite): entry.run for entry in entries(runs)}
    return set(current.values())


def _recent(history: Sequence[NightRun], done: Sequence[NightRun], nights: int) -> set[str]:
    """Runs of the last so many nights; a night on which everything failed is one."""
    began = {one["night"]: one["began"] for one in history}
    last = set(sorted(began, key=lambda night: (began[night], night))[-nights:])
    return {one["run"] for one in done if one["night"] in last}


def _last_of_each(done: Sequence[NightRun]) -> Iterable[NightRun]:
    return {one["key"]: one for one in done}.values()


def _newly_blocked(done: Sequence[NightRun]) -> set[str]:
    """Runs with which a gate began to block: what a failure sounded like when it came."""
    found: set[str] = set()
    before: dict[str, Any] = {}
    for one in done:
        if one["verdict"] == BLOCKED and before.get(one["key"]) != BLOCKED:
            found.add(one["run"])
        before[one["key"]] = one["verdict"]
    return found


def _audio_of(runs: Path, name: str) -> Prunable | None:
    """The audio files of a run, None where there are none; nothing that a link leads to."""
    folder = runs / name
    audio = folder / "audio"
    inside = Path(name).name == name and not any(path.is_symlink() for path in (folder, audio))
    if not inside or not audio.is_dir() or audio.resolve().parent.parent != runs.resolve():
        return None
    with os.scandir(audio) as listing:
        entries = [one for one in listing if one.name.endswith(".flac") and one.is_file(follow_symlinks=False)]
    if not entries:
        return None
    paths = tuple(sorted(Path(one.path) for one in entries))
    return Prunable(name, paths, sum(one.stat(follow_symlinks=False).st_size for one in entries))
