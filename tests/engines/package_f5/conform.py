"""The conformance suite on the real classes with random weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from evalkit.engines.conformance import check, prepare
from evalkit.engines.f5.engine import F5TTS

torch.set_num_threads(1)
example = F5TTS.example(Path(sys.argv[1]), seed=3)
findings = check(lambda: prepare(F5TTS(), example), example)
print(json.dumps({"broken": [f"{f.check}: {f.detail}" for f in findings if f.ok is False]}))
