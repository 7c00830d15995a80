"""Holds the engine to the protocol with its own example, as `evalkit engines doctor` does."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch

from evalkit.engines.conformance import check
from evalkit.engines.conformance.preparing import prepare
from evalkit.engines.neutts.gguf import NeuTTSGguf

if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        example = NeuTTSGguf.example(Path(temporary), seed=3)
        found = check(lambda: prepare(NeuTTSGguf(), example), example)
    print()
    findings = [{"check": one.check, "ok": one.ok, "detail": one.detail} for one in found]
    print(json.dumps({"findings": findings}))
