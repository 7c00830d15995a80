"""Word and character error rate by Whisper, run by faster-whisper (CTranslate2)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from metrics.base import ClipBatch, ClipInfo, MetricSpec, Passport, Scores
from metrics.options import Option
from metrics.packages import missing_packages, versions
from metrics.weights import require
from metrics.wer import applying, wer_columns
from metrics.whisper_heard import TEMPERATURES, Evidence, Heard, parameters, score_heard, token_limit, worst
from metrics.whisper_mel import SAMPLE_RATE, WINDOW_FRAMES, content_frames
from metrics.whisper_model import AUTO, MOST_BEAMS, check_language, check_options, choose_model, missing_weights

KIND = "faster-whisper"
DTYPES = (AUTO, "float32", "float16", "bfloat16", "int8")


class FasterWhisperWer:
    """WER, CER and entity WER of what `faster_whisper.WhisperModel.transcribe` hears, one clip after the other.

    At temperature 0 only: CTranslate2's random numbers cannot be set for a clip, so a transcript of a higher
    temperature would depend on the clips before it. What fails the thresholds is flagged instead. Clips of at most 30 s
    are decoded without timestamps and with as many tokens as their duration allows. Details: those of
    `metrics.wer_whisper.WhisperWer`.
    """

    spec = MetricSpec(
        name="wer",
        version="2",
        columns=wer_columns("by Whisper"),
        sample_rate=SAMPLE_RATE,
        needs=frozenset({"text"}),
        judge="standard",
        source="Radford et al.: Robust speech recognition via large-scale weak supervision, ICML 2023; faster-whisper",
        options={
            "model": Option(
                AUTO,
                "tiny.en ... large-v3-turbo, or the path of a folder in CTranslate2's format; auto is large-v3-turbo "
                "on CUDA, base.en (base for another language) elsewhere, or the one of the two that is on disk",
            ),
            "language": Option("en", "what is spoken, by its code (en, hi, ta)"),
            "beam": Option(5, "beams of the search; 0 and 1 decode greedily", low=0, high=MOST_BEAMS),
            "dtype": Option(AUTO, "auto is float16 on CUDA, float32 elsewhere", choices=DTYPES),
        },
        on_request=True,
        cpu_only=True,  # of the audio: CTranslate2 moves it by itself
    )

    def __init__(
        self, device: str = "cpu", model: str = AUTO, language: str = "en", beam: int = 5, dtype: str = AUTO
    ) -> None:
        check_options(model, language, beam, dtype, DTYPES)
        self._device = torch.device(device)
        self._asked, self._language, self._beam = model, language, beam
        self._dtype = dtype if dtype != AUTO else "float16" if self._device.type == "cuda" else "float32"
        self._loaded: Any = None  # faster_whisper.WhisperModel

    def score(self, batch: ClipBatch) -> Scores:
        """WER, CER and entity WER per clip. Raises ValueError if the model is missing or cannot be loaded."""
        return score_heard(self.spec, batch, lambda clips: [self._hear(clip) for clip in clips])

    def applies(self, info: ClipInfo) -> frozenset[str]:
        """See `metrics.wer.applying`."""
        return applying(info)

    def _hear(self, clip: Tensor) -> Heard:
        if self._loaded is None:
            self._loaded = self._load()
        seconds = len(clip) / SAMPLE_RATE
        short = content_frames(len(clip)) <= WINDOW_FRAMES
        limit = token_limit(self._language, seconds) if short else None
        found, _ = self._loaded.transcribe(
            clip.cpu().numpy(),
            language=self._language,
            beam_size=max(1, self._beam),
            temperature=TEMPERATURES[0],
            without_timestamps=short,
            max_new_tokens=limit,
        )
        segments = list(found)
        return Heard("".join(segment.text for segment in segments).strip(), seconds, _evidence(segments, limit))

    def _load(self) -> Any:
        from faster_whisper import WhisperModel

        folder = require(KIND, self._model).path
        if not (folder / "tokenizer.json").is_file():  # faster-whisper would download one
            raise ValueError(f"{folder} has no tokenizer.json: give a folder that holds a whole faster-whisper model.")
        try:
            model = WhisperModel(
                str(folder),
                device=self._device.type,
                device_index=self._device.index or 0,
                compute_type=self._dtype,
                cpu_threads=torch.get_num_threads(),
            )
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"faster-whisper cannot load {folder} in {self._dtype}: {error}") from error
        check_language(self._model, self._language, model.supported_languages)
        return model

    @cached_property
    def _model(self) -> str:
        return choose_model(self._asked, self._device, self._language, KIND)

    def close(self) -> None:
        """Let go of the model."""
        self._loaded = None

    def passport(self) -> Passport:
        weights = require(KIND, self._model)
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge=weights.name,
            weights_sha256=weights.sha256,
            parameters=parameters(self._language, self._beam, self._dtype, TEMPERATURES[:1]),
            packages=versions("ctranslate2", "faster-whisper", "jiwer", "torch"),
        )

    @classmethod
    def unavailable(cls, model: str = AUTO, language: str = "en", beam: int = 5, dtype: str = AUTO) -> str | None:
        return missing_packages(("faster_whisper", "jiwer"), KIND) or missing_weights(model, language, KIND)


def _evidence(segments: Sequence[Any], limit: int | None) -> Evidence | None:
    cut = limit is not None and sum(len(segment.tokens) for segment in segments) >= limit
    return worst(
        [
            Evidence(
                avg_logprob=segment.avg_logprob,
                no_speech_prob=segment.no_speech_prob,
                compression_ratio=segment.compression_ratio,
                temperature=segment.temperature,
                cut=cut,
            )
            for segment in segments
        ]
    )
