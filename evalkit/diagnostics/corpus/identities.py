"""Ids that name one clip each: what is found of a clip is joined to it by its id."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from evalkit.diagnostics.corpus.clip import Clip
from evalkit.diagnostics.corpus.texts import writable


def identified(clips: Iterable[Clip]) -> Iterator[Clip]:
    """The clips with ids that differ: later ones of an equal id get `#2`, `#3`. What UTF-8 cannot hold is written out.

    The same clips in the same order get the same ids. Memory: a hash of 8 bytes per clip.
    """
    seen: set[int] = set()
    repeats: dict[int, int] = {}  # only of ids that were met again: the number that the last of them got
    for clip in clips:
        said = writable(clip.id)
        name, number = said, 1
        while (mark := _hash(name)) in seen:
            number = repeats[_hash(said)] = max(number, repeats.get(_hash(said), 1)) + 1
            name = f"{said}#{number}"
        seen.add(mark)
        text = writable(clip.text) if clip.text is not None else None
        yield replace(clip, id=name, speaker=writable(clip.speaker), text=text)


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
