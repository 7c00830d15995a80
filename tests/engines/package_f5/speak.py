"""Speak one sentence with every canonical file in a folder, through evalkit's engine and through the package."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from common import SEED, package_speech
from make_models import System
from safetensors.torch import load_file

from evalkit.engines.base import Request
from evalkit.engines.f5.example import CLIP_TEXT, TEXTS


def main(folder: Path) -> None:
    utils = package_speech()
    system = System(folder / "again")  # the seed makes the same small system
    engine = system.engine()
    voice = engine.prepare_voice(system.clip, CLIP_TEXT)
    request = Request("a", TEXTS[2], SEED, voice, options={"steps": 4})
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        weights = load_file(path)
        digest = engine.load(weights)
        ours = engine.synthesize([request])[0]
        system.cfm.load_state_dict(weights, strict=False)
        theirs = system.package(utils, request.text, SEED, nfe_step=4).numpy()
        np.save(path.with_suffix(".npy"), ours.audio.numpy())
        apart = float(np.abs(ours.audio.numpy() - theirs).max())
        found[path.stem] = {"digest": digest, "status": ours.status, "package": apart}
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
