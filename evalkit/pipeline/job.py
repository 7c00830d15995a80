"""What is decided before the first sample is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.pipeline.judges import Choice, Judges, columns_of
from evalkit.pipeline.plan import Utterance
from evalkit.pipeline.resampling import Resampler
from evalkit.pipeline.sources import Source
from metrics import Column

DEFAULT_OUT = Path("runs")


@dataclass(frozen=True)
class Options:
    """What `run` and `score` have in common."""

    out: Path = DEFAULT_OUT
    reference: Path | None = None
    judges: Judges = "auto"
    metrics: tuple[str, ...] = ()
    device: str = "auto"
    baseline: Path | None = None
    limit: int | None = None
    settings: tuple[str, ...] = ()  # "metric.option=value"
    resampler: Resampler = "soxr"
    forced: tuple[str, ...] = ()  # registry entries that stand for their metric whatever `judges` says: "wer.whisper"
    cache: bool = True  # take scores that were computed before


@dataclass(frozen=True)
class Job:
    """Everything decided before the first sample is made."""

    name: str
    suite: str
    content: dict[str, Any]  # what the run's identity is made of
    record: dict[str, Any]  # the rest of the manifest
    stages: Sequence[Sequence[Utterance]]  # what is spoken first, and what next
    max_batch: int
    source: Source
    choices: Sequence[Choice]
    references: tuple[Path, ...]
    options: Options
    timings: Mapping[str, Column]  # what is measured while an engine speaks

    @property
    def planned(self) -> list[Utterance]:
        """Every utterance of the run."""
        return [utterance for stage in self.stages for utterance in stage]

    def metric_columns(self) -> dict[str, Column]:
        return columns_of(self.choices)

    def columns(self) -> dict[str, Column]:
        """Every column of the table: the metrics', and the timings where something speaks."""
        return {**self.metric_columns(), **self.timings}

    def owners(self) -> dict[str, str]:
        """Column -> the metric that it comes from."""
        owned = {c.name: choice.name for choice in self.choices if choice.metric for c in choice.metric.spec.columns}
        return owned | dict.fromkeys(self.timings, "timings")
