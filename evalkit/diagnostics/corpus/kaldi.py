"""A Kaldi data folder: `wav.scp`, and `segments`, `utt2spk` and `text` where it has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evalkit.diagnostics.corpus.clip import Clip, File
from evalkit.errors import EvalkitError


def clips_of_kaldi(scp: Path) -> Iterator[Clip]:
    """scp: the `wav.scp`. Raises EvalkitError on a line that is a command: evalkit runs nothing that data says."""
    folder = scp.parent
    speakers, texts = _table(folder / "utt2spk"), _table(folder / "text")
    one = folder.resolve().name
    segments = folder / "segments"
    if not segments.is_file():
        for name, path in _recordings(scp):
            yield Clip(name, speakers.get(name, one), texts.get(name), File(path))
        return
    recordings = dict(_recordings(scp))
    for number, line in enumerate(_lines(segments), start=1):
        parts = line.split()
        try:
            name, recording, start, end = parts[0], recordings[parts[1]], float(parts[2]), float(parts[3])
        except (IndexError, KeyError, ValueError) as error:
            raise EvalkitError(
                f"{segments} line {number}: write it as utterance recording start end, with a recording of wav.scp."
            ) from error
        yield Clip(name, speakers.get(name, one), texts.get(name), File(recording, start, end - start))


def _recordings(scp: Path) -> Iterator[tuple[str, Path]]:
    for number, line in enumerate(_lines(scp), start=1):
        name, _, said = line.partition(" ")
        said = said.strip()
        if said.endswith("|"):
            raise EvalkitError(
                f"{scp} line {number} is a command ('{said[:40]}'), and evalkit runs nothing that a data set says: "
                "write the audio to files first (wav-copy), and name them."
            )
        if not said:
            raise EvalkitError(f"{scp} line {number}: write it as name path.")
        yield name, scp.parent / said


def _table(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    pairs = (line.partition(" ") for line in _lines(path))
    return {name: text.strip() for name, _, text in pairs if text.strip()}


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield line.strip().replace("\t", " ")
