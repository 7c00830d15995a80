"""The engine does what the protocol and its spec say. Run with pytest where evalkit and this package are installed."""

from __future__ import annotations

from pathlib import Path

from evalkit_example.engine import Beep

from evalkit.engines.conformance import assert_conforms, prepare


def test_beep_conforms(tmp_path: Path) -> None:
    example = Beep.example(tmp_path, seed=0)
    assert_conforms(lambda: prepare(Beep(), example), example)
