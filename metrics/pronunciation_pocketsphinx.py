"""Pronunciation by pocketsphinx: which of its known readings a name was spoken with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import cast

from torch import Tensor

from metrics.base import MetricSpec, Passport
from metrics.clips import SILENCE_DBFS
from metrics.options import Option
from metrics.packages import missing_packages, package_file, sha256, versions
from metrics.pocketsphinx_decoder import DITHER, PADDING_S, SAMPLE_RATE, to_pcm, weights
from metrics.pocketsphinx_judge import Judge
from metrics.pocketsphinx_pool import PocketsphinxPool
from metrics.pronunciation_calibration import CALIBRATION_FILE, Calibration
from metrics.pronunciation_judge import Failure, Judgement, Part
from metrics.pronunciation_metric import COLUMNS, VARIANTS, PronunciationMetric
from metrics.pronunciation_variants import ENGLISH_READINGS
from metrics.pronunciation_words import EXTRA_WORDS


class PocketsphinxJudge:
    """Viterbi alignment of the whole sentence with each reading of a name in its place, one at a time.

    Of more than two accepted (or wrong) readings only the likeliest is aligned alone. In a sentence with several names
    the others have their likeliest reading.
    """

    def __init__(self, workers: int | None = None, open_set: bool = False) -> None:
        self._pool = PocketsphinxPool(workers)
        self._open_set = open_set

    def score_variants(
        self, clips: Sequence[Tensor], sentences: Sequence[Sequence[Part]]
    ) -> Sequence[Judgement | Failure]:
        """See `VariantJudge`."""
        pairs = zip(clips, sentences, strict=True)
        tasks = [Judge(to_pcm(clip.cpu().numpy()), tuple(parts), self._open_set) for clip, parts in pairs]
        return cast(list[Judgement | Failure], self._pool.run(tasks))

    def close(self) -> None:
        """End the worker processes."""
        self._pool.close()


class PocketsphinxPronunciation(PronunciationMetric):
    """`PronunciationMetric` with pocketsphinx's alignment as its judge; phones are recognised freely if asked for."""

    spec = MetricSpec(
        name="pronunciation",
        version="2",
        columns=COLUMNS,
        sample_rate=SAMPLE_RATE,
        needs=frozenset({"text", "entities"}),
        judge="bundled",
        source="forced alignment by pocketsphinx 5.1.1 with the en-us acoustic model and cmudict of its wheel",
        options={
            "variants": VARIANTS,
            "open_set": Option(
                False, "also recognise phones freely, for pronunciation_gop and _distance: about 1.7 times as slow"
            ),
        },
    )
    no_open_set = "no phones were recognised: --set pronunciation.bundled.open_set=true asks for it"

    def __init__(
        self, device: str = "cpu", variants: str = "suite", open_set: bool = False, workers: int | None = None
    ) -> None:
        """workers: processes that align, by default one per core and at most 4. They change no score."""
        super().__init__(variants)
        self._open_set = open_set
        self._judge = PocketsphinxJudge(workers, open_set)

    @property
    def judge(self) -> PocketsphinxJudge:
        return self._judge

    @cached_property
    def calibration(self) -> Calibration:
        return Calibration.read(package_file("metrics", CALIBRATION_FILE), self._variants)

    def close(self) -> None:
        """End the worker processes."""
        self._judge.close()

    def passport(self) -> Passport:
        extras: dict[str, str] = {}
        if self._variants == "generated":
            extras["english_readings_sha256"] = sha256(package_file("metrics", ENGLISH_READINGS))
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge="pocketsphinx en-us alignment",
            weights_sha256=weights(phone_model=self._open_set),
            parameters={
                **self.calibration.parameters(),
                "calibration_sha256": sha256(package_file("metrics", CALIBRATION_FILE)),
                "variants": self._variants,
                "open_set": self._open_set,
                **extras,
                "extra_words_sha256": sha256(package_file("metrics", EXTRA_WORDS)),
                "padding_s": PADDING_S,
                "dither_lsb": DITHER,
                "silence_dbfs": SILENCE_DBFS,
                "resampler": "soxr_hq by the caller",
            },
            packages=versions("numpy", "pocketsphinx", "torch", *(["panphon"] if self._open_set else [])),
            accuracy=self.calibration.accuracy,
        )

    @classmethod
    def unavailable(cls, *, open_set: bool = False, **options: object) -> str | None:
        return missing_packages(("pocketsphinx", "panphon") if open_set else ("pocketsphinx",), "bundled")
