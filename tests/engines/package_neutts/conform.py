"""Runs the conformance suite on the engine's example; prints the findings that are not fine."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from reference import answer

from evalkit.engines.conformance import check, prepare
from evalkit.engines.neutts.engine import NeuTTS
from evalkit.engines.neutts.example import write_example


def main() -> None:
    example = write_example(Path(tempfile.mkdtemp()), 0, sys.argv[1])
    findings = check(lambda: prepare(NeuTTS(), example), example)
    answer(
        {
            "failed": [f"{finding.check}: {finding.detail}" for finding in findings if finding.ok is False],
            "passed": [finding.check for finding in findings if finding.ok],
        }
    )


if __name__ == "__main__":
    main()
