"""Prints how far the engine is from the package: prompts, greedy speech, streaming, and what may be drawn."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reference import answer, engine_of, package_tts, quietly

from evalkit.engines.base import Example, Request
from evalkit.engines.neutts.codec import Watermark, load_codec
from evalkit.engines.neutts.example import write_example
from evalkit.engines.neutts.generation import Sampling, choose, generate
from evalkit.engines.neutts.noise import keys
from evalkit.engines.neutts.prompt import FrontEnd, Prompter, prompt_text
from evalkit.engines.neutts.streaming import stream_audio
from evalkit.engines.neutts.voices import read_voice

TEXTS = (
    "Good morning.",
    "“Don’t” – he said – “go to Thiruvananthapuram”!",
    "Dr. Rao’s ﬁle costs ₹1,250.50; call 080-2345.",
    "naïve café, अनन्या.",
)
LIMIT = 600  # tokens of prompt and speech


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    phonemes, bpe = folder / "phonemes", folder / "bpe"
    for place, form in ((phonemes, "phonemes"), (bpe, "BPE")):
        place.mkdir()
        write_example(place, 4, form)  # whose greedy speech ends
    reading_phonemes = package_tts(phonemes / "backbone", phonemes / "codec.safetensors")
    reading_text = package_tts(bpe / "backbone", bpe / "codec.safetensors")
    answer(
        {
            "prompts_phonemes": prompts(reading_phonemes, "phonemes", "neutral"),
            "prompts_bpe": prompts(reading_text, "BPE", "neutral"),
            "prompts_emotion": prompts(reading_text, "BPE", "happy"),
            "strings_phonemes": strings(reading_phonemes, "phonemes"),
            "strings_bpe": strings(reading_text, "BPE"),
            "greedy": greedy(phonemes, reading_phonemes),
            "bfloat16_weights": bfloat16(phonemes),
            "greedy_batch": batch_against_generate(phonemes, reading_phonemes),
            "stream": streaming(reading_phonemes, phonemes / "codec.safetensors"),
            "drawn_from": candidates(),
        }
    )


def prompts(tts: Any, form: Any, emotion: str) -> list[bool]:
    front, prompter = FrontEnd(form, "en-us"), Prompter(tts.tokenizer, form)
    codes = [5, 0, 511, 42]
    return [
        tts._apply_chat_template(codes, TEXTS[0], text, None if emotion == "neutral" else emotion)
        == prompter.ids(front.read(TEXTS[0]), front.read(text), codes, emotion)
        for text in TEXTS
    ]


def strings(tts: Any, form: Any) -> list[bool]:
    front = FrontEnd(form, "en-us")
    return [
        tts._ggml_prompt([7, 8], TEXTS[0], text) == prompt_text(form, front.read(TEXTS[0]), front.read(text), [7, 8])
        for text in TEXTS
    ]


def greedy(folder: Path, tts: Any) -> dict[str, Any]:
    """`infer` of the package with top_k 1 against the engine in one batch."""
    tts.max_context = LIMIT
    voice = read_voice(folder / "voice.npy", None)
    example = Example(folder / "backbone", TEXTS, settings=(f"codec={folder / 'codec.safetensors'}",))
    engine = engine_of(example, "dtype=float32", "top_k=1", f"max_length={LIMIT}")
    options = {"top_k": 1, "max_length": LIMIT}
    requests = [Request(str(i), t, i, voice, options=options) for i, t in enumerate(TEXTS)]
    said = engine.synthesize(requests)
    theirs = [quietly(tts.infer, t, voice.data.codes, voice.data.text, top_k=1) for t in TEXTS]
    return {
        "status": [speech.status for speech in said],
        "seconds": [len(speech.audio) / 24000 for speech in said],
        "lengths_equal": [len(a.audio) == len(b) for a, b in zip(said, theirs, strict=True)],
        "largest": max(
            float((a.audio - torch.from_numpy(b)).abs().max())
            for a, b in zip(said, theirs, strict=True)
            if len(a.audio) == len(b)
        ),
    }


def batch_against_generate(folder: Path, tts: Any) -> list[bool]:
    """Greedy tokens of prompts of many lengths in one batch against transformers' `generate`, one by one."""
    prompter, front = Prompter(tts.tokenizer, "phonemes"), FrontEnd("phonemes", "en-us")
    ids = [prompter.ids("", front.read(text), range(25 * n)) for n, text in enumerate(TEXTS, 1)]
    how = Sampling(end=prompter.end, top_k=1, min_new_tokens=50, max_length=LIMIT)
    ours = generate(tts.backbone.eval(), ids, [0] * len(ids), how)
    theirs = [
        tts.backbone.generate(
            torch.tensor([row]), max_length=LIMIT, min_new_tokens=50, eos_token_id=prompter.end, do_sample=False
        )[0, len(row) :].tolist()
        for row in ids
    ]
    return [a == b for a, b in zip(ours, theirs, strict=True)]


