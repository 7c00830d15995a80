"""Scalars of TensorBoard event files, by TensorBoard's own reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError, some


def read_events(path: Path) -> Iterator[Mapping[str, Any]]:
    """One record per scalar: {"step": 100, "train/loss": 0.5}. path: an event file, or a folder with one run's events.

    Raises EvalkitError where TensorBoard is not installed, and for a folder with no run or several.
    """
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.util import tensor_util
    except ImportError as error:
        raise EvalkitError(
            f"{path} holds TensorBoard events, which TensorBoard reads: pip install 'evalkit[tensorboard]'."
        ) from error
    # 0: every event, where TensorBoard would keep a sample
    events: Any = EventAccumulator(str(_run(path)), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    for tag in tags["scalars"]:
        for event in events.Scalars(tag):
            yield {"step": event.step, tag: float(event.value)}
    for tag in tags["tensors"]:  # as TensorFlow 2 and Keras write scalars
        for event in events.Tensors(tag):
            value = tensor_util.make_ndarray(event.tensor_proto)
            if value.size == 1 and value.dtype.kind in "fiu":
                yield {"step": event.step, tag: float(value.reshape(-1)[0])}


def _run(path: Path) -> Path:
    if path.is_file():
        return path
    folders = sorted({file.parent for file in path.rglob("*.tfevents.*")})
    if not folders:
        raise EvalkitError(f"{path} holds no TensorBoard events: give a .csv, a .jsonl or a folder with events.")
    if len(folders) > 1:
        raise EvalkitError(f"{path} holds the events of several runs ({some(list(map(str, folders)))}): name one.")
    return folders[0]
