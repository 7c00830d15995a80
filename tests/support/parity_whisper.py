"""The Whisper judge held against openai-whisper itself, one clip at a time, with the same small random weights.

The checks raise AssertionError; tests/metrics/test_mutations_whisper.py shows that they do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from metrics import whisper_decode, whisper_mel
from metrics.base import ClipBatch, ClipInfo
from metrics.wer_whisper import WhisperWer
from metrics.whisper_decode import Transcriber, seed

TEXT = "please call the young man tomorrow morning"


def tiny_model(n_mels: int = 80, *, english: bool = True, loops: bool = False, timestamps: bool = False) -> Any:
    """`whisper.model.Whisper` of 64 channels and 2 layers, whose words depend on the audio and end by themselves.

    Plain random weights say one word for ever, whatever they hear; these attend sharply and lean towards the end token.
    loops: lean less, and repeat yourself more. timestamps: also say when, unasked.
    """
    from whisper.model import ModelDimensions, Whisper
    from whisper.tokenizer import get_tokenizer

    vocabulary = 51864 if english else 51865 if n_mels == 80 else 51866
    model = Whisper(ModelDimensions(n_mels, 1500, 64, 2, 2, vocabulary, 448, 64, 2, 2)).eval()
    numbers = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if name == "decoder.positional_embedding":
                weight.normal_(0, 0.3, generator=numbers)
            elif name == "decoder.token_embedding.weight":
                weight.normal_(0, 1, generator=numbers)
            elif weight.ndim > 1:
                sharp = "cross" in name or "conv" in name
                weight.normal_(0, (4 if sharp else 1.5) / math.sqrt(weight[0].numel()), generator=numbers)
            elif not name.endswith("weight"):  # of the norms, which stay 1
                weight.normal_(0, 0.1, generator=numbers)
        model.encoder.positional_embedding *= 0.3
        tokenizer = get_tokenizer(not english, num_languages=model.num_languages)
        model.decoder.ln.bias[0] = 3
        model.decoder.token_embedding.weight[:, 0] = 0
        model.decoder.token_embedding.weight[tokenizer.eot, 0] = 5 if loops else 8
        if not timestamps:
            model.decoder.token_embedding.weight[tokenizer.timestamp_begin :, 0] = -20
    return model


def save(model: Any, path: Path) -> Path:
    """As openai-whisper stores its models."""
    torch.save({"dims": vars(model.dims), "model_state_dict": model.state_dict()}, path)
    return path


def transcriber(model: Any, beam: int = 0, language: str = "en") -> Transcriber:
    return Transcriber(model, torch.float32, language, beam)


def batch_of(clips: Sequence[Tensor]) -> ClipBatch:
    return ClipBatch.of(list(clips), 16000, [ClipInfo(str(number), text=TEXT) for number in range(len(clips))])


def check_mels(clips: Sequence[Tensor]) -> None:
    """The spectrograms are those that `whisper.transcribe` makes of each clip."""
    from whisper.audio import N_FRAMES, N_SAMPLES, log_mel_spectrogram, pad_or_trim

    for n_mels in (80, 128):
        ours = whisper_mel.log_mels(clips, n_mels)
        assert ours.shape == (len(clips), n_mels, N_FRAMES)
        for clip, mel in zip(clips, ours, strict=True):
            whole = log_mel_spectrogram(clip, n_mels, padding=N_SAMPLES)
            theirs = pad_or_trim(whole[:, : whole.shape[-1] - N_FRAMES], N_FRAMES)
            assert torch.allclose(mel, theirs, atol=1e-5), float((mel - theirs).abs().max())


def expected_limit(clip: Tensor, language: str) -> int:
    return min(224, math.ceil((8 if language == "en" else 40) * len(clip) / 16000) + 20)


def first_pass(ours: Transcriber, clips: Sequence[Tensor]) -> list[Any]:
    """What the judge decodes at temperature 0, all clips in one batch."""
    with patch("metrics.whisper_decode.TEMPERATURES", (0.0,)), patch.object(Transcriber, "hear", _decoded):
        return ours.hear(clips)


def _decoded(self: Transcriber, clips: Sequence[Tensor]) -> Any:
    features = self.encode(whisper_mel.log_mels(clips, self.model.dims.n_mels, self.model.device))
    return self._decode_with_fallback(features, clips)


def check_tokens(model: Any, clips: Sequence[Tensor], beam: int = 0, language: str = "en") -> list[Any]:
    """In a batch every clip gets the tokens and evidence that `whisper.transcribe` gives it alone at temperature 0."""
    from whisper import transcribe

    ours = first_pass(transcriber(model, beam, language), clips)
    for clip, result in zip(clips, ours, strict=True):
        theirs = transcribe(
            model,
            clip,
            language=language,
            temperature=0.0,
            no_speech_threshold=None,
            without_timestamps=True,
            beam_size=beam or None,
            sample_len=expected_limit(clip, language),
            fp16=False,
        )
        assert_same(result, theirs)
    return ours


def assert_same(ours: Any, theirs: dict[str, Any]) -> None:
    """One decoded window and the package's transcript of it."""
    (segment,) = theirs["segments"]
    assert ours.text == segment["text"].strip()
    if ours.text:  # of an empty one the package drops the tokens
        assert ours.tokens == segment["tokens"]
    for name in ("avg_logprob", "no_speech_prob", "temperature", *([] if ours.cut else ["compression_ratio"])):
        assert math.isclose(getattr(ours, name), segment[name], abs_tol=1e-4), name


