"""From a checkpoint on disk to an engine that speaks with it, or one sentence why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import metrics.options
from evalkit.checkpoints import fingerprint, non_finite, recognise, section_of
from evalkit.engines import Engine, EngineSpec
from evalkit.errors import EvalkitError
from evalkit.pipeline.weights import read_weights
from evalkit.registry import ENGINES


@dataclass(frozen=True)
class LoadedEngine:
    """An engine with weights in it; `checkpoint` is what the manifest says of them."""

    engine: Engine
    options: Mapping[str, Any]
    checkpoint: Mapping[str, Any]


def pick_device(name: str) -> str:
    """ "auto" is the GPU where there is one. Raises EvalkitError when a GPU is asked for and there is none."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EvalkitError(f"Unknown device '{name}': give auto, cpu or cuda.") from error
    if device.type not in ("cpu", "cuda"):
        raise EvalkitError(f"--device {name}: evalkit runs on cpu or cuda.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise EvalkitError("--device cuda: no CUDA device is usable here; give --device cpu, or see evalkit doctor.")
    return name


def load_engine(
    path: Path, engine_name: str | None, device: str, settings: Sequence[str], base: Path | None = None
) -> LoadedEngine:
    """Read, check and load a checkpoint, an adapter on its base, or a recipe.

    Raises EvalkitError on every way in which that can go wrong.
    """
    with _about(path):
        weights = read_weights(path, base)
    broken = non_finite(weights.tensors)
    if broken:
        raise EvalkitError(
            f"{path} holds NaN or Inf in {len(broken)} tensor(s), first {broken[0]}: "
            "the checkpoint is broken; make it again."
        )
    layouts = {name: ENGINES.load(name).spec.layouts for name in ENGINES.names()}
    with _about(path):
        name = engine_name or recognise(weights.tensors.keys(), layouts)
    engine: Engine = ENGINES.load(name)(device=device)
    options = parse_settings(engine.spec, settings)
    with _about(path):
        loaded = engine.load(weights.tensors)
    return LoadedEngine(
        engine,
        options,
        {
            "name": path.name,
            "path": str(path),
            **weights.record,
            "layout": ",".join(layout.name for layout in engine.spec.layouts),
            "fingerprint": fingerprint(weights.tensors),
            "loaded_digest": loaded,
            "parameters": sum(tensor.numel() for tensor in weights.tensors.values()),
            "sections": _section_sizes(weights.tensors),
            "weight_norm_folded": len(weights.folded),
        },
    )


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Say which file an error is about."""
    try:
        yield
    except EvalkitError as error:
        if str(path) in str(error):
            raise
        raise EvalkitError(f"{path}: {error}") from error


def parse_settings(spec: EngineSpec, settings: Sequence[str]) -> dict[str, Any]:
    """`["speed=1.2"]` -> every option of the engine with its value. Raises EvalkitError on a bad name or value."""
    try:
        return dict(metrics.options.parse_settings(f"the engine '{spec.name}'", spec.options, settings))
    except ValueError as error:
        raise EvalkitError(str(error)) from error


def _section_sizes(tensors: Mapping[str, torch.Tensor]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for key, tensor in tensors.items():
        sizes[section_of(key)] = sizes.get(section_of(key), 0) + tensor.numel()
    return sizes
