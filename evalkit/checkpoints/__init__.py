"""Weights on disk: read safely, canonical names, fingerprint, which engine they belong to, write."""

from evalkit.checkpoints.canonical import Canonical, canonical, fingerprint, non_finite
from evalkit.checkpoints.layouts import recognise, section_of
from evalkit.checkpoints.reading import Checkpoint, read_checkpoint
from evalkit.checkpoints.writing import write_checkpoint

__all__ = [
    "Canonical",
    "Checkpoint",
    "canonical",
    "fingerprint",
    "non_finite",
    "read_checkpoint",
    "recognise",
    "section_of",
    "write_checkpoint",
]
