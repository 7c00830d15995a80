"""The starter gate on real scores: two runs of one checkpoint pass, a planted loss does not (docs/gate.md)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from evalkit.decisions.gate.judging import judge
from evalkit.decisions.gate.rules import starter_rules

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "decisions" / "false_alarms.py"


@pytest.fixture(scope="module")
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("false_alarms", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["false_alarms"] = module
    spec.loader.exec_module(module)
    return module


def tally(study: ModuleType, plant: str, repeats: int = 2, number: int = 40) -> int:
    found = study.simulate(
        study.takes_of(study.kept_rows()), starter_rules("indian-names"), 190, repeats, number, 1, study.PLANTS[plant]
    )
    return int(found.blocked)


def test_other_seeds_of_one_checkpoint_are_rarely_blocked(study: ModuleType) -> None:
    assert tally(study, "nothing") <= 6  # at 5 %, one simulation in 70 would have more


def test_a_loss_of_quality_is_caught(study: ModuleType) -> None:
    assert tally(study, "dnsmos", repeats=1, number=10) == 10


def test_a_loss_of_names_is_caught(study: ModuleType) -> None:
    assert tally(study, "pronunciation", number=30) >= 22


def test_the_planted_loss_of_names_is_five_points(study: ModuleType) -> None:
    import numpy as np

    rng = np.random.default_rng(1)
    ours, _ = study.draw(study.takes_of(study.kept_rows()), 190, 1, rng)
    before = [row["pronunciation_accuracy"] for row in ours if row["pronunciation_accuracy"] is not None]
    study.lose_names(ours, rng)
    after = [row["pronunciation_accuracy"] for row in ours if row["pronunciation_accuracy"] is not None]
    assert np.mean(before) - np.mean(after) == pytest.approx(0.05, abs=0.004)
    assert all(low <= high for low, high in zip(after, before, strict=True))
    assert min(after) >= 0


def test_takes_of_the_two_sides_differ(study: ModuleType) -> None:
    import numpy as np

    ours, theirs = study.draw(study.takes_of(study.kept_rows()), 190, 2, np.random.default_rng(1))
    assert [row["item"] for row in ours] == [row["item"] for row in theirs]
    assert sum(a["dnsmos_ovrl"] == b["dnsmos_ovrl"] for a, b in zip(ours, theirs, strict=True)) < 20
    verdict = judge(study._scores("a", ours), starter_rules("indian-names"), study._scores("b", theirs), strict=True)
    assert verdict["verdict"] in {"pass", "blocked"} and len(verdict["rules"]) == 6
