"""How well a pronunciation judge hears, as measured on clips whose readings are known, and what it decides by."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CALIBRATION_FILE = "data/pronunciation_calibration.json"  # of the bundled judge; see fixtures/calibration


@dataclass(frozen=True)
class Calibration:
    """What the judge decides by, and how well it does. Margins and fits are in nats per frame.

    threshold: a name is right above this margin. lowest_fit: a clip whose words fit less than this does not say its
    text. largest_drop: a name that fits so much less than the words around it was not said (compared with the clip's
    own words, because fits depend on the voice). unreliable: names, in lower case, whose right and wrong readings the
    judge cannot tell apart. accuracy: how often it was right on voices held out, with 95 % intervals.
    """

    threshold: float
    lowest_fit: float
    largest_drop: float
    unreliable: frozenset[str]
    accuracy: Mapping[str, Any]

    def misfit(self, fit: float, context: float | None) -> str | None:
        """Why a name cannot be said to have any of its readings, None if it can. fit, context: see `NameScore`."""
        around = fit if context is None else context
        if around < self.lowest_fit:
            return "the clip does not sound like its text"
        if fit < around - self.largest_drop:
            return "something else was said than any reading of the name"
        return None

    def parameters(self) -> dict[str, float | None]:
        """For a passport; None is no limit."""
        limits = {"lowest_fit": self.lowest_fit, "largest_drop": self.largest_drop}
        finite = {name: limit if math.isfinite(limit) else None for name, limit in limits.items()}
        return {"threshold": self.threshold, **finite}

    @staticmethod
    def missing(how_to_measure: str) -> Calibration:
        """Of a judge that nobody measured: the likelier kind of reading wins, and nothing is a misfit."""
        return Calibration(0.0, -math.inf, math.inf, frozenset(), {"measured": f"not yet: {how_to_measure}"})

    @staticmethod
    def read(path: Path, variants: str) -> Calibration:
        """What a calibration file says for these wrong readings ("suite", "generated").

        Raises ValueError if the file is damaged.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))["variants"][variants]
            return Calibration(
                threshold=float(data["threshold"]),
                lowest_fit=float(data["lowest_fit"]),
                largest_drop=float(data["largest_drop"]),
                unreliable=frozenset(name.lower() for name in data["unreliable"]),
                accuracy=dict(data["accuracy"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"The calibration {path} is damaged ({type(error).__name__}: {error}): make it again."
            ) from error
