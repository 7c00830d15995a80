"""CosyVoice's own classes, small and random, through the engine. Run by hand: see docs/engines/cosyvoice.md.

    PYTHONPATH=<evalkit> python real_checkout.py CHECKOUT 2|3

Prints one line of JSON: what was measured.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

sys.path.insert(0, str(Path(__file__).parent))
import small_model

from evalkit.checkpoints import canonical, recognise
from evalkit.engines.base import Layout, Request, Setup, Speech, Voice
from evalkit.engines.cosyvoice.engine import CosyVoice
from evalkit.errors import EvalkitError

TEXTS = ("hello there my friend", "one more sentence", "short", "the last of the four sentences")
RATE = 24000


def stub_loading() -> None:
    """torchaudio from 2.9 on reads files through torchcodec; CosyVoice asks for its older soundfile backend."""
    import torchaudio

    def load(path: str, backend: str = "soundfile") -> tuple[torch.Tensor, int]:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return torch.from_numpy(samples.T.copy()), rate

    torchaudio.load = load


def speak(engine: CosyVoice, voice: Voice, text: str, seed: int = 1, **options: Any) -> Speech:
    (speech,) = engine.synthesize([Request("a", text, seed, voice, options=options)])
    return speech


def main(source: Path, version: int, folder: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    stub_loading()
    sys.path[:0] = [str(source), str(source / "third_party" / "Matcha-TTS")]
    small_model.write(folder, version, seed=1)
    small_model.write_networks(folder, version, seed=2)
    clip = folder / "clip.wav"
    tone = 0.3 * np.sin(2 * np.pi * 150 * np.arange(2 * RATE) / RATE) * np.random.default_rng(0).random(2 * RATE)
    soundfile.write(clip, tone, RATE)

    engine = CosyVoice()
    before = random.getstate(), torch.get_rng_state()
    started = time.perf_counter()
    engine.set_up(Setup({"source": source, "model_dir": folder}))
    found: dict[str, Any] = {
        "set_up_s": time.perf_counter() - started,
        "class": type(engine._tts).__name__,
        "front_end": engine.spec.front_end,
        "sample_rate": engine.spec.sample_rate,
        "random_state_kept": random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[1]),
    }
    voice = engine.prepare_voice(clip, "what is said in the clip")
    speeches = [speak(engine, voice, text) for text in TEXTS]
    found["statuses"] = [speech.status for speech in speeches]
    found["reasons"] = [speech.reason for speech in speeches]
    found["seconds"] = [len(speech.audio) / RATE for speech in speeches]
    found["details"] = [dict(speech.details) for speech in speeches]
    again, other = speak(engine, voice, TEXTS[0]), speak(engine, voice, TEXTS[0], seed=2)
    found["same_seed_same_audio"] = torch.equal(again.audio, speeches[0].audio)
    found["other_seed_other_audio"] = not torch.equal(other.audio, speeches[0].audio)
    found["parity"] = parity(engine, clip, voice)
    found["sections"] = sections(engine, voice, folder)
    found["stream"] = stream(engine, voice)
    found["failing_llm"] = failing(engine, voice)
    return found


def parity(engine: CosyVoice, clip: Path, voice: Voice) -> dict[str, Any]:
    """The engine against CosyVoice called as its own example does: with the clip, seeded beforehand."""
    tts, text, prompt = engine._tts, TEXTS[0], "what is said in the clip"
    if type(tts).__name__ == "CosyVoice3":
        prompt = "You are a helpful assistant.<|endofprompt|>" + prompt
    ours = speak(engine, voice, text, seed=1)
    torch.manual_seed(1)
    own = torch.cat([made["tts_speech"] for made in tts.inference_zero_shot(text, prompt, str(clip))], dim=1)[0]
    same = len(own) == len(ours.audio)
    return {"samples": [len(own), len(ours.audio)], "largest": float((own - ours.audio).abs().max()) if same else None}


def sections(engine: CosyVoice, voice: Voice, folder: Path) -> dict[str, Any]:
    """Every file of the folder as a checkpoint: loads, is read back, is heard when it changes, is refused in part."""
    found: dict[str, Any] = {}
    for name in ("llm", "flow", "hift"):
        raw = torch.load(folder / f"{name}.pt", weights_only=True)
        given = dict(canonical({**raw, "epoch": torch.tensor(3), "step": torch.tensor(9)}).tensors)
        digest = engine.load(given)
        read = engine.weights()
        plain = speak(engine, voice, TEXTS[0])
        changed = {key: value for key, value in given.items() if key not in ("epoch", "step")}
        key = max((k for k in changed if changed[k].ndim > 1 and "embed_tokens" not in k and "lm_head" not in k),
                  key=lambda k: changed[k].numel())  # fmt: skip
        changed[key] = changed[key] * 1.5 + 0.05
        other_digest = engine.load(changed)
        heard = speak(engine, voice, TEXTS[0])
        found[name] = {
            "recognised": recognise(given, {"cosyvoice": CosyVoice.spec.layouts}),
            "layouts": [layout.name for layout in CosyVoice.spec.layouts if fits(given, layout)],
            "tensors": len(read),
            "read_back": set(read) == set(changed) and all(torch.equal(read[k], given[k]) for k in read),
            "notes": list(engine.notes) if name == "hift" else len(engine.notes),
            "digests_differ": digest != other_digest,
            "changed": key,
            "heard": len(heard.audio) != len(plain.audio) or not torch.equal(heard.audio, plain.audio),
            "refused": refusals(engine, given),
        }
    return found


def fits(given: dict[str, torch.Tensor], layout: Layout) -> bool:
    sections = {key.partition(".")[0] for key in given}
    return sections.issuperset(layout.sections) and all(marker in given for marker in layout.markers)


def refusals(engine: CosyVoice, given: dict[str, torch.Tensor]) -> list[str]:
    key = next(k for k in given if given[k].ndim > 1)
    rest = {k: v for k, v in given.items() if k != key}
    cases = (
        {**rest},
        {**given, "extra.weight": given[key]},
        {**rest, key: given[key][..., :-1]},
        {**rest, key + "x": given[key]},
    )
    said = []
    for case in cases:
        try:
            engine.load(case)
            said.append("LOADED")
        except EvalkitError as error:
            said.append(str(error)[:400])
    return said


def stream(engine: CosyVoice, voice: Voice) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    for _ in range(2):  # the second time, CosyVoice by itself would wait for more tokens
        times, chunks = [time.perf_counter()], []
        for chunk in engine.stream(Request("a", TEXTS[3], 1, voice)):
            times.append(time.perf_counter())
            chunks.append(len(chunk))
        found.append({"chunks": chunks, "first_s": times[1] - times[0], "total_s": times[-1] - times[0]})
    left = engine.stream(Request("a", TEXTS[3], 1, voice))
    next(left)
    left.close()
    kept = {k: len(v) for k, v in vars(engine._tts.model).items() if k.endswith("_dict") and isinstance(v, dict) and v}
    return {"twice": found, "kept_of_a_stream_left_early": kept}


def failing(engine: CosyVoice, voice: Voice) -> dict[str, Any]:
    """The language model raises after ten tokens, as it may on a GPU: a status, and an error instead of a hang."""
    llm = engine._tts.model.llm
    forward, calls = llm.llm.forward_one_step, []

    def broken(*given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) > 10:
            raise RuntimeError("no more tokens")
        return forward(*given, **named)

    llm.llm.forward_one_step = broken
    try:
        speech = speak(engine, voice, TEXTS[0])
        calls.clear()
        try:
            list(engine.stream(Request("a", TEXTS[0], 1, voice)))
            streamed = "no error"
        except EvalkitError as error:
            streamed = str(error)
    finally:
        llm.llm.forward_one_step = forward
    return {"status": speech.status, "reason": speech.reason, "streamed": streamed}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        print(json.dumps(main(Path(sys.argv[1]).resolve(), int(sys.argv[2]), Path(made))))
