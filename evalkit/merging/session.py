"""Many merges of the same checkpoints, in memory: for sweeps over coefficients."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from evalkit.checkpoints import CanonicalTensors
from evalkit.files import disk_errors
from evalkit.merging.align import ERROR, Sources, align
from evalkit.merging.merge import make_sources
from evalkit.merging.plan import plan_aligned
from evalkit.merging.ties import find_ties
from evalkit.merging.weights import Weight


class MergeSession:
    """Base and parents, read and folded once, merged with any coefficients without touching a checkpoint again::

        with MergeSession(base.tensors, {"sarah": sarah.tensors, "sumit": sumit.tensors}) as session:
            weights = session.merge({"sarah": 0.6, "sumit": 1.0})

    base: tensors of a checkpoint in any spelling, or None; models: parent -> tensors. device: where the canonical
    float32 tensors are kept and merged ("cpu", "cuda"). mapped: keep them in a temporary file in this folder, mapped
    into memory, instead: for checkpoints that do not fit. unmatched, respell: as in merge_checkpoints. The results
    equal those of merge_checkpoints bit for bit on the same device.

    Kept are the effective weights and not their differences: base + 1 (parent - base) would round, and be the parent no
    longer.
    """

    def __init__(
        self,
        base: Mapping[str, Tensor] | None,
        models: Mapping[str, Mapping[str, Tensor]],
        *,
        device: str = "cpu",
        mapped: Path | None = None,
        unmatched: str = ERROR,
        respell: bool = True,
    ) -> None:
        sources = make_sources(base, models, respell)
        self._alignment = align(sources, unmatched)
        self._ties = find_ties(sources, self._alignment.merged)
        self._folder = tempfile.TemporaryDirectory(dir=mapped, prefix="evalkit-merge-") if mapped else None
        keep = _in_memory(device) if self._folder is None else _mapped(Path(self._folder.name))
        self._sources: Sources = {name: keep(name, tensors) for name, tensors in sources.items()}

    def merge(
        self,
        weights: Mapping[str, Weight],
        method: str = "task_arithmetic",
        options: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> dict[str, Tensor]:
        """The merged state: canonical key -> float32 tensor on the session's device.

        Raises EvalkitError as merge_checkpoints does.
        """
        plan = plan_aligned(self._sources, self._alignment, self._ties, weights, method, options, seed)
        return {result.key: result.tensor for result in plan.results()}

    def close(self) -> None:
        """Let go of the tensors, and remove the temporary file."""
        self._sources = {}
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


Keep = Callable[[str, CanonicalTensors], CanonicalTensors]


def _in_memory(device: str) -> Keep:
    def keep(name: str, tensors: CanonicalTensors) -> CanonicalTensors:
        # Copied, so that a file mapped by the reader is read now and not in the middle of a sweep.
        return CanonicalTensors({key: tensor.to(device, copy=True) for key, tensor in tensors.items()}, respell=False)

    return keep


def _mapped(folder: Path) -> Keep:
    """Floating tensors go one after another into a file of float32 numbers, which is then mapped."""

    def keep(name: str, tensors: CanonicalTensors) -> CanonicalTensors:
        path = folder / f"{len(list(folder.iterdir()))}.float32"
        kept: dict[str, Tensor] = {}
        with disk_errors(path), path.open("wb") as file:
            for key, tensor in tensors.items():
                if tensor.is_floating_point():
                    file.write(tensor.contiguous().numpy().data)
                else:
                    kept[key] = tensor
        numbers = path.stat().st_size // 4
        flat = torch.from_file(str(path), shared=False, size=numbers, dtype=torch.float32) if numbers else None
        start = 0
        for key in tensors:
            if flat is not None and key not in kept:
                shape = tensors.shape(key)
                kept[key] = flat[start : start + shape.numel()].view(shape)
                start += shape.numel()
        return CanonicalTensors(kept, respell=False)

    return keep
