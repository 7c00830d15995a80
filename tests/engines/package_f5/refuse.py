"""What cannot be loaded or spoken, and what is said of it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import yaml
from common import System

from evalkit.engines.base import Request, Setup
from evalkit.engines.f5.configuration import MEL
from evalkit.engines.f5.engine import F5TTS
from evalkit.engines.f5.example import ARCH, CLIP_TEXT, TEXTS
from evalkit.engines.f5.network import ROTARY
from evalkit.engines.f5.text import read_vocabulary
from evalkit.errors import EvalkitError


class Code:
    """A pickle of this runs a command when it is read without care."""

    def __reduce__(self) -> Any:
        return print, ("run",)


def said(act: Callable[[], object]) -> str:
    try:
        act()
    except EvalkitError as error:
        return str(error)
    return "nothing"


def clips(folder: Path, engine: F5TTS) -> dict[str, str]:
    noise = np.random.default_rng(0)
    soundfile.write(folder / "silent.wav", 1e-4 * noise.standard_normal(48000), 24000)
    soundfile.write(folder / "short.wav", 0.1 * noise.standard_normal(4800), 24000)
    (folder / "no.wav").write_text("no")
    return {
        "silent clip": said(lambda: engine.prepare_voice(folder / "silent.wav", CLIP_TEXT)),
        "short clip": said(lambda: engine.prepare_voice(folder / "short.wav", CLIP_TEXT)),
        "no clip": said(lambda: engine.prepare_voice(folder / "no.wav", CLIP_TEXT)),
        "no text": said(lambda: engine.prepare_voice(folder / "silent.wav", " ")),
    }


def assets(system: System) -> dict[str, str]:
    folder = system.folder
    good = {
        "vocoder": folder / "vocos-mel-24khz",
        "vocab": folder / "vocab.txt",
        "model_cfg": folder / "model_cfg.yaml",
    }
    (folder / "short.txt").write_text(" \na\nb\n")
    odd = {"model": {"backbone": "DiT", "arch": ARCH | {"dim": 61}, "mel_spec": dict(MEL)}}
    (folder / "odd.yaml").write_text(yaml.safe_dump(odd))
    for name in ("bare", "other", "code"):
        shutil.copytree(good["vocoder"], folder / name)
    (folder / "bare" / "pytorch_model.bin").unlink()
    torch.save({"head.out.weight": torch.zeros(3)}, folder / "other" / "pytorch_model.bin")
    torch.save({"head.out.weight": Code()}, folder / "code" / "pytorch_model.bin")

    def set_up(change: dict[str, Path], config: str = "auto", load: bool = False) -> str:
        chosen = good | change
        if config != "auto" and not change:
            del chosen["model_cfg"]
        engine = F5TTS()

        def act() -> None:
            engine.set_up(Setup(chosen, {"config": config}))
            if load:
                engine.load(system.weights)

        return said(act)

    return {
        "other vocabulary": set_up({"vocab": folder / "short.txt"}, load=True),
        "other size": set_up({}, "F5TTS_v1_Small", load=True),
        "two configurations": set_up({"model_cfg": good["model_cfg"]}, "F5TTS_Base"),
        "impossible size": set_up({"model_cfg": folder / "odd.yaml"}),
        "vocoder without weights": set_up({"vocoder": folder / "bare"}),
        "vocoder of another size": set_up({"vocoder": folder / "other"}),
        "vocoder as code": set_up({"vocoder": folder / "code"}),
    }


def weights(system: System, engine: F5TTS) -> dict[str, Any]:
    table = system.cfm.state_dict()[ROTARY]
    wrong = said(lambda: engine.load({**system.weights, ROTARY: table * 1.1}))
    engine.load({**system.weights, ROTARY: table.bfloat16().float()})
    return {
        "rotary table": wrong,
        "rounded table": engine.notes[-1],
        "own vocabulary": len(read_vocabulary(None).index),
        "not set up": said(lambda: F5TTS().load(system.weights)),
        "not loaded": said(lambda: system.engine(load=False).synthesize([Request("a", "a", 0)])),
    }


def texts(system: System, engine: F5TTS) -> dict[str, Any]:
    voice = engine.prepare_voice(system.clip, CLIP_TEXT)
    asked = {text: text for text in ("", "... !", "привет", "A naïve snowman ☃.")} | {"long": TEXTS[3] * 12}
    spoken = engine.synthesize([Request(name, text, 0, voice, options={"steps": 2}) for name, text in asked.items()])
    dropped = next(speech.details["dropped"] for speech in spoken if speech.status == "ok")
    return {"statuses": {speech.id: speech.status for speech in spoken}, "dropped": dropped}


def main(folder: Path) -> None:
    system = System(folder / "system")
    engine = system.engine()
    print(json.dumps(clips(folder, engine) | texts(system, engine) | assets(system) | weights(system, engine)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
