"""Speaks with the engine and with the package, on the same tiny GGUF file, codec and seeds, and compares the audio."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import torch
from neutts import NeuTTS

from evalkit.engines.base import Request, Setup
from evalkit.engines.neutts.codec import load_codec, write_random_codec
from evalkit.engines.neutts.gguf import NeuTTSGguf
from evalkit.engines.neutts.gguf_write import main
from evalkit.errors import EvalkitError

VOICE_TEXT = "Hello there, this is me."
TEXTS = ("Hello.", "This is a test of the system.", "One more sentence, please.", "Is it 12 or 345?")
THREADS = 1


class Package(NeuTTS):  # type: ignore[misc]
    """The package with a codec that lies on the disk, which its own list of codecs has no place for."""

    def __init__(self, backbone: Path, codec: Path) -> None:
        self._own_codec = load_codec(codec).network  # type: ignore[attr-defined]
        super().__init__(str(backbone), language="en-us")
        self.watermarker = None

    def _load_codec(self, codec_repo: str, codec_device: str) -> None:
        self.codec = self._own_codec


def quietly(call: Any, *arguments: Any) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        return call(*arguments)


def engine(path: Path, codec: Path, **options: Any) -> NeuTTSGguf:
    made = NeuTTSGguf()
    made.set_up(Setup({"codec": codec}, {"watermark": False, "n_threads": THREADS, **options}))
    made.load_file(path)
    return made


def compare(path: Path, codec: Path, codes: Path, seeds: int) -> dict[str, Any]:
    """Over many seeds, and so many lengths: are the clips, and the chunks, equal?"""
    ours = engine(path, codec)
    package = quietly(Package, path, codec)
    voice = ours.prepare_voice(codes, VOICE_TEXT)
    reference = np.load(codes)
    lengths, unequal, difference, chunks = [], [], 0.0, 0
    for seed in range(seeds):
        text = TEXTS[seed % len(TEXTS)]
        package._seed = seed
        request = Request("one", text, seed, voice)
        speech = ours.synthesize([request])[0]
        if speech.status != "ok":
            continue
        expected = quietly(package.infer, text, reference, VOICE_TEXT)
        lengths.append(len(expected) // 480)
        same = np.array_equal(speech.audio.numpy(), expected)
        parts = [chunk.numpy() for chunk in ours.stream(request)]
        wanted = quietly(lambda text=text: list(package.infer_stream(text, reference, VOICE_TEXT)))
        same &= [len(part) for part in parts] == [len(part) for part in wanted]
        chunks += len(parts)
        if same:
            difference = max(difference, *(float(np.abs(a - b).max()) for a, b in zip(parts, wanted, strict=True)))
        else:
            unequal.append(lengths[-1])
    return {"lengths": lengths, "unequal": unequal, "difference": difference, "chunks": chunks}


def alone(path: Path, codec: Path, codes: Path) -> dict[str, Any]:
    """What must not matter and what must: order, company, threads, a request before; seed, temperature, phonemes."""
    ours = engine(path, codec)
    voice = ours.prepare_voice(codes, VOICE_TEXT)
    requests = [Request(str(i), text, seed=i + 1, voice=voice) for i, text in enumerate([*TEXTS, ""])]
    together = ours.synthesize(requests)
    one = requests[2]

    def clip(request: Request, by: NeuTTSGguf = ours) -> torch.Tensor:
        return by.synthesize([request])[0].audio

    def changed(**fields: Any) -> bool:
        return not torch.equal(clip(one), clip(Request(**{**vars(one), **fields})))

    stream = ours.stream(one)
    next(stream)
    clip(requests[0])
    interrupted = said(lambda: list(stream))
    return {
        "statuses": [speech.status for speech in together],
        "ids": [speech.id for speech in together],
        "order": all(
            torch.equal(a.audio, b.audio) for a, b in zip(together, ours.synthesize(requests[::-1])[::-1], strict=True)
        ),
        "alone": all(torch.equal(speech.audio, clip(r)) for r, speech in zip(requests, together, strict=True)),
        "new_engine": torch.equal(clip(one), clip(one, engine(path, codec))),
        "threads": torch.equal(clip(one), clip(one, engine(path, codec, n_threads=2))),
        "seed": changed(seed=99),
        "large_seed": not changed(seed=one.seed + 0xFFFFFFFF)
        and not torch.equal(
            clip(Request(**{**vars(one), "seed": 2**32 - 1})), clip(Request(**{**vars(one), "seed": 2**32 - 2}))
        ),
        "shortest": [
            len(clip(Request("s", TEXTS[1], 1, voice, options={"min_new_tokens": n}))) // 480 for n in (0, 1, 40, 300)
        ],
        "interrupted": interrupted,
        "temperature": changed(options={"temperature": 0.3}),
        "top_k": changed(options={"top_k": 1}),
        "phonemes": changed(phonemes="tˈɛst"),
        "own_phonemes": changed(phonemes=together[2].phonemes),
        "read": together[2].phonemes,
    }


def said(call: Any, *arguments: Any) -> str:
    try:
        call(*arguments)
    except EvalkitError as error:
        return str(error)
    return "no error"


def refusals(path: Path, codec: Path, codes: Path, work: Path) -> dict[str, Any]:
    ours = engine(path, codec)
    voice = ours.prepare_voice(codes, VOICE_TEXT)
    request = Request("a", TEXTS[2], seed=3, voice=voice)
    before = ours.synthesize([request])[0].audio
    data = path.read_bytes()
    broken = {
        "half": data[: len(data) // 2],
        "header": data[:100],
        "architecture": data.replace(b"qwen2", b"foo_2"),
        "text": b"hello",
        "silent": data.replace(b"<|speech_", b"<|speach_"),
        "form": data.replace(b"neuphonic.input_format", b"neuphonic.input_farmot"),
    }
    found = {}
    for name, content in broken.items():
        (work / f"{name}.gguf").write_bytes(content)
        found[name] = said(ours.load_file, work / f"{name}.gguf")
    found["missing"] = said(ours.load_file, work / "missing.gguf")
    found["tensors"] = said(ours.load, {})
    found["still"] = torch.equal(before, ours.synthesize([request])[0].audio)
    np.save(work / "far.npy", np.array([1, 2, 60000]))
    odd = {
        "no_voice": Request("a", TEXTS[0], 1),
        "far_voice": Request("a", TEXTS[0], 1, ours.prepare_voice(work / "far.npy", VOICE_TEXT)),
        "blank": Request("a", "  ", 1, voice),
        "long": Request("a", "word " * 1500, 1, voice),
        "cut": Request("a", TEXTS[2], 3, voice, options={"max_length": 170, "top_k": 1}),
        "control": Request("a", "x", 1, voice, phonemes="a <|speech_3|> b"),
        "option": Request("a", TEXTS[0], 1, voice, options={"top_k": "many"}),
        "fixed": Request("a", TEXTS[0], 1, voice, options={"watermark": True}),
        "emotion": Request("a", TEXTS[0], 1, voice, options={"emotion": "happy"}),
    }
    speeches = ours.synthesize(list(odd.values()))
    statuses = {name: [speech.status, speech.reason] for name, speech in zip(odd, speeches, strict=True)}
    streams = {name: said(lambda r=r: list(ours.stream(r))) for name, r in odd.items()}
    return {"files": found, "statuses": statuses, "streams": streams}


def control_tokens(backbone: Path, codec: Path, codes: Path, work: Path) -> dict[str, Any]:
    """The same weights with speech tokens as control tokens, which is what llama.cpp's own converter makes."""
    from unittest.mock import patch

    with patch("evalkit.engines.neutts.gguf_vocabulary._is_read_back", return_value=False):
        with patch("tiny.SPEECH_ARE_SPECIAL", True):
            tiny.write_backbone(work / "control", seed=1, speaks=True)
        assert main([str(work / "control"), str(work / "control.gguf"), "--type", "f32"]) == 0
    ours, usual = engine(work / "control.gguf", codec), engine(backbone, codec)
    package = quietly(Package, work / "control.gguf", codec)
    package._seed = 3
    package.max_context = 200
    try:
        quietly(package.infer, TEXTS[2], np.load(codes), VOICE_TEXT)
        heard = "audio"
    except ValueError as error:
        heard = str(error)
    request = Request("a", TEXTS[2], 3, ours.prepare_voice(codes, VOICE_TEXT))
    same = torch.equal(ours.synthesize([request])[0].audio, usual.synthesize([request])[0].audio)
    return {"package": heard, "same": same, "notes": ours.notes}


