"""Successive halving: bad checkpoints stop early, the best is not thrown away by noise, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from evalkit.decisions.scores import Meaning, Scores
from evalkit.decisions.select.checkpoints import Candidate, read_training, step_of
from evalkit.decisions.select.halving import Halving, halve, stopped_after
from evalkit.decisions.select.measure import Measure
from evalkit.decisions.select.stages import plan_stages, spread
from evalkit.errors import EvalkitError
from evalkit.pipeline.run import say_nothing
from evalkit.suites import Item, load_suite

MOS = Measure("dnsmos_ovrl", "higher", "MOS", 0.1)


def row(item: str, value: float | None, status: str = "ok") -> dict[str, object]:
    missing = {} if value is not None else {"dnsmos_ovrl": "no speech"}
    return {"item": item, "status": status, "tags": [], "missing": missing, "details": {}, "dnsmos_ovrl": value}


def scores(name: str, rows: Sequence[dict[str, object]]) -> Scores:
    return Scores(name, name, rows, {"dnsmos_ovrl": Meaning("MOS", "higher", "dnsmos")}, {})


def a_night(means: Sequence[float], seed: int, noise: float = 0.15, items: int = 64, keep: float = 0.5) -> Halving:
    """Checkpoints with true means, on items that are hard for all of them alike."""
    random = np.random.default_rng(seed)
    hard = random.normal(0, 0.3, items)
    table = [mean + hard + random.normal(0, noise, items) for mean in means]
    ids = [f"i{n}" for n in range(items)]
    stages = [ids[:16], ids[16:32], ids[32:]]

    def speak(candidate: Candidate, until: int) -> Scores:
        done = [item for stage in stages[:until] for item in stage]
        values = table[int(candidate.name)]
        return scores(candidate.name, [row(item, float(values[ids.index(item)])) for item in done])

    candidates = [Candidate(str(n), Path(str(n)), n) for n in range(len(means))]
    return halve(candidates, stages, speak, MOS, keep, 1.0, 1, say_nothing)


def states(halving: Halving) -> list[str]:
    return [course.state for course in halving.courses]


def test_clearly_worse_checkpoints_stop_and_say_than_whom() -> None:
    halving = a_night([3.0, 3.0, 2.0, 2.0], seed=1)
    assert states(halving) == ["finished", "finished", "stopped", "stopped"]
    stop = halving.courses[2].stop
    assert stop is not None
    assert stop.than in "01"
    assert stop.difference.pairs == 16
    assert halving.courses[2].stage == 1
    assert [(stage["items"], stage["stopped"]) for stage in halving.stages] == [(16, 2), (32, 0), (64, 0)]


def test_noise_alone_rarely_throws_away_the_best_and_bad_ones_are_found() -> None:
    """One of eight is a little better than five that are alike; two are bad. 100 simulated trainings."""
    means = [3.0, 3.0, 3.0, 3.06, 3.0, 3.0, 2.6, 2.5]
    nights = [a_night(means, seed) for seed in range(100)]
    lost = sum(night.courses[3].state != "finished" for night in nights)
    early = sum(night.courses[bad].stage == 1 for night in nights for bad in (6, 7))
    assert lost <= 5
    assert early >= 180


def test_equal_checkpoints_all_go_on() -> None:
    finished = Counter(state for seed in range(40) for state in states(a_night([3.0] * 6, seed)))
    assert finished["finished"] >= 0.97 * 240


def test_what_a_longer_run_knows_does_not_change_an_earlier_stage() -> None:
    """After a restart the runs hold later stages already; the first stage must decide as it did the first time."""
    values = {"a": [3.0] * 8 + [1.0] * 8, "b": [2.0 - n / 100 for n in range(8)] + [9.0] * 8}
    ids = [f"i{n}" for n in range(16)]

    def speak(candidate: Candidate, until: int) -> Scores:
        return scores(
            candidate.name, [row(item, value) for item, value in zip(ids, values[candidate.name], strict=True)]
        )

    candidates = [Candidate(name, Path(name), None) for name in values]
    halving = halve(candidates, [ids[:8], ids[8:]], speak, MOS, 0.5, 1.0, 1, say_nothing)
    assert states(halving) == ["finished", "stopped"]


def test_one_that_cannot_be_loaded_or_falls_silent_is_out_with_its_reason_and_the_others_go_on() -> None:
    ids = [f"i{n}" for n in range(8)]

    def speak(candidate: Candidate, until: int) -> Scores:
        done = ids[: 4 * until]
        if candidate.name == "broken":
            raise EvalkitError("broken.pth is cut short.")
        if candidate.name == "silent":
            return scores(
                "silent",
                [row(item, None if item == "i1" else 3.0, "silent" if item == "i1" else "ok") for item in done],
            )
        if candidate.name == "empty":
            return scores("empty", [row(item, None) for item in done])
        return scores(candidate.name, [row(item, 3.0) for item in done])

    candidates = [Candidate(name, Path(name), None) for name in ("broken", "silent", "empty", "good")]
    stages = [ids[:4], ids[4:]]
    said: list[str] = []
    strict = halve(candidates, stages, speak, MOS, 0.5, 1.0, 1, said.append)
    assert states(strict) == ["failed", "failed", "failed", "finished"]
    reasons = [course.failed or "" for course in strict.courses]
    assert reasons[0] == "broken.pth is cut short."
    assert "1 of 4 utterances failed (1 silent)" in reasons[1]
    assert "no speech" in reasons[2]
    assert any("broken is out" in sentence for sentence in said)
    lenient = halve(candidates, stages, speak, MOS, 0.5, 0.8, 1, say_nothing)
    assert states(lenient)[1] == "finished"  # 1 of 8 may fail: 1 of 4 after the first stage is not yet too many


def test_too_few_items_stop_nobody() -> None:
    few = {name: scores(name, [row(f"i{n}", value + n / 10) for n in range(5)]) for name, value in (("a", 3), ("b", 1))}
    assert stopped_after(few, MOS, 0.5, 1) == []


def test_every_beginning_has_each_tag_in_about_its_share() -> None:
    suite = load_suite("indian-names")
    order = spread(suite.items)
    tags = {item.id: item.tags for item in suite.items}
    total = Counter(tag for item in order for tag in tags[item])
    for size in (24, 48, 95):
        part = Counter(tag for item in order[:size] for tag in tags[item])
        for tag, count in total.items():
            assert abs(part[tag] - count * size / len(order)) <= 3, (size, tag)
    assert sorted(order) == sorted(tags)


def test_the_order_depends_on_the_items_alone_and_not_on_theirs() -> None:
    items = list(load_suite("smoke").items)
    assert spread(items) == spread(items[::-1])


def test_stages_grow_by_the_share_and_hold_every_item_once() -> None:
    items = [Item(f"i{n}", "a", "a", (), ()) for n in range(190)]
    stages = plan_stages(items, 0.5, None)
    assert [len(stage) for stage in stages] == [24, 24, 47, 95]
    assert len({item for stage in stages for item in stage}) == 190
    assert [len(stage) for stage in plan_stages(items[:20], 0.5, None)] == [20]
    assert [len(stage) for stage in plan_stages(items, 0.25, 2)] == [48, 142]
    with pytest.raises(EvalkitError, match="--stages 9"):
        plan_stages(items[:8], 0.5, 9)
    for share in (0, 1, 1.5):
        with pytest.raises(EvalkitError, match="--keep"):
            plan_stages(items, share, None)


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step-00050", (50, "step")),
        ("checkpoint-1000", (1000, "step")),
        ("epoch_3", (3, "epoch")),
        ("epoch=3-step=1500", (1500, "step")),
        ("model_v2_iter20000", (20000, "step")),
        ("f5tts_1200", (1200, "step")),
        ("final", None),
    ],
)
def test_the_step_is_read_from_the_name(name: str, step: tuple[int, str] | None) -> None:
    assert step_of(name) == step


def files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def test_a_folder_stands_for_its_checkpoints_in_the_order_of_their_steps(tmp_path: Path) -> None:
    files(tmp_path, "step-1000.pth", "step-200.pth", "losses.csv", "optimizer.pt", "step-1000.toml")
    training = read_training([tmp_path])
    assert [(one.name, one.step) for one in training.candidates] == [("step-200", 200), ("step-1000", 1000)]
    assert training.unit == "step"


def test_a_trainers_folder_has_its_checkpoints_in_folders(tmp_path: Path) -> None:
    for step in (500, 1000, 1500):
        files(tmp_path, f"checkpoint-{step}/model.safetensors", f"checkpoint-{step}/optimizer.pt")
    files(tmp_path, "checkpoint-2000/adapter_config.json", "logs/events", "trainer_state.json")
    training = read_training([tmp_path])
    assert [one.step for one in training.candidates] == [500, 1000, 1500, 2000]


def test_names_that_are_alike_get_their_folder_and_steps_that_are_not_all_known_give_the_order(tmp_path: Path) -> None:
    files(tmp_path, "a/final.pth", "b/final.pth", "b/step-10.pth")
    training = read_training([tmp_path / "a" / "final.pth", tmp_path / "b" / "final.pth"])
    assert [one.name for one in training.candidates] == ["a/final", "b/final"]
    assert training.unit == "place"
    assert [training.at(one) for one in training.candidates] == [1, 2]
    assert training.notice
    mixed = read_training([tmp_path / "b" / "step-10.pth", tmp_path / "a" / "final.pth"])
    assert mixed.unit == "place"


def test_what_is_not_there_or_named_twice_is_refused(tmp_path: Path) -> None:
    files(tmp_path, "step-1.pth", "sub/readme.txt")
    with pytest.raises(EvalkitError, match="named twice"):
        read_training([tmp_path, tmp_path / "step-1.pth"])
    with pytest.raises(EvalkitError, match="does not exist"):
        read_training([tmp_path / "nothing"])
    with pytest.raises(EvalkitError, match="holds no checkpoints"):
        read_training([tmp_path / "sub"])
