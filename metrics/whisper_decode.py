"""Transcripts of many clips at once, each as `whisper.transcribe` gives it for the clip alone."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metrics.precision import full_float32
from metrics.whisper_heard import (
    COMPRESSION_RATIO,
    LOGPROB,
    MOST_TOKENS,
    NO_SPEECH,
    TEMPERATURES,
    Evidence,
    Heard,
    token_limit,
    worst,
)
from metrics.whisper_mel import SAMPLE_RATE, WINDOW_FRAMES, content_frames, log_mels
from metrics.whisper_model import clips_at_once
from metrics.whisper_search import Beam, Limits, Sampled


@dataclass(frozen=True)
class Decoded(Evidence):
    """One window."""

    tokens: list[int]
    text: str


@dataclass(frozen=True)
class Transcriber:
    """Hears clips with one model. beam: 0 or 1 decodes greedily."""

    model: Any  # whisper.model.Whisper
    dtype: torch.dtype
    language: str
    beam: int

    def hear(self, clips: Sequence[Tensor]) -> list[Heard]:
        """clips: float32 [samples] each, 16 kHz, neither empty nor silent. In batches of clips of similar duration."""
        with full_float32(self.model.device):  # of what is not in `dtype`
            return self._hear(clips)

    def _hear(self, clips: Sequence[Tensor]) -> list[Heard]:
        heard: dict[int, Heard] = {}
        short: list[int] = []
        for index, clip in enumerate(clips):
            frames = content_frames(len(clip))
            if frames > WINDOW_FRAMES:
                heard[index] = self._hear_long(clip)
            elif frames:
                short.append(index)
            else:  # nothing to hear
                heard[index] = Heard("", len(clip) / SAMPLE_RATE, None)
        short.sort(key=lambda index: len(clips[index]))
        at_once = clips_at_once(self.model.dims, max(1, self.beam), self.dtype, self.model.device)
        for start in range(0, len(short), at_once):
            indices = short[start : start + at_once]
            heard |= zip(indices, self._hear_windows([clips[index] for index in indices]), strict=True)
        return [heard[index] for index in range(len(clips))]

    def _hear_windows(self, clips: Sequence[Tensor]) -> list[Heard]:
        features = self.encode(log_mels(clips, self.model.dims.n_mels, self.model.device))
        decoded = self._decode_with_fallback(features, clips)
        return [_heard(result, clip) for result, clip in zip(decoded, clips, strict=True)]

    def _decode_with_fallback(self, features: Tensor, clips: Sequence[Tensor]) -> list[Decoded]:
        limits = [token_limit(self.language, len(clip) / SAMPLE_RATE) for clip in clips]
        results = self.decode(features, self._options(TEMPERATURES[0]), limits, [0] * len(clips))
        failed = [index for index, result in enumerate(results) if result.failed]
        seeds = {index: seed(clips[index]) for index in failed}
        for temperature in TEMPERATURES[1:]:
            if not failed:
                break
            again = self.decode(
                features[failed],
                self._options(temperature),
                [limits[index] for index in failed],
                [seeds[index] for index in failed],
            )
            for index, result in zip(failed, again, strict=True):
                results[index] = result
            failed = [index for index in failed if results[index].failed]
        return results

    def _options(self, temperature: float) -> Any:
        from whisper.decoding import DecodingOptions

        beam = self.beam if self.beam > 1 and temperature == 0 else None
        return DecodingOptions(
            language=self.language, temperature=temperature, beam_size=beam, without_timestamps=True, fp16=False
        )

    @torch.no_grad()
    def encode(self, mels: Tensor) -> Tensor:
        """[windows, mels, 3000] -> [windows, 1500, state], in the model's precision."""
        features: Tensor = self.model.encoder(mels.to(self.dtype))
        return features

    @torch.no_grad()
    def decode(self, features: Tensor, options: Any, limits: Sequence[int], seeds: Sequence[int]) -> list[Decoded]:
        """What `whisper.decode` gives for each window alone with `sample_len` at its limit.

        options: a `whisper.decoding.DecodingOptions`; seeds: of each window's random numbers, above temperature 0.
        The package's own batches do not beam, and share one stream of random numbers.
        """
        from whisper.decoding import DecodingTask

        task = DecodingTask(self.model, options)  # prompt, suppressed tokens, cache of keys and values
        eot, group, device = task.tokenizer.eot, task.n_group, features.device
        if options.temperature > 0:
            task.decoder = Sampled(options.temperature, seeds, max(limits), eot, device)
        elif group > 1:
            task.decoder = Beam(task.decoder)
        rows = torch.tensor(limits, device=device).repeat_interleave(group)
        task.logit_filters.append(Limits(rows, task.sample_begin, eot))
        task.sample_len = max(limits)
        task.decoder.reset()
        prompt = torch.tensor([task.initial_tokens], device=device).repeat(len(rows), 1)
        tokens, sums, no_speech = task._main_loop(features.repeat_interleave(group, dim=0), prompt)
        ended, sums = task.decoder.finalize(tokens.reshape(len(limits), group, -1), sums.reshape(len(limits), group))
        said = [[one[task.sample_begin : (one == eot).nonzero()[0, 0]].tolist() for one in some] for some in ended]
        best = task.sequence_ranker.rank(said, sums)
        return [
            _decoded(task, said[window][place], sums[window][place], no_speech[window * group], limits[window])
            for window, place in enumerate(best)
        ]

    def _hear_long(self, clip: Tensor) -> Heard:
        """A clip of more than 30 s by `whisper.transcribe`, window after window."""
        from whisper import transcribe

        result = transcribe(
            _Seeded(self, seed(clip)),
            clip.to(self.model.device),
            temperature=TEMPERATURES,
            compression_ratio_threshold=COMPRESSION_RATIO,
            logprob_threshold=LOGPROB,
            no_speech_threshold=NO_SPEECH,
            language=self.language,
            beam_size=self.beam if self.beam > 1 else None,
            fp16=False,  # mels arrive in float32; `encode` casts them
        )
        text = "".join(segment["text"] for segment in result["segments"])
        return Heard(text.strip(), len(clip) / SAMPLE_RATE, _evidence(result["segments"]))


