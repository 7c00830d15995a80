"""Scoring library: clips in, columns out. Imports nothing of evalkit."""

from metrics.base import ClipBatch, ClipInfo, Column, Entity, Metric, MetricSpec, Passport, Scores

__all__ = ["ClipBatch", "ClipInfo", "Column", "Entity", "Metric", "MetricSpec", "Passport", "Scores"]
