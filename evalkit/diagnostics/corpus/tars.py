"""WebDataset: tars in which the members of a clip share a name up to its first dot."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.diagnostics.corpus.clip import Clip, Member
from evalkit.diagnostics.corpus.fields import ALIASES, words_of
from evalkit.errors import EvalkitError
from evalkit.files import AUDIO_SUFFIXES

LARGEST_TEXT = 2**20  # bytes of a .txt or .json


@dataclass
class _Sample:
    audio: tarfile.TarInfo | None = None
    text: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)


def clips_of_tars(tars: Sequence[Path]) -> Iterator[Clip]:
    """Text in `.txt` or in the `.json`, which may name the speaker too. Raises EvalkitError on a compressed tar.

    Of several tars the ids begin with the tar's name, as keys often begin anew in each.
    """
    common = Path(os.path.commonpath([path.parent for path in tars]))
    for path in tars:
        shard = f"{path.relative_to(common).with_suffix('').as_posix()}/" if len(tars) > 1 else ""
        try:
            with tarfile.open(path, "r:") as tar:
                yield from _clips(tar, path, shard)
        except (tarfile.TarError, OSError) as error:
            raise EvalkitError(f"{path} cannot be read as a plain tar ({error}): unpack or decompress it.") from error


def _clips(tar: tarfile.TarFile, path: Path, shard: str) -> Iterator[Clip]:
    key, sample = "", _Sample()
    for member in tar:
        tar.members = []  # type: ignore[attr-defined]  # it keeps every header it read, and a shard may have millions
        if not member.isfile():
            continue
        folder, _, name = member.name.removeprefix("./").rpartition("/")
        base, _, suffix = name.partition(".")
        if (here := f"{folder}/{base}" if folder else base) != key:
            yield from _finished(shard, key, sample, path)
            key, sample = here, _Sample()
        _add(sample, member, f".{suffix.lower()}", tar)
    yield from _finished(shard, key, sample, path)


def _add(sample: _Sample, member: tarfile.TarInfo, suffix: str, tar: tarfile.TarFile) -> None:
    if any(suffix.endswith(one) for one in AUDIO_SUFFIXES):
        sample.audio = member
    elif suffix in (".txt", ".json") and member.size <= LARGEST_TEXT:
        file = tar.extractfile(member)
        data = file.read().decode("utf-8-sig", errors="replace") if file else ""
        if suffix == ".txt":
            sample.text = data.strip() or None
            return
        try:
            about = json.loads(data)
        except ValueError:
            return
        sample.about = about if isinstance(about, dict) else {}


def _finished(shard: str, key: str, sample: _Sample, path: Path) -> Iterator[Clip]:
    if sample.audio is None:
        return
    text = sample.text or _first(sample.about, "text")
    speaker = _first(sample.about, "speaker") or path.parent.resolve().name
    audio = Member(path, sample.audio.name, sample.audio.offset_data, sample.audio.size)
    yield Clip(f"{shard}{key}", speaker, text, audio)


def _first(about: Mapping[str, Any], what: str) -> str | None:
    return next((found for name in ALIASES[what] if (found := words_of(about, name))), None)
