"""Weights on disk: read safely, canonical names, fingerprint, which engine they belong to, write."""

from evalkit.checkpoints.canonical import (
    Canonical,
    CanonicalTensors,
    Origin,
    canonical,
    fingerprint,
    is_finite,
    non_finite,
)
from evalkit.checkpoints.layouts import recognise, section_of
from evalkit.checkpoints.read_file import stem
from evalkit.checkpoints.reading import Checkpoint, read_checkpoint
from evalkit.checkpoints.spelling import spell
from evalkit.checkpoints.writing import write_checkpoint

__all__ = [
    "Canonical",
    "CanonicalTensors",
    "Checkpoint",
    "Origin",
    "canonical",
    "fingerprint",
    "is_finite",
    "non_finite",
    "read_checkpoint",
    "recognise",
    "section_of",
    "spell",
    "stem",
    "write_checkpoint",
]
