"""Where quality turns from the loss: found, none, or cannot tell; with statistics and not by eyesight."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from commands import FIXTURES

from evalkit.decisions.scores import Meaning, Scores
from evalkit.decisions.select.divergence import Heard, find_divergence, published_outcome
from evalkit.decisions.select.losses import Loss
from evalkit.decisions.select.measure import Measure

MOS = Measure("dnsmos_ovrl", "higher", "MOS", 0.1)
WER = Measure("wer", "lower", "", 0.03)
STEPS = (50, 100, 200, 400, 800, 1600)
FALLING = Loss("loss", "training", tuple((float(s), 2 / (1 + s / 100)) for s in range(10, 1601, 10)))
RISING = Loss("val", "validation", tuple((float(s), s / 100) for s in range(10, 1601, 10)))


def scores(name: str, values: Sequence[float], column: str = "dnsmos_ovrl") -> Scores:
    rows = [
        {"item": f"i{n}", "status": "ok", "tags": [], "missing": {}, "details": {}, column: float(value)}
        for n, value in enumerate(values)
    ]
    return Scores(name, name, rows, {column: Meaning("", "higher", "m")}, {})


def training(means: Sequence[float], items: int = 40, noise: float = 0.1, seed: int = 0) -> list[Heard]:
    """Checkpoints whose items are alike from one to the next, up to noise."""
    random = np.random.default_rng(seed)
    base = random.normal(0, 0.4, items)
    return [
        Heard(f"step-{step}", step, scores(f"step-{step}", mean + base + random.normal(0, noise, items)))
        for step, mean in zip(STEPS, means, strict=False)
    ]


RISE_AND_FALL = (2.4, 2.7, 3.0, 2.8, 2.6, 2.5)


def test_a_fall_of_quality_under_a_falling_loss_is_found_with_the_step_where_it_starts() -> None:
    found = find_divergence(training(RISE_AND_FALL), [FALLING], MOS)
    assert found["answer"] == "found"
    assert found["best"]["step"] == 200
    assert found["start"]["step"] == 400
    last = found["later"][-1]
    assert last["ci95"][0] < -0.5 < last["ci95"][1] < 0
    assert found["losses"][0]["percent"] < -50
    assert found["sure"].startswith("sure")


def test_of_a_column_where_less_is_better_a_rise_is_the_fall() -> None:
    heard = [
        replace(one, scores=scores(one.name, [-row["dnsmos_ovrl"] for row in one.scores.rows], "wer"))
        for one in training(RISE_AND_FALL)
    ]
    found = find_divergence(heard, [FALLING], WER)
    assert (found["answer"], found["best"]["step"], found["start"]["step"]) == ("found", 200, 400)
    assert found["later"][-1]["difference"] > 0


def test_quality_that_rises_to_the_end_or_stays_within_the_margin_is_no_divergence() -> None:
    assert find_divergence(training((2, 2.2, 2.4, 2.6, 2.8, 3)), [FALLING], MOS)["answer"] == "none"
    flat = find_divergence(training((2, 3, 3.02, 3.01, 3.0, 2.98), noise=0.05), [FALLING], MOS)
    assert flat["answer"] == "none"
    assert "at most the margin" in flat["says"]


def test_a_dip_that_recovers_is_no_divergence() -> None:
    found = find_divergence(training((2.4, 3.0, 2.6, 2.6, 2.98, 3.0), noise=0.02), [FALLING], MOS)
    assert found["answer"] == "none"


def test_the_start_lies_after_the_last_checkpoint_that_holds() -> None:
    found = find_divergence(training((2.4, 3.0, 2.6, 3.0, 2.6, 2.5), noise=0.02), [FALLING], MOS)
    assert (found["answer"], found["start"]["step"]) == ("found", 800)


def test_a_loss_that_rises_with_the_fall_hides_nothing() -> None:
    found = find_divergence(training(RISE_AND_FALL), [RISING], MOS)
    assert found["answer"] == "none"
    assert "val stopped falling too" in found["says"]
    both = find_divergence(training(RISE_AND_FALL), [RISING, FALLING], MOS)
    assert both["answer"] == "found"


def test_without_losses_or_where_none_was_logged_nobody_can_tell() -> None:
    assert "no losses were given" in find_divergence(training(RISE_AND_FALL), [], MOS)["says"]
    short = replace(FALLING, points=FALLING.points[:5])
    found = find_divergence(training(RISE_AND_FALL), [short], MOS)
    assert (found["answer"], found["start"]["step"]) == ("cannot tell", 400)


def test_a_few_noisy_items_cannot_tell() -> None:
    found = find_divergence(training((2.4, 2.7, 3.0, 2.9, 2.9, 2.85), items=8, noise=0.5), [FALLING], MOS)
    assert found["answer"] == "cannot tell"
    assert find_divergence(training(RISE_AND_FALL, items=3), [FALLING], MOS)["answer"] == "cannot tell"
    assert find_divergence(training((3.0,)), [FALLING], MOS)["answer"] == "cannot tell"


def test_a_loss_logged_three_times_is_likely_and_not_sure() -> None:
    coarse = Loss("loss", "training", ((200.0, 1.0), (800.0, 0.5), (1600.0, 0.2)))
    found = find_divergence(training(RISE_AND_FALL), [coarse], MOS)
    assert found["answer"] == "found"
    assert found["sure"].startswith("likely")


def test_a_checkpoint_that_stopped_early_is_compared_on_its_items_and_is_never_the_best() -> None:
    heard = training(RISE_AND_FALL)
    easy = scores("step-1600", [5.0] * 8)
    heard[-1] = Heard("step-1600", 1600, easy, whole=False)
    assert find_divergence(heard, [FALLING], MOS)["best"]["step"] == 200
    worse = [row["dnsmos_ovrl"] - 0.6 - 0.01 * n for n, row in enumerate(heard[2].scores.rows[:8])]
    heard[-1] = Heard("step-1600", 1600, scores("step-1600", worse), whole=False)
    found = find_divergence(heard, [FALLING], MOS)
    assert (found["answer"], found["later"][-1]["pairs"]) == ("found", 8)


def test_checkpoints_that_do_not_differ_are_called_diverging_in_at_most_one_of_twenty_trainings() -> None:
    """The best is picked by the values that it is then compared on, which must not make chance look like a fall."""
    margin = replace(MOS, margin=0.0)
    answers = [
        find_divergence(training([3.0] * 6, items=16, noise=0.3, seed=seed), [FALLING], margin)["answer"]
        for seed in range(120)
    ]
    assert answers.count("found") <= 6


TABLE = FIXTURES / "tables" / "outcomes.csv"


def outcomes() -> dict[str, str]:
    """Per speaker of the published six-speaker study; its loss falls for all six."""
    with TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["speaker"]: published_outcome(
            float(row["base"]), [float(row["lora_1000_steps"]), float(row["lora_5_epochs"])], MOS
        )
        for row in rows
    }


def test_the_published_speakers_diverge_against_their_base_as_the_study_says() -> None:
    assert outcomes() == {
        "1": "none",
        "2": "none",
        "11614": "none",
        "1401": "found",
        "1212": "found",
        "1259": "cannot tell",
    }


def test_published_means_say_nothing_without_a_later_one() -> None:
    assert published_outcome(3.0, [], MOS) == "cannot tell"
    assert published_outcome(0.3, [0.2], WER) == "none"
    assert published_outcome(0.2, [0.3], WER) == "found"
