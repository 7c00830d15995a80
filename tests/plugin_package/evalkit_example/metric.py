"""A metric: how often per second the waveform changes its sign. High for hiss and fricatives, low for vowels."""

from __future__ import annotations

from metrics.base import ClipBatch, Column, MetricSpec, Passport, Scores


class ZeroCrossings:
    spec = MetricSpec(
        name="zero_crossings",
        version="1",  # raise it whenever the same audio would get another value
        columns=(Column("zero_crossings_hz", "Hz", "neither", (0.0, float("inf")), "changes of sign per second"),),
        sample_rate=None,  # any rate will do; a number here makes evalkit resample
        needs=frozenset(),
        judge="none",
        source="Kedem 1986, Spectral analysis and discrimination by zero-crossings",
    )

    def __init__(self, device: str = "cpu") -> None:
        """Nothing to load. A metric with a model loads it at the first `score`."""

    def score(self, batch: ClipBatch) -> Scores:
        # The batch is padded with zeros to its longest clip; padding must not count, or a clip's score would depend on
        # its neighbours. A change of sign counts only if both of its samples are real.
        negative = batch.audio < 0
        changes = (negative[:, 1:] != negative[:, :-1]) & batch.mask()[:, 1:]
        scores = Scores(self.spec, len(batch))
        for clip, count in enumerate(changes.sum(dim=1).tolist()):
            samples = int(batch.lengths[clip])
            if samples:
                scores["zero_crossings_hz"][clip] = count * batch.sample_rate / samples
            else:
                scores.refuse(clip, "The clip has no samples.")  # a missing value always says why
        return scores

    def passport(self) -> Passport:
        return Passport(self.spec.name, self.spec.version, judge="none")

    @classmethod
    def unavailable(cls) -> str | None:
        return None  # needs nothing that could be missing
