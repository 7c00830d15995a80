"""Word and character error rate by pocketsphinx: a stand-in for Whisper where no weights can be downloaded."""

from __future__ import annotations

from metrics.base import ClipBatch, ClipInfo, MetricSpec, Passport, Scores
from metrics.clips import SILENCE_DBFS, broken, require_rate, unusable
from metrics.packages import missing_packages, versions
from metrics.pocketsphinx_decoder import DITHER, PADDING_S, SAMPLE_RATE, to_pcm, weights
from metrics.pocketsphinx_judge import Failure, Transcribe
from metrics.pocketsphinx_pool import PocketsphinxPool
from metrics.text import NORMALIZER_VERSION
from metrics.wer import applying, no_reference, record_heard, wer_columns


class PocketsphinxWer:
    """WER, CER and entity WER of what pocketsphinx hears against `ClipInfo.text`, the spoken form.

    A stand-in, not for publication: it mishears a quarter of the words of clean read speech, so it tells a damaged
    checkpoint from a sound one and nothing finer. A word outside its dictionary can never be heard and always counts as
    errors; most Indian names are. (Their readings are not added to its dictionary: a clip's score would then depend on
    the names of the other clips.) Details per clip: those of `metrics.wer.record_heard`.
    """

    spec = MetricSpec(
        name="wer",
        version="3",
        columns=wer_columns("by pocketsphinx a stand-in, not for publication: unknown names are errors"),
        sample_rate=SAMPLE_RATE,
        needs=frozenset({"text"}),
        judge="bundled",
        source="pocketsphinx 5.1.1 with the en-us model and trigram language model of its wheel; counted by jiwer 4",
    )

    def __init__(self, device: str = "cpu", workers: int | None = None) -> None:
        """workers: processes that decode, by default one per core and at most 4. They change no score."""
        self._pool = PocketsphinxPool(workers)

    def score(self, batch: ClipBatch) -> Scores:
        """WER, CER and entity WER per clip. A silent clip is one in which nothing was heard."""
        require_rate(batch, self.spec)
        scores = Scores(self.spec, len(batch))
        for index, words in self._heard(batch, scores).items():
            record_heard(scores, index, batch.info[index], words)
        return scores

    def applies(self, info: ClipInfo) -> frozenset[str]:
        """See `metrics.wer.applying`."""
        return applying(info)

    def close(self) -> None:
        """End the worker processes."""
        self._pool.close()

    def _heard(self, batch: ClipBatch, scores: Scores) -> dict[int, str]:
        """What was heard, by index; clips that cannot be heard are refused in `scores`."""
        refused = broken(batch)
        refused |= {index: reason for index, info in enumerate(batch.info) if (reason := no_reference(info))}
        for index, reason in refused.items():
            scores.refuse(index, reason)
        silent = unusable(batch).keys()
        loud = [index for index in range(len(batch)) if index not in refused and index not in silent]
        answers = self._pool.run([Transcribe(to_pcm(batch.clip(index).cpu().numpy())) for index in loud])
        heard = dict.fromkeys(silent - refused.keys(), "")
        for index, answer in zip(loud, answers, strict=True):
            if isinstance(answer, str):
                heard[index] = answer
            else:
                assert isinstance(answer, Failure)
                scores.refuse(index, answer.reason)
        return heard

    def passport(self) -> Passport:
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge="pocketsphinx en-us",
            weights_sha256=weights(language_model=True),
            parameters={
                "normalizer": NORMALIZER_VERSION,
                "padding_s": PADDING_S,
                "dither_lsb": DITHER,
                "silence_dbfs": SILENCE_DBFS,
                "resampler": "soxr_hq by the caller",
            },
            packages=versions("jiwer", "numpy", "pocketsphinx", "torch"),
        )

    @classmethod
    def unavailable(cls) -> str | None:
        return missing_packages(("jiwer", "pocketsphinx"), "bundled")
