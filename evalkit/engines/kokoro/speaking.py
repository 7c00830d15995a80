"""Sentences to audio in groups of about the same length, so that little of the work is padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from evalkit.engines.kokoro.decoder import decode
from evalkit.engines.kokoro.prosody import Sentence, curves, predict_durations

MAX_PADDING = 0.15  # share of a group's frames
MAX_FRAMES = 16_000  # in a group; about half a megabyte of activations each at Kokoro's sizes


@dataclass(frozen=True)
class Clip:
    """audio: [samples], None where the durations are no numbers or too long together; frames: per symbol."""

    audio: Tensor | None
    frames: Sequence[int]
    finite: bool


def speak(model: Any, sentences: Sequence[Sentence], padded: bool, longest: int) -> list[Clip]:
    """Audio of every sentence, in order. padded: as batches, or else one by one; longest: frames in a sentence."""
    batches = [sentences] if padded else [[sentence] for sentence in sentences]
    timed = [t for batch in batches if batch for t in predict_durations(model, batch)]
    good = [index for index, t in enumerate(timed) if t.finite and t.length <= longest]
    audio: dict[int, Tensor] = {}
    for group in groups([timed[index].length for index in good]) if padded else [[n] for n in range(len(good))]:
        members = [good[place] for place in group]
        chosen = [timed[index] for index in members]
        audio |= zip(members, decode(model, chosen, *curves(model, chosen)), strict=True)
    return [Clip(audio.get(index), t.frames, t.finite) for index, t in enumerate(timed)]


def groups(lengths: Sequence[int]) -> list[list[int]]:
    """Indices by length, in groups in which no more than MAX_PADDING is padding and MAX_FRAMES are not exceeded."""
    found: list[list[int]] = []
    total = 0
    for index in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        if found:
            room = lengths[found[-1][0]] * (len(found[-1]) + 1)
            fits = room <= MAX_FRAMES and total + lengths[index] >= (1 - MAX_PADDING) * room
        if found and fits:
            found[-1].append(index)
            total += lengths[index]
        else:
            found.append([index])
            total = lengths[index]
    return found
