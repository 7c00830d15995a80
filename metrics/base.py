"""What a metric is: clips in, columns out.

A metric scores a padded batch of clips and returns one value per clip for each of its columns. A value that cannot be
given is NaN *with a reason*: a score that is missing without a word is treated as an error by the pipeline.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from metrics.options import Option, Value

Better = Literal["higher", "lower", "neither"]
JudgeKind = Literal["none", "bundled", "standard"]
Need = Literal["text", "reference", "entities", "phonemes"]


@dataclass(frozen=True)
class Column:
    """One column of results.

    range: the smallest and largest value the column can take (-inf/inf where unbounded).
    on_failure: the value that an utterance gets when the checkpoint produced no usable speech for it, where the
        definition of the column gives one (nothing said: every word is missing, so WER 1); None leaves it missing.
    needs: without which there is nothing to score, nor anything that could have failed: an utterance without names has
        no names wrong. A metric says more precisely with `applies` what can fail, see `Metric`.
    """

    name: str
    unit: str
    better: Better
    range: tuple[float, float]
    description: str
    on_failure: float | None = None
    needs: frozenset[Need] = frozenset()  # beyond what its metric needs


@dataclass(frozen=True)
class MetricSpec:
    """What a metric declares about itself, readable without loading a model."""

    name: str
    version: str
    columns: tuple[Column, ...]
    sample_rate: int | None  # Hz; None: any rate, the engine's own is used
    needs: frozenset[Need]
    judge: JudgeKind  # whose weights: none, inside an installed package, or downloaded once
    source: str  # paper or reference code, with version
    options: Mapping[str, Option] = field(default_factory=dict)  # keyword arguments of the constructor
    on_request: bool = False  # runs only when it is named
    cpu_only: bool = False  # whatever the device: it is handed batches in main memory


@dataclass(frozen=True)
class Entity:
    """A name or term inside a text, with its pronunciation variants.

    spelling: as it stands in `ClipInfo.text`; accepted, wrong: readings in ARPAbet of the CMU dictionary, phones
    separated by blanks, vowels with stress digits (``"S UW0 B R AH0 M AH1 N Y AH0 N"``). spellings: other ways to write
    it that a transcript may use without being wrong ("Subramaniam").
    """

    spelling: str
    accepted: tuple[str, ...]
    wrong: tuple[str, ...] = ()
    spellings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClipInfo:
    """What is known of a clip beside its samples. `text` is what should be heard, numbers spelled out."""

    id: str
    text: str | None = None
    entities: tuple[Entity, ...] = ()
    reference: tuple[Path, ...] = ()  # clips of the speaker it should sound like
    phonemes: str | None = None  # what the engine's front end made of the text, in the engine's own symbols
    written: str | None = None  # the text as written ("Rs.18,00,000"), where it differs from `text`


@dataclass(frozen=True)
class ClipBatch:
    """Clips of one sample rate, zero-padded to the longest.

    audio: float32 [clips, samples], full scale is +-1; lengths: int64 [clips], in samples.
    """

    audio: Tensor
    lengths: Tensor
    sample_rate: int
    info: Sequence[ClipInfo]

    def __len__(self) -> int:
        return len(self.info)

    def clip(self, index: int) -> Tensor:
        """Samples of one clip without padding, float32 [samples]."""
        return self.audio[index, : int(self.lengths[index])]

    def mask(self) -> Tensor:
        """bool [clips, samples], True on real samples."""
        positions = torch.arange(self.audio.shape[1], device=self.audio.device)
        return positions[None, :] < self.lengths[:, None].to(self.audio.device)

    def to(self, device: torch.device | str) -> ClipBatch:
        """The same clips with their samples in the memory of `device`."""
        return replace(self, audio=self.audio.to(device))

    def part(self, start: int, stop: int) -> ClipBatch:
        """Clips start..stop - 1, padded no longer than they need."""
        lengths = self.lengths[start:stop]
        longest = int(lengths.max()) if len(lengths) else 0
        return replace(self, audio=self.audio[start:stop, :longest], lengths=lengths, info=self.info[start:stop])

    @staticmethod
    def of(clips: Sequence[Tensor], sample_rate: int, info: Sequence[ClipInfo]) -> ClipBatch:
        """Pad clips (float32 [samples] each) into a batch."""
        lengths = torch.tensor([len(clip) for clip in clips], dtype=torch.int64)
        audio = torch.nn.utils.rnn.pad_sequence(list(clips), batch_first=True) if clips else torch.zeros(0, 0)
        return ClipBatch(audio, lengths, sample_rate, info)


class Scores(dict[str, list[float]]):
    """Column name -> one value per clip, with what explains the values.

    reasons[i][column]: why clip i has NaN there. details[i]: JSON-able facts for the report (what the judge heard,
    the decision per entity, counts that a corpus figure is made of).
    """

    def __init__(self, spec: MetricSpec, clips: int) -> None:
        super().__init__({column.name: [math.nan] * clips for column in spec.columns})
        self.reasons: list[dict[str, str]] = [{} for _ in range(clips)]
        self.details: list[dict[str, Any]] = [{} for _ in range(clips)]

    def refuse(self, clip: int, reason: str) -> None:
        """Leave every column of one clip missing, for this reason."""
        for column in self:
            self[column][clip] = math.nan
            self.reasons[clip][column] = reason


@dataclass(frozen=True)
class Passport:
    """What a number depends on. Two runs are comparable when the passports of a metric are equal."""

    metric: str
    version: str
    judge: str  # name of the model behind the metric, "none" where there is none
    weights_sha256: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    accuracy: Mapping[str, Any] = field(default_factory=dict)  # the judge's own measured accuracy, where calibrated


@runtime_checkable
class Metric(Protocol):
    """A metric. The constructor takes `device: str = "cpu"` and the declared options as keywords, and loads nothing.

    Models load at the first `score`. Two methods may be left out. `close()` ends what the metric started.
    `applies(info: ClipInfo) -> Collection[str]` names the columns that a good clip with this info has a value in: in
    the others a failed utterance has nothing that could have failed. Without it the declared needs decide that.
    """

    spec: MetricSpec

    def score(self, batch: ClipBatch) -> Mapping[str, Sequence[float]]:
        """One value per clip and column, preferably as `Scores`."""
        ...

    def passport(self) -> Passport: ...

    @classmethod
    def unavailable(cls, **options: Value) -> str | None:
        """None if the metric can run here with these options, else one sentence: what is missing, how to get it.

        Cheap. A metric without options may leave them out of its signature.
        """
        ...
