"""Tell what a training set is, and stream its clips."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from evalkit.diagnostics.corpus import kaldi, lhotse, tables, tars
from evalkit.diagnostics.corpus.clip import Clip
from evalkit.diagnostics.corpus.folders import clips_of_folder
from evalkit.diagnostics.corpus.identities import identified
from evalkit.diagnostics.corpus.manifests import clips_of_csv, clips_of_jsonl, clips_of_ljspeech, is_ljspeech
from evalkit.diagnostics.corpus.walking import walk
from evalkit.errors import EvalkitError
from evalkit.files import AUDIO_SUFFIXES

_HAS_FIELDS = ("CSV manifest", "JSONL manifest", "Hugging Face dataset")
READS = (
    "a folder of audio, LJSpeech's metadata.csv, a CSV, TSV or JSONL manifest, Kaldi's wav.scp, Lhotse manifests, "
    "a Hugging Face dataset (parquet, arrow) or WebDataset tars"
)


@dataclass(frozen=True)
class Corpus:
    """format: for people. clips: starts a new pass over the clips, in an order that does not change.

    rows: how many there are, where that is known without a pass.
    """

    path: Path
    format: str
    clips: Callable[[], Iterator[Clip]]
    rows: Callable[[], int] | None = None

    def count(self) -> int:
        """How many clips there are. Of tars and manifests this reads what names the clips, and no audio."""
        return self.rows() if self.rows is not None else sum(1 for _ in self.clips())


def open_corpus(path: Path, fields: Mapping[str, str] | None = None) -> Corpus:
    """fields: field -> name in the manifest or table, where the usual names do not fit (see `fields.ALIASES`).

    Raises EvalkitError when nothing that evalkit reads is there; faults in single lines are raised by the pass.
    """
    given = fields or {}
    if not os.path.exists(path):
        raise EvalkitError(f"There is no training set at {path}: give {READS}.")
    corpus = _folder(path, given) if path.is_dir() else _file(path, given)
    if given and corpus.format not in _HAS_FIELDS:
        raise EvalkitError(
            f"--field {'='.join(next(iter(given.items())))}: {path} ({corpus.format}) has no fields to name; "
            "--field is for manifests and tables."
        )
    return replace(corpus, clips=lambda: identified(corpus.clips()))


def _folder(path: Path, given: Mapping[str, str]) -> Corpus:
    for name in ("wav.scp", "metadata.csv", "metadata.jsonl", "metadata.parquet"):
        if os.path.isfile(path / name):
            return replace(_file(path / name, given), path=path)
    parts = lhotse.parts_of(path)
    if parts.keys() & {lhotse.CUTS, lhotse.RECORDINGS}:
        return Corpus(path, "Lhotse", lambda: lhotse.clips_of_parts(parts))
    if saved := tables.saved_in(path):
        return _tables(path, saved, given)
    return _found(path, given)


def _found(path: Path, given: Mapping[str, str]) -> Corpus:
    """A folder that no manifest describes, by the kind of files below it."""
    audio: Path | None = None
    shards: dict[str, list[Path]] = {".parquet": [], ".tar": []}
    for place, names in walk(path):
        for name in names or ():
            suffix = PurePath(name).suffix.lower()
            if suffix in shards:
                shards[suffix].append(place / name)
            elif suffix in AUDIO_SUFFIXES and audio is None:
                audio = place / name
    packed = sorted(shards[".parquet"] or shards[".tar"])
    if packed and audio is not None:
        raise EvalkitError(
            f"{path} holds {packed[0].relative_to(path)} and {audio.relative_to(path)}, and which of the two kinds is "
            "the training set is not told: name the one file, or a folder without the other kind."
        )
    if shards[".parquet"]:
        return _tables(path, packed, given)
    if packed:
        return Corpus(path, "WebDataset", lambda: tars.clips_of_tars(packed))
    return Corpus(path, "folder of audio", lambda: clips_of_folder(path))


def _file(path: Path, given: Mapping[str, str]) -> Corpus:
    suffixes = "".join(path.suffixes[-2:]).lower().removesuffix(".gz")
    suffix = f".{suffixes.rpartition('.')[2]}"
    if suffix == ".jsonl" and lhotse.is_lhotse(path):
        return Corpus(path, "Lhotse", lambda: lhotse.clips_of_cuts([path]))
    if suffix == ".csv" and not given and is_ljspeech(path):
        return Corpus(path, "LJSpeech", lambda: clips_of_ljspeech(path))
    if suffix in (".parquet", ".arrow"):
        return _tables(path, [path], given)
    readers: dict[str, tuple[str, Callable[[], Iterator[Clip]]]] = {
        ".jsonl": ("JSONL manifest", lambda: clips_of_jsonl(path, given)),
        ".csv": ("CSV manifest", lambda: clips_of_csv(path, given)),
        ".tsv": ("CSV manifest", lambda: clips_of_csv(path, given)),
        ".scp": ("Kaldi", lambda: kaldi.clips_of_kaldi(path)),
        ".tar": ("WebDataset", lambda: tars.clips_of_tars([path])),
    }
    if suffix not in readers:
        raise EvalkitError(f"{path} is no training set that evalkit reads: give {READS}.")
    return Corpus(path, *readers[suffix])


def _tables(path: Path, shards: Sequence[Path], given: Mapping[str, str]) -> Corpus:
    return Corpus(
        path,
        "Hugging Face dataset",
        lambda: tables.clips_of_tables(shards, given),
        lambda: tables.count_rows(shards),
    )
