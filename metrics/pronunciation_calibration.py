"""How well the bundled pronunciation judge hears, as measured on rendered readings (see fixtures/calibration)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metrics.packages import package_file

CALIBRATION_FILE = "data/pronunciation_calibration.json"


@dataclass(frozen=True)
class Calibration:
    """threshold: a name is right above this margin (nats per frame); lowest_fit: below this fit (nats per frame)
    something else than any of the name's readings was said; unreliable: names, in lower case, whose right and wrong
    readings the judge cannot tell apart; accuracy: how often it was right on held-out voices, with 95 % intervals.
    """

    threshold: float
    lowest_fit: float
    unreliable: frozenset[str]
    accuracy: Mapping[str, Any]

    @staticmethod
    def read(path: Path | None = None) -> Calibration:
        """The calibration that comes with the package, or another. Raises ValueError if the file is damaged."""
        path = path or package_file("metrics", CALIBRATION_FILE)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return Calibration(
                threshold=float(data["threshold"]),
                lowest_fit=float(data["lowest_fit"]),
                unreliable=frozenset(name.lower() for name in data["unreliable"]),
                accuracy=dict(data["accuracy"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"The calibration {path} is damaged ({error}): make it with fixtures/calibration/calibrate.py."
            ) from error
