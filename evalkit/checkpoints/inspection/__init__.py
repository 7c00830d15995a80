"""What is in a checkpoint, and whether several fit together, told before any GPU time is spent."""

from evalkit.checkpoints.inspection.compare import compare_vectors
from evalkit.checkpoints.inspection.report import Inspection, VectorReport
from evalkit.checkpoints.inspection.single import inspect_checkpoint
from evalkit.checkpoints.inspection.together import inspect_all

__all__ = ["Inspection", "VectorReport", "compare_vectors", "inspect_all", "inspect_checkpoint"]