def bfloat16(folder: Path) -> bool:
    """Whether the backbone in bfloat16 holds the very weights that the package's does."""
    example = Example(folder / "backbone", TEXTS, settings=(f"codec={folder / 'codec.safetensors'}",))
    theirs = package_tts(folder / "backbone", folder / "codec.safetensors", None).backbone.state_dict()
    ours = engine_of(example, "dtype=bfloat16").weights()
    return bool(ours) and all(torch.equal(theirs[key].float(), tensor) for key, tensor in ours.items())


class Messages:
    """llama-cpp-python as far as the package's streaming uses it: codes come as text, one a message."""

    def __init__(self, codes: Sequence[int]) -> None:
        self.codes = codes

    def reset(self) -> None:
        pass

    def __call__(self, prompt: str, **options: Any) -> Iterator[dict[str, Any]]:
        for code in self.codes:
            yield {"choices": [{"text": f"<|speech_{code}|>"}]}


def streaming(tts: Any, codec_path: Path) -> dict[str, Any]:
    """The package's chunks against ours over lengths of speech and voice, without and with the watermark."""
    generator = np.random.default_rng(0)
    codec, watermark = load_codec(codec_path), Watermark()
    backbone, mark = tts.backbone, tts.watermarker
    largest, shapes = 0.0, True
    cases = [(n, ref, False) for n in (1, 24, 29, 30, 31, 54, 55, 56, 130) for ref in (1, 40, 70)] + [(90, 40, True)]
    for count, reference, marked in cases:
        codes = generator.integers(0, 512, count).tolist()
        before = generator.integers(0, 512, reference).tolist()
        tts.backbone, tts.watermarker = Messages(codes), mark if marked else None
        theirs = quietly(lambda b=before: list(tts._infer_stream_ggml(b, "Hello.", "Hello.")))
        decode = (lambda c: watermark(codec.decode(c))) if marked else codec.decode
        ours = list(stream_audio(before, codes, decode))
        shapes &= [len(chunk) for chunk in ours] == [len(chunk) for chunk in theirs]
        largest = max([largest, *(float(abs(a.numpy() - b).max()) for a, b in zip(ours, theirs, strict=False))])
    tts.backbone, tts.watermarker = backbone, mark
    return {"cases": len(cases), "lengths_equal": shapes, "largest": largest}


def candidates() -> list[bool]:
    """Which tokens can be drawn, against transformers' processors, with ties at the k-th best among the logits."""
    from transformers import MinNewTokensLengthLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper

    generator = torch.Generator().manual_seed(0)
    same = []
    for step in (0, 9, 10):
        logits = (torch.randn(1, 60, generator=generator) * 2).round() / 2  # many ties
        ids = torch.zeros(1, 5 + step, dtype=torch.long)
        scores = MinNewTokensLengthLogitsProcessor(5, 10, 3)(ids, logits.clone())
        scores = TopKLogitsWarper(8)(ids, TemperatureLogitsWarper(0.7)(ids, scores))
        how = Sampling(end=3, temperature=0.7, top_k=8, min_new_tokens=10)
        drawn = choose(logits.expand(20000, -1).clone(), keys(range(20000)), step, how)
        same.append(set(drawn.tolist()) == set(scores[0].isfinite().nonzero().flatten().tolist()))
    return same


if __name__ == "__main__":
    main()
