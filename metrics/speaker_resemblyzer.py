"""Speaker similarity by the encoder inside the `resemblyzer` wheel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from metrics.base import ClipBatch, Column, MetricSpec, Passport, Scores
from metrics.clips import SILENCE_DBFS, require_rate, unusable
from metrics.packages import missing_packages, sha256, versions
from metrics.speaker_ge2e import WEIGHTS_FILE, Ge2eEncoder, embed, weights
from metrics.speaker_reference import Reference, check_reference, combine, content_digest, reference_speech
from metrics.speaker_speech import MIN_SPEECH_S, SAMPLE_RATE, TARGET_DBFS, prepare, too_little


class ResemblyzerSimilarity:
    """Cosine between the embeddings of a clip and of the reference speaker, both by resemblyzer's GE2E encoder.

    The reference is the centroid of all files in `ClipInfo.reference` (equal files count once). The embeddings have no
    negative entry, so the cosine is at least 0 and `speaker_similarity` at least 0.5: read LibriSpeech gives cosines
    of 0.87 for the same speaker and 0.53 for different ones. Details: `reference_clips`, and for several of them
    `reference_ceiling`, to be compared with `speaker_cosine`.
    """

    spec = MetricSpec(
        name="speaker_similarity",
        version="1",
        columns=(
            Column("speaker_similarity", "", "higher", (0.0, 1.0), "(cosine + 1) / 2 with the reference speaker"),
            Column("speaker_cosine", "", "higher", (-1.0, 1.0), "cosine with the reference speaker's embedding"),
        ),
        sample_rate=SAMPLE_RATE,
        needs=frozenset({"reference"}),
        judge="bundled",
        source="Wan et al.: Generalized end-to-end loss for speaker verification, ICASSP 2018; resemblyzer 0.1.4",
    )

    def __init__(self, device: str = "cpu") -> None:
        self._device = torch.device(device)
        self._encoder: Ge2eEncoder | None = None
        self._reference_embeddings: dict[str, Tensor] = {}  # by sha256 of the file's content

    def score(self, batch: ClipBatch) -> Scores:
        """Similarity per clip. Raises ValueError, naming the file, on a reference clip that cannot be used."""
        require_rate(batch, self.spec)
        scores = Scores(self.spec, len(batch))
        references = self._references(batch)
        speech, reasons = _speech(batch)
        for index, reason in reasons.items():
            scores.refuse(index, reason)
        for index, embedding in zip(speech, self._embed(list(speech.values())), strict=True):
            reference = references[batch.info[index].reference]
            cosine = min(1.0, float(embedding @ reference.centroid))
            scores["speaker_cosine"][index] = cosine
            scores["speaker_similarity"][index] = (cosine + 1) / 2
            scores.details[index]["reference_clips"] = reference.clips
            if reference.ceiling is not None:
                scores.details[index]["reference_ceiling"] = reference.ceiling
        return scores

    def _references(self, batch: ClipBatch) -> dict[tuple[Path, ...], Reference]:
        wanted = list(dict.fromkeys(info.reference for info in batch.info if info.reference))
        digests = {path: content_digest(path) for paths in wanted for path in paths}
        new = {digest: path for path, digest in digests.items() if digest not in self._reference_embeddings}
        embeddings = self._embed([reference_speech(path) for path in new.values()])
        self._reference_embeddings.update(zip(new, embeddings, strict=True))
        contents = {paths: dict.fromkeys(digests[path] for path in paths) for paths in wanted}
        stored = self._reference_embeddings
        return {paths: combine(torch.stack([stored[digest] for digest in own])) for paths, own in contents.items()}

    def _embed(self, speech: Sequence[Tensor]) -> Tensor:
        if self._encoder is None:
            self._encoder = Ge2eEncoder.pretrained().to(self._device)
        return embed(self._encoder, speech)

    @staticmethod
    def check_reference(paths: Sequence[Path]) -> None:
        """Raise ValueError, naming the file, on a clip that no similarity can be measured against."""
        check_reference(paths)

    def passport(self) -> Passport:
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge="resemblyzer GE2E encoder",
            weights_sha256={WEIGHTS_FILE: sha256(weights())},
            parameters={
                "volume": f"raised to {TARGET_DBFS:g} dBFS",
                "pauses": "cut by WebRTC VAD mode 3, as resemblyzer",
                "min_speech_s": MIN_SPEECH_S,
                "silence_dbfs": SILENCE_DBFS,
                "partials": "1.6 s, 1.3 per second, coverage 0.75",
                "reference": "centroid of the clips' embeddings",
                "resampler": "soxr_hq by the caller",
            },
            packages=versions("resemblyzer", "torch", "webrtcvad"),
        )

    @classmethod
    def unavailable(cls) -> str | None:
        return missing_packages(("resemblyzer", "webrtcvad"), "bundled")


def _speech(batch: ClipBatch) -> tuple[dict[int, Tensor], dict[int, str]]:
    """Prepared speech of every clip that has enough of it and a reference, and the reasons of the others, by index."""
    speech: dict[int, Tensor] = {}
    reasons = unusable(batch)
    for index, info in enumerate(batch.info):
        if not info.reference:
            reasons[index] = "no reference clip of the speaker was given"
        elif index not in reasons:
            prepared = prepare(batch.clip(index).cpu())
            if shortage := too_little(prepared):
                reasons[index] = f"the clip {shortage}"
            else:
                speech[index] = prepared
    return speech, reasons
