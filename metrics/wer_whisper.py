"""Word and character error rate by Whisper (Radford et al. 2022), run by openai-whisper, many clips at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from metrics.base import ClipBatch, ClipInfo, MetricSpec, Passport, Scores
from metrics.options import Option
from metrics.packages import missing_packages, versions
from metrics.weights import require
from metrics.wer import applying, wer_columns
from metrics.whisper_decode import Transcriber
from metrics.whisper_heard import TEMPERATURES, Heard, parameters, score_heard
from metrics.whisper_mel import SAMPLE_RATE
from metrics.whisper_model import (
    AUTO,
    DTYPES,
    ENGLISH,
    LANGUAGES,
    MOST_BEAMS,
    check_language,
    check_options,
    choose_dtype,
    choose_model,
    load_model,
    missing_weights,
)


class WhisperWer:
    """WER, CER and entity WER of what Whisper hears against `ClipInfo.text`.

    Each clip gets the transcript that `whisper.transcribe(clip, language=..., without_timestamps=True)` gives it alone:
    thresholds and temperatures are the same, except that the tokens are limited by the clip's duration, that a clip
    which needs all of them counts as failed, and that the random numbers of higher temperatures come from the clip's
    samples. Clips of more than 30 s go through `whisper.transcribe` itself, with timestamps. float16 is that package's
    own `fp16`. The mean log-probability of the same tokens is within 0.02 of float32's in float16 and within 0.15 in
    bfloat16 (on the small random models of the tests), so a token can differ where two are nearly as likely.

    Details per clip: those of `metrics.wer.record_heard`, and `asr_flags` (no_speech, hallucination, repetition,
    low_confidence, length_limit, fallback), `asr_avg_logprob`, `asr_no_speech_prob`, `asr_compression_ratio`,
    `asr_temperature`. A flagged transcript is scored as it is.
    """

    spec = MetricSpec(
        name="wer",
        version="2",
        columns=wer_columns("by Whisper"),
        sample_rate=SAMPLE_RATE,
        needs=frozenset({"text"}),
        judge="standard",
        source="Radford et al.: Robust speech recognition via large-scale weak supervision, ICML 2023; openai-whisper",
        options={
            "model": Option(
                AUTO,
                "tiny.en ... large-v3-turbo, or the path of a .pt file of openai-whisper; auto is large-v3-turbo on "
                "CUDA, base.en (base for another language) elsewhere, or the one of the two that is on disk",
            ),
            "language": Option("en", "what is spoken, by its code (en, hi, ta)"),
            "beam": Option(0, "beams of the search; 0 and 1 decode greedily", low=0, high=MOST_BEAMS),
            "dtype": Option(AUTO, "auto is float16 on CUDA, float32 elsewhere", choices=(AUTO, *DTYPES)),
        },
    )

    def __init__(
        self, device: str = "cpu", model: str = AUTO, language: str = "en", beam: int = 0, dtype: str = AUTO
    ) -> None:
        check_options(model, language, beam, dtype, (AUTO, *DTYPES))
        self._device = torch.device(device)
        self._asked, self._language, self._beam = model, language, beam
        self._dtype = choose_dtype(dtype, self._device)
        self._transcriber: Transcriber | None = None

    def score(self, batch: ClipBatch) -> Scores:
        """WER, CER and entity WER per clip. Raises ValueError if the model is missing or is not one of Whisper's."""
        return score_heard(self.spec, batch, self._hear)

    def applies(self, info: ClipInfo) -> frozenset[str]:
        """See `metrics.wer.applying`."""
        return applying(info)

    def _hear(self, clips: Sequence[Tensor]) -> list[Heard]:
        if self._transcriber is None:
            model = load_model(require("whisper", self._model).path, self._device, self._dtype)
            known = LANGUAGES[: model.num_languages] if model.is_multilingual else ENGLISH
            check_language(self._model, self._language, known)
            self._transcriber = Transcriber(model, self._dtype, self._language, self._beam)
        return self._transcriber.hear(clips)

    @cached_property
    def _model(self) -> str:
        return choose_model(self._asked, self._device, self._language)

    def close(self) -> None:
        """Let go of the model."""
        self._transcriber = None

    def passport(self) -> Passport:
        weights = require("whisper", self._model)
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge=weights.name,
            weights_sha256=weights.sha256,
            parameters=parameters(self._language, self._beam, str(self._dtype).removeprefix("torch."), TEMPERATURES),
            packages=versions("jiwer", "openai-whisper", "torch"),
        )

    @classmethod
    def unavailable(cls, model: str = AUTO, language: str = "en", beam: int = 0, dtype: str = AUTO) -> str | None:
        return missing_packages(("jiwer", "whisper"), "standard") or missing_weights(model, language)