@dataclass(frozen=True)
class _Seeded:
    """What `whisper.transcribe` asks of a model, with random numbers that depend on the clip alone."""

    transcriber: Transcriber
    seed: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transcriber.model, name)

    def decode(self, mel: Tensor, options: Any) -> Decoded:
        return self.transcriber.decode(self.transcriber.encode(mel[None]), options, [MOST_TOKENS], [self.seed])[0]


def seed(clip: Tensor) -> int:
    """Of a clip's random numbers: the same for the same samples, whatever else is in the batch."""
    return zlib.crc32(clip.cpu().contiguous().numpy().tobytes())


def _decoded(task: Any, tokens: list[int], logprob: float, no_speech_prob: float, limit: int) -> Decoded:
    """The sequence that a `whisper.decoding.DecodingTask` chose for a window."""
    from whisper.utils import compression_ratio

    return Decoded(
        tokens=tokens,
        text=task.tokenizer.decode([token for token in tokens if token < task.tokenizer.eot]).strip(),
        avg_logprob=logprob / (len(tokens) + 1),
        no_speech_prob=no_speech_prob,
        compression_ratio=compression_ratio(task.tokenizer.decode(tokens).strip()),
        temperature=task.options.temperature,
        cut=len(tokens) >= limit,
    )


def _heard(result: Decoded, clip: Tensor) -> Heard:
    return Heard("" if result.silence else result.text, len(clip) / SAMPLE_RATE, result)


def _evidence(segments: Sequence[Mapping[str, Any]]) -> Evidence | None:
    names = ("avg_logprob", "no_speech_prob", "compression_ratio", "temperature")
    return worst([Evidence(**{name: segment[name] for name in names}, cut=False) for segment in segments])
