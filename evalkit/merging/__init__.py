"""Merging: methods as pure tensor functions, whole checkpoints merged by them, LoRA adapters."""

from evalkit.merging.base import MergeMethod, merge_method
from evalkit.merging.lora import Adapter, fold_adapter, fold_adapters, read_adapter
from evalkit.merging.lora_combine import combine_adapters
from evalkit.merging.lora_config import find_base
from evalkit.merging.lora_extract import Energies, extract_adapter
from evalkit.merging.lora_write import write_adapter
from evalkit.merging.merge import merge_checkpoints
from evalkit.merging.report import Merged, MergeReport
from evalkit.merging.weights import LayerWeights

__all__ = [
    "Adapter",
    "Energies",
    "LayerWeights",
    "MergeMethod",
    "MergeReport",
    "Merged",
    "combine_adapters",
    "extract_adapter",
    "find_base",
    "fold_adapter",
    "fold_adapters",
    "merge_checkpoints",
    "merge_method",
    "read_adapter",
    "write_adapter",
]
