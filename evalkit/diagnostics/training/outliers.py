"""Clips of a speaker whose voice is another's, by their embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evalkit.diagnostics.training.robust import centres_and_spreads
from evalkit.diagnostics.training.rows import batches

MIN_CLIPS = 5  # of a speaker; with fewer nobody can tell whose voice is the speaker's
DEVIATIONS = 4.0  # of the speaker's own cosines, below their median
LEAST_SPREAD = 0.02  # a speaker recorded in one sitting varies less than another day would
FLOORS = {"bundled": 0.70, "standard": 0.25}
"""Cosine to the other clips of a speaker, by judge, below which it is another voice even if no other speaker is known.

bundled: measured, see `docs/diagnose/checks.md`. standard: not measured; wespeaker ResNet34-LM's threshold of equal
errors on VoxCeleb lies near it.
"""

_ROUNDS = 4
_AT_ONCE = 4096  # embeddings

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Voice:
    """What a clip's embedding says of whose voice it is.

    cosine: to the mean of the speaker's other clips. nearest: the other speaker that is nearest, where there are
    several. wrong: None where nobody can tell.
    """

    id: str
    cosine: float | None = None
    nearest: str | None = None
    nearest_cosine: float | None = None
    wrong: bool | None = None


def outliers(embeddings: Path, clips: Path, dimension: int, judge: str = "bundled") -> Iterator[Voice]:
    """One answer per clip, in the order of the set.

    A clip is of a wrong speaker when its cosine lies `DEVIATIONS` below the median of its speaker's, in terms of their
    median absolute deviation, and it is nearer to another speaker or below the judge's floor. The means are made
    without the clips that are far off, so that some wrong clips do not hide each other.

    embeddings: float32 rows of length 1, which `clips.parquet` names in its column `embedding`; they are passed over in
    parts. Memory: some bytes per clip, and an embedding per speaker.
    """
    rows = embeddings.stat().st_size // (4 * dimension) if embeddings.exists() else 0
    shape = (rows, dimension)
    vectors = np.memmap(embeddings, dtype=np.float32, mode="r", shape=shape) if rows else np.empty(shape, np.float32)
    voices = _Voices(vectors, clips)
    voices.drop_far_ones()
    yield from voices.answers(FLOORS.get(judge, FLOORS["bundled"]))


class _Voices:
    """Sums of the embeddings of each speaker.

    Of clips with equal content the first counts, for its speaker.
    """

    def __init__(self, vectors: Floats, clips: Path) -> None:
        self._vectors, self._clips = vectors, clips
        self._numbers: dict[str, int] = {}  # of the speakers
        self._owners = np.full(len(vectors), -1, dtype=np.int64)  # whose sum an embedding is part of
        for _, numbers, rows in self._parts():
            new = self._owners[rows] < 0
            self._owners[rows[new][::-1]] = numbers[new][::-1]
        self._sums, self._counts = self._summed()

    def drop_far_ones(self) -> None:
        """Leave out of the sums what is far from its own speaker's, round after round: what is wrong hides the rest."""
        self._enough = self._counts >= MIN_CLIPS
        homes = self._owners.copy()
        for _ in range(_ROUNDS):
            own = np.full(len(homes), np.nan, dtype=np.float32)
            for start in range(0, len(homes), _AT_ONCE):
                rows = np.arange(start, min(start + _AT_ONCE, len(homes)))
                rows = rows[homes[rows] >= 0]
                own[rows] = self._own(rows, homes[rows])
            self._limits = self._lowest(own)
            far = (homes >= 0) & (own < self._limits[homes]) & self._enough[homes]
            self._owners = np.where(far, -1, homes)
            self._sums, self._counts = self._summed()

    def answers(self, floor: float) -> Iterator[Voice]:
        centroids = _normal(self._sums)
        known = self._counts >= 2
        names = list(self._numbers)
        for ids, numbers, rows in self._parts(every=True):
            real = np.flatnonzero(rows >= 0)
            found: dict[int, Voice] = {}
            own = self._own(rows[real], numbers[real])
            cosines = np.asarray(self._vectors[rows[real]]) @ centroids.T
            cosines[:, ~known] = -np.inf
            cosines[np.arange(len(real)), numbers[real]] = -np.inf
            for place, mine, others in zip(real, own, cosines, strict=True):
                speaker, near = int(numbers[place]), int(np.argmax(others))
                other = float(others[near]) if np.isfinite(others[near]) else None
                cosine = None if np.isnan(mine) else float(mine)
                wrong = None
                if cosine is not None and self._enough[speaker]:
                    wrong = cosine < self._limits[speaker] and (cosine < floor or (other or -1.0) > cosine)
                found[int(place)] = Voice(ids[place], cosine, names[near] if other is not None else None, other, wrong)
            yield from (found.get(place) or Voice(name) for place, name in enumerate(ids))

    def _own(self, rows: Ints, numbers: Ints) -> Floats:
        """Cosine of each embedding with the mean of its speaker's others; NaN where there is no other."""
        vectors = np.asarray(self._vectors[rows])
        mine = self._owners[rows] == numbers
        others = self._sums[numbers] - vectors * mine[:, None]
        cosines: Floats = np.einsum("nd,nd->n", vectors, _normal(others)).astype(np.float32)
        cosines[self._counts[numbers] - mine < 1] = np.nan
        return cosines

    def _lowest(self, own: Floats) -> npt.NDArray[np.float64]:
        """The cosine that is the least one may expect of each speaker's clips, by those in the sums."""
        counted = (self._owners >= 0) & ~np.isnan(own)
        medians, spreads = centres_and_spreads(own[counted], self._owners[counted], len(self._numbers))
        limits: npt.NDArray[np.float64] = medians - DEVIATIONS * np.maximum(spreads, LEAST_SPREAD)
        return limits

    def _summed(self) -> tuple[Floats, Ints]:
        sums = np.zeros((len(self._numbers), self._vectors.shape[1]), dtype=np.float64)
        counts = np.zeros(len(self._numbers), dtype=np.int64)
        for start in range(0, len(self._vectors), _AT_ONCE):
            owners = self._owners[start : start + _AT_ONCE]
            real = owners >= 0
            np.add.at(sums, owners[real], np.asarray(self._vectors[start : start + _AT_ONCE])[real])
            np.add.at(counts, owners[real], 1)
        return sums.astype(np.float32), counts

    def _parts(self, every: bool = False) -> Iterator[tuple[list[str], Ints, Ints]]:
        """Ids, numbers of the speakers, and rows of the embeddings (-1: none) of clips; of those with one, or every."""
        for batch in batches(self._clips, ["id", "speaker", "embedding"]):
            rows = np.array(batch.column("embedding").fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)
            rows[rows >= len(self._vectors)] = -1
            speakers = batch.column("speaker").to_pylist()
            numbers = np.array([self._numbers.setdefault(name, len(self._numbers)) for name in speakers])
            ids = batch.column("id").to_pylist()
            chosen = np.arange(len(rows)) if every else np.flatnonzero(rows >= 0)
            yield [ids[place] for place in chosen], numbers[chosen], rows[chosen]


def _normal(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    normal: Floats = vectors / np.maximum(lengths, 1e-9)
    return normal
