"""Reference clips of a speaker: read, check, and combine their embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn.functional import normalize

from metrics.base import ClipBatch, ClipInfo
from metrics.clips import unusable
from metrics.packages import sha256
from metrics.recordings import read_reference, unreadable
from metrics.speaker_speech import SAMPLE_RATE, too_little

Preparation = Callable[[Tensor], Tensor]  # from a clip to what the judge's encoder hears of it


@dataclass(frozen=True)
class Reference:
    """A speaker as a judge hears them.

    centroid: mean of the clips' embeddings, of length 1, float32 [dimensions]. clips: how many different ones.
    agreement: cosine of each clip with the centroid of the others, empty for a single clip: how like themselves the
    speaker sounds to this judge, which is what the cosine of a good copy can reach.
    """

    centroid: Tensor
    clips: int
    agreement: tuple[float, ...]

    def details(self) -> dict[str, Any]:
        """For `Scores.details`: the number of clips, and the mean and range of their agreement."""
        if not self.agreement:
            return {"reference_clips": self.clips}
        return {
            "reference_clips": self.clips,
            "reference_ceiling": sum(self.agreement) / self.clips,
            "reference_range": [min(self.agreement), max(self.agreement)],
        }


def combine(embeddings: Tensor) -> Reference:
    """The reference made of the embeddings of its clips, float32 [clips, dimensions], each of length 1."""
    clips = len(embeddings)
    others = normalize(embeddings.sum(dim=0) - embeddings, dim=1)
    agreement = (embeddings * others).sum(dim=1).tolist() if clips > 1 else []
    return Reference(normalize(embeddings.mean(dim=0), dim=0), clips, tuple(agreement))


def check_reference(paths: Sequence[Path], prepare: Preparation) -> None:
    """Raise ValueError, naming the file, if a clip cannot be read, is silent, or has less than 0.5 s of speech."""
    if not paths:
        raise ValueError("There is no reference clip: give at least one recording of the speaker.")
    for path in paths:
        reference_speech(path, prepare)


def reference_speech(path: Path, prepare: Preparation) -> Tensor:
    """Prepared speech of one file, float32 [samples at 16 kHz]. Raises ValueError as `check_reference` does."""
    clip = read_reference(path, SAMPLE_RATE)
    for reason in unusable(ClipBatch.of([clip], SAMPLE_RATE, [ClipInfo(str(path))])).values():
        raise ValueError(f"The reference clip {path} cannot be used, because {reason}: give a recording with speech.")
    speech = prepare(clip)
    if shortage := too_little(speech):
        raise ValueError(f"The reference clip {path} {shortage}: give a longer recording.")
    return speech


def content_digest(path: Path) -> str:
    """sha256 of a reference file. Raises ValueError, naming it, if it cannot be read."""
    try:
        return sha256(path)
    except OSError as error:
        raise unreadable(path, error) from error
