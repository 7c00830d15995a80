"""Clips of the speaker that a checkpoint should sound like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.files import audio_files, sha256_file
from evalkit.pipeline.audio import read_audio, unusable
from evalkit.pipeline.card import read_card
from evalkit.pipeline.judges import Choice
from evalkit.pipeline.plan import Utterance
from evalkit.pipeline.scoring import Scorer
from metrics import ClipInfo, Column


def find_references(given: Path | None, checkpoint: Path | None) -> tuple[Path, ...]:
    """The clips named by --reference (a file or a folder), else by the card `<checkpoint>.toml` beside the weights.

    Raises EvalkitError when what is named is not there or holds no audio.
    """
    if given is not None:
        return _clips(given, "--reference")
    card = read_card(checkpoint)
    return _clips(card.reference, str(card.path)) if card.reference else ()


def with_references(
    planned: Sequence[Utterance], references: tuple[Path, ...]
) -> tuple[list[Utterance], list[Utterance]]:
    """Every utterance with its own reference clips, else with those of all; and those that were among their own.

    These are not compared with themselves, which would make them like the speaker whatever they sound like. Content
    counts, not the path.
    """
    given = [replace(one, references=one.references or references) for one in planned]
    contents = {path: sha256_file(path) for path in sorted({path for one in given for path in one.references})}
    found = [_without_itself(one, contents) for one in given]
    return found, [one for one, before in zip(found, given, strict=True) if one.references != before.references]


def _without_itself(utterance: Utterance, contents: Mapping[Path, str]) -> Utterance:
    source = utterance.source
    if not utterance.references or source is None or not source.is_file():
        return utterance
    own = sha256_file(source)
    others = tuple(path for path in utterance.references if contents[path] != own)
    return replace(utterance, references=others, no_reference=None if others else "the clip is its own reference")


def check_references(paths: Sequence[Path], choices: Sequence[Choice]) -> None:
    """Refuse clips that no similarity can be measured against, before any time is spent on synthesis."""
    for path in paths:
        problem = unusable(*read_audio(path))
        if problem:
            raise EvalkitError(f"The reference clip {path} cannot be used: {problem[1]} Give a clip of clear speech.")
    for choice in choices:
        check = getattr(choice.metric, "check_reference", None)
        if check is not None and paths:
            try:
                check(list(paths))
            except ValueError as error:
                raise EvalkitError(str(error)) from error


def describe(paths: Sequence[Path]) -> dict[str, Any] | None:
    """The reference as the manifest records it: by content, names for people."""
    if not paths:
        return None
    return {"files": [{"name": f"{path.parent.name}/{path.name}", "sha256": sha256_file(path)} for path in paths]}


def reference_levels(paths: Sequence[Path], scorer: Scorer, columns: Mapping[str, Column]) -> dict[str, Any]:
    """Mean, smallest and largest value of each column over the reference clips: what the speaker's own speech reaches.

    Similarity is measured of each clip against the others.
    """
    values: dict[str, list[float]] = {name: [] for name in columns}
    for path in paths:
        audio, rate = read_audio(path)
        others = tuple(other for other in paths if other != path)
        scored = scorer.score([audio], rate, [ClipInfo(id=path.stem, reference=others)])[0]
        for name, value in scored.values.items():
            if value is not None:
                values[name].append(value)
    measured = {name: found for name, found in values.items() if found}
    return {
        "clips": len(paths),
        "mean": {name: sum(found) / len(found) for name, found in measured.items()},
        "range": {name: [min(found), max(found)] for name, found in measured.items()},
    }


def _clips(path: Path, named_by: str) -> tuple[Path, ...]:
    if path.is_file():
        return (path,)
    if not path.is_dir():
        raise EvalkitError(
            f"The reference {path} (from {named_by}) does not exist: give an audio file or a folder of them."
        )
    found = tuple(audio_files(path))
    if not found:
        raise EvalkitError(f"The reference folder {path} (from {named_by}) holds no audio files.")
    return found
