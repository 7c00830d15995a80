"""Merging: methods as pure tensor functions, whole checkpoints merged by them, LoRA adapters folded into a base."""

from evalkit.merging.base import MergeMethod, merge_method
from evalkit.merging.lora import Adapter, fold_adapter, read_adapter
from evalkit.merging.merge import Merged, MergeReport, merge_checkpoints

__all__ = [
    "Adapter",
    "MergeMethod",
    "MergeReport",
    "Merged",
    "fold_adapter",
    "merge_checkpoints",
    "merge_method",
    "read_adapter",
]
