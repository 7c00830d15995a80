"""Weights of standard judges on disk: where they are, whether they are what they should be, how to get them."""

from metrics.weights.store import JudgeWeights, fetch_line, find, require

__all__ = ["JudgeWeights", "fetch_line", "find", "require"]
