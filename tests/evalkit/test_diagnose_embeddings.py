"""Embeddings: those of the judge of speaker similarity, in order, with a reason where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diagnose_tables import READINGS, REFERENCE, read

from evalkit.diagnostics.training.embeddings import Embedder
from evalkit.errors import EvalkitError
from metrics import ClipBatch, ClipInfo
from metrics.speaker_resemblyzer import ResemblyzerSimilarity


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder("cpu", "bundled")


def test_the_cosine_of_two_clips_is_the_metrics(embedder: Embedder) -> None:
    reference, clip = REFERENCE / "sarah" / "sarah-1.flac", read(READINGS / "jalandhar-right-slt.flac")
    info = [ClipInfo("clip", reference=(reference,))]
    batch = ClipBatch.of([torch.from_numpy(clip)], 16000, info)
    expected = ResemblyzerSimilarity().score(batch)["speaker_cosine"][0]
    a, b = embedder.embed([torch.from_numpy(clip), torch.from_numpy(read(reference))])
    assert float(a @ b) == pytest.approx(expected, abs=1e-4)
    assert a.dtype == np.float32 and a.shape == (embedder.dimension,)


def test_a_clip_that_says_too_little_has_a_reason_and_the_others_keep_their_places(embedder: Embedder) -> None:
    clip = torch.from_numpy(read(REFERENCE / "sarah" / "sarah-1.flac"))
    reasons: dict[int, str] = {}
    found = embedder.embed([torch.zeros(16000), clip, clip[:3000], 0.9 * clip], reasons)
    assert [vector is None for vector in found] == [True, False, True, False]
    assert "silent" in reasons[0] and "0.5 s" in reasons[2] and reasons.keys() == {0, 2}
    assert float(found[1] @ found[3]) > 0.99
    assert embedder.embed([]) == []


def test_the_passport_names_the_weights_and_no_reference(embedder: Embedder) -> None:
    passport = embedder.passport()
    assert passport["metric"] == "speaker_embedding"
    assert all(len(digest) == 64 for digest in passport["weights_sha256"].values()) and passport["weights_sha256"]
    assert "reference" not in passport["parameters"] and passport["parameters"]["resampler"] == "soxr_hq"


def test_an_encoder_that_is_not_there_is_an_error_that_names_it() -> None:
    with pytest.raises(EvalkitError, match="nowhere"):
        Embedder("cpu", "standard", ["speaker_similarity.model=/nowhere/at-all"])