@contextmanager
def random_numbers_of(clip: Tensor) -> Iterator[None]:
    """Let the package sample with the judge's random numbers for this clip, where it uses the global ones."""
    from whisper import decoding

    draws: list[Iterator[float]] = []
    begin = decoding.DecodingTask.__init__

    def start(task: Any, *arguments: Any) -> None:
        numbers = torch.rand(224, generator=torch.Generator().manual_seed(seed(clip)), dtype=torch.float64)
        draws[:] = [iter(numbers.tolist())]
        begin(task, *arguments)

    class Categorical:
        def __init__(self, logits: Tensor) -> None:
            self.edges = logits.double().softmax(dim=-1).cumsum(dim=-1)

        def sample(self) -> Tensor:
            return (self.edges <= next(draws[0]) * self.edges[:, -1:]).sum(dim=-1)

    with patch.object(decoding, "Categorical", Categorical), patch.object(decoding.DecodingTask, "__init__", start):
        yield


@contextmanager
def cut_windows_repeat(limit: int) -> Iterator[None]:
    """Let the package take a window that needs all its tokens for one that repeats itself, as the judge does."""
    from whisper import decoding

    run = decoding.DecodingTask.run

    def told(task: Any, mel: Tensor) -> Any:
        return [replace(one, compression_ratio=99.0) if len(one.tokens) >= limit else one for one in run(task, mel)]

    with patch.object(decoding.DecodingTask, "run", told):
        yield


def check_fallback(model: Any, clips: Sequence[Tensor], beam: int = 0) -> list[Any]:
    """With fallback too: the package, given the judge's random numbers, ends at the same temperature and tokens."""
    from whisper import transcribe

    ours = _decoded(transcriber(model, beam), clips)
    for clip, result in zip(clips, ours, strict=True):
        with random_numbers_of(clip), cut_windows_repeat(expected_limit(clip, "en")):
            theirs = transcribe(
                model,
                clip,
                language="en",
                temperature=whisper_decode.TEMPERATURES,
                without_timestamps=True,
                beam_size=beam or None,
                sample_len=expected_limit(clip, "en"),
                fp16=False,
            )
        assert_same(result, theirs)
    return ours


def check_long(model: Any, clip: Tensor, beam: int = 0) -> None:
    """A clip of more than 30 s is heard by `whisper.transcribe`."""
    from whisper import transcribe

    (ours,) = transcriber(model, beam).hear([clip])
    with random_numbers_of(clip):
        theirs = transcribe(
            model,
            clip,
            language="en",
            beam_size=beam or None,
            temperature=whisper_decode.TEMPERATURES,
            sample_len=whisper_decode.MOST_TOKENS,
            fp16=False,
        )
    assert ours.text == "".join(segment["text"] for segment in theirs["segments"]).strip() != ""
    assert ours.evidence is not None
    assert math.isclose(ours.evidence.avg_logprob, min(s["avg_logprob"] for s in theirs["segments"]), abs_tol=1e-4)
    assert ours.evidence.temperature == max(segment["temperature"] for segment in theirs["segments"])


def check_batches(model_file: Path, clips: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Columns and details of a clip are the same alone, in any batch and order, with any padding and random state."""
    metric = WhisperWer(model=str(model_file))
    together = metric.score(batch_of(clips))
    order = list(reversed(range(len(clips))))
    turned = batch_of([clips[index] for index in order])
    padded = ClipBatch(torch.nn.functional.pad(turned.audio, (0, 7000)), turned.lengths, 16000, turned.info)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    others = metric.score(padded)
    assert torch.equal(before, torch.random.get_rng_state())
    for place, index in enumerate(order):
        alone = metric.score(batch_of([clips[index]]))
        for scores, at in ((others, place), (alone, 0)):
            assert scores.details[at]["heard"] == together.details[index]["heard"]
            assert scores.details[at]["asr_flags"] == together.details[index]["asr_flags"]
            for key in ("asr_avg_logprob", "asr_no_speech_prob"):
                assert math.isclose(scores.details[at][key], together.details[index][key], abs_tol=1e-4)
            for column in ("wer", "cer"):
                assert math.isclose(scores[column][at], together[column][index], abs_tol=1e-4)
    return together.details