def example(folder: Path) -> dict[str, Any]:
    """The engine's own example, set up as a user would."""
    folder.mkdir()
    made = NeuTTSGguf.example(folder, seed=5)
    given = dict(setting.split("=", 1) for setting in made.settings)
    assert made.checkpoint is not None and made.voice is not None
    ours = engine(made.checkpoint, Path(given["codec"]), min_new_tokens=int(given["min_new_tokens"]))
    voice = ours.prepare_voice(Path(made.voice), made.voice_text)
    speeches = ours.synthesize([Request(str(i), text, i, voice) for i, text in enumerate(made.texts)])
    return {
        "statuses": [speech.status for speech in speeches],
        "seconds": [len(speech.audio) / 24000 for speech in speeches],
    }


def run(work: Path) -> dict[str, Any]:
    tiny.write_backbone(work / "backbone", seed=1, speaks=True)
    files = {kind: work / f"{kind}.gguf" for kind in ("f32", "q8_0")}
    for kind, path in files.items():
        assert main([str(work / "backbone"), str(path), "--type", kind]) == 0
    codec, codes = work / "codec.safetensors", work / "voice.npy"
    write_random_codec(codec, seed=3)
    np.save(codes, np.random.default_rng(0).integers(0, tiny.SPEECH_TOKENS, 80))
    return {
        "f32": compare(files["f32"], codec, codes, seeds=40),
        "q8_0": compare(files["q8_0"], codec, codes, seeds=10),
        "alone": alone(files["f32"], codec, codes),
        "refusals": refusals(files["f32"], codec, codes, work),
        "example": example(work / "example"),
        "control": control_tokens(files["f32"], codec, codes, work),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        result = run(Path(temporary))
    print()
    print(json.dumps(result))
    sys.stdout.flush()
