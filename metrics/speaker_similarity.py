"""What every judge of speaker similarity shares: references, centroids, and the columns made of embeddings."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from metrics.base import ClipBatch, Column, MetricSpec, Scores
from metrics.clips import require_rate, unusable
from metrics.speaker_reference import Reference, check_reference, combine, content_digest, reference_speech
from metrics.speaker_speech import too_little

COLUMNS = (
    Column("speaker_similarity", "", "higher", (0.0, 1.0), "(cosine + 1) / 2 with the reference speaker"),
    Column("speaker_cosine", "", "higher", (-1.0, 1.0), "cosine with the reference speaker's embedding"),
)


class SpeakerSimilarity(ABC):
    """Cosine between the embeddings of a clip and of the reference speaker, by the encoder of a subclass.

    The reference is the centroid of all files in `ClipInfo.reference` (equal files count once). A clip with less than
    0.5 s of what the encoder hears is refused. Details: `reference_clips`, and where there are several, to hold
    `speaker_cosine` against: `reference_ceiling` and `reference_range`, the mean and the [least, greatest] of each
    reference clip's cosine with the centroid of the others.
    """

    spec: MetricSpec

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._reference_embeddings: dict[str, Tensor] = {}  # by sha256 of the file's content

    @staticmethod
    @abstractmethod
    def _prepare(clip: Tensor) -> Tensor:
        """What the encoder hears of a clip that is not silent; both float32 [samples at 16 kHz]."""

    @abstractmethod
    def _embed(self, speech: Sequence[Tensor]) -> Tensor:
        """Embeddings of length 1, float32 [clips, dimensions] on the CPU, of prepared clips of at least 0.5 s."""

    def score(self, batch: ClipBatch) -> Scores:
        """Similarity per clip. Raises ValueError, naming the file, on a reference clip that cannot be used."""
        require_rate(batch, self.spec)
        scores = Scores(self.spec, len(batch))
        references = self._references(batch)
        speech, reasons = self._speech(batch)
        for index, embedding in zip(speech, self._embed(list(speech.values())), strict=True):
            reference = references[batch.info[index].reference]
            cosine = float((embedding @ reference.centroid).clamp(-1, 1))
            if not math.isfinite(cosine):
                reasons[index] = "the encoder's embedding of the clip or of a reference is not finite"
                continue
            scores["speaker_cosine"][index] = cosine
            scores["speaker_similarity"][index] = (cosine + 1) / 2
            scores.details[index] = reference.details()
        for index, reason in reasons.items():
            scores.refuse(index, reason)
        return scores

    @classmethod
    def check_reference(cls, paths: Sequence[Path]) -> None:
        """Raise ValueError, naming the file, on a clip that no similarity can be measured against."""
        check_reference(paths, cls._prepare)

    def _speech(self, batch: ClipBatch) -> tuple[dict[int, Tensor], dict[int, str]]:
        """What to embed of every clip with enough speech and a reference, and why not the others, by index."""
        speech: dict[int, Tensor] = {}
        reasons = unusable(batch)
        for index, info in enumerate(batch.info):
            if not info.reference:
                reasons[index] = "no reference clip of the speaker was given"
            elif index not in reasons:
                prepared = self._prepare(batch.clip(index))
                if shortage := too_little(prepared):
                    reasons[index] = f"the clip {shortage}"
                else:
                    speech[index] = prepared
        return speech, reasons

    def _references(self, batch: ClipBatch) -> dict[tuple[Path, ...], Reference]:
        wanted = list(dict.fromkeys(info.reference for info in batch.info if info.reference))
        digests = {path: content_digest(path) for paths in wanted for path in paths}
        new = {digest: path for path, digest in digests.items() if digest not in self._reference_embeddings}
        embeddings = self._embed([reference_speech(path, self._prepare) for path in new.values()])
        self._reference_embeddings.update(zip(new, embeddings, strict=True))
        contents = {paths: dict.fromkeys(digests[path] for path in paths) for paths in wanted}
        stored = self._reference_embeddings
        return {paths: combine(torch.stack([stored[digest] for digest in own])) for paths, own in contents.items()}
