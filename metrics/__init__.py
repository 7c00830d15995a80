"""Scoring library: clips in, columns out. Imports nothing of evalkit."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metrics.base import ClipBatch, ClipInfo, Column, Entity, Metric, MetricSpec, Passport, Scores

__all__ = ["ClipBatch", "ClipInfo", "Column", "Entity", "Metric", "MetricSpec", "Passport", "Scores"]


def __getattr__(name: str) -> Any:
    """Import on first use: `metrics.base` needs torch, which worker processes of this package do without."""
    if name not in __all__:
        raise AttributeError(f"module 'metrics' has no attribute {name!r}")
    from metrics import base

    return getattr(base, name)
