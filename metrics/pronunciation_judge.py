"""What a pronunciation judge is asked and answers, whatever model is behind it. Imports no torch: workers use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

IMPOSSIBLE_NATS = 690.0  # how much less likely than the best a reading counts that has no path through the clip


@dataclass(frozen=True)
class Part:
    """A word of a sentence, in lower case, or a name in it. A name has readings; one to be judged has wrong ones too.

    possessive: 's follows, as part of the word. No reading may be among both the accepted and the wrong ones.
    """

    word: str
    accepted: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    possessive: bool = False


@dataclass(frozen=True)
class NameScore:
    """What a clip says about one name.

    log_likelihoods: of the whole clip, in nats, by reading of the name, the other names having their likeliest one. A
    reading may be left out if another of its kind (accepted or wrong) is likelier. frames: the name's length in frames
    of 10 ms; fit: log likelihood of the name's own frames with its likeliest reading, in nats per frame (at most 0; far
    below: something else was said); context: the same of the text's other words, None if there are none; heard: the
    IPA that a free recognition of phones finds in the name's place, and gop: log likelihood of its frames with the
    likeliest accepted reading minus that of the free recognition, in nats per frame; both None if not asked for.
    """

    log_likelihoods: Mapping[str, float]
    frames: float
    fit: float
    context: float | None
    heard: str | None = None
    gop: float | None = None

    @property
    def best(self) -> str:
        """The likeliest reading."""
        return max(self.log_likelihoods, key=self.log_likelihoods.__getitem__)

    def margin(self, part: Part) -> float:
        """Log likelihood with the best accepted minus that with the best wrong reading, in nats per frame."""
        return (self._highest(part.accepted) - self._highest(part.wrong)) / self.frames

    def _highest(self, readings: Sequence[str]) -> float:
        return max(self.log_likelihoods[reading] for reading in readings if reading in self.log_likelihoods)


@dataclass(frozen=True)
class Judgement:
    """One score per part that has wrong readings, in order; None if the clip does not align with the sentence."""

    names: tuple[NameScore, ...] | None


@dataclass(frozen=True)
class Failure:
    """A task that has no answer, and why."""

    reason: str


class VariantJudge(Protocol):
    """A model that says how likely a clip is with each reading of the names in its sentence."""

    def score_variants(
        self, clips: Sequence[Tensor], sentences: Sequence[Sequence[Part]]
    ) -> Sequence[Judgement | Failure]:
        """clips: float32 [samples] each at the judge's rate, not silent. One answer per clip, the same in any batch."""
        ...
