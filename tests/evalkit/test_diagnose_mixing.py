"""--mix: clips of several speakers, spread over each one's range, with the verdict on them together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clip_tables import clip, many, write_checks, write_clips

from evalkit.diagnostics.training.mixing import plan_mix, read_mix
from evalkit.diagnostics.training.spread import pooled
from evalkit.errors import EvalkitError

_ENERGY = ("energy_active_frames", "energy_mean_db", "energy_std_db")


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


@pytest.fixture
def three(tmp_path: Path) -> list[dict[str, Any]]:
    """About 0.83 h of anna, 0.69 h of bert and 0.42 h of cora."""
    return [
        *many(600, spread_db=9.0, moves_db=4.0),
        *many(500, spread_db=12.0, moves_db=1.0, speaker="bert", seed=1),
        *many(300, spread_db=11.0, speaker="cora", seed=2),
    ]


def test_hours_are_those_asked_for_and_never_more(tmp_path: Path, three: list[dict[str, Any]]) -> None:
    out = tmp_path / "mix.jsonl"
    found = plan_mix(write_clips(tmp_path, three), None, {"bert": 0.5, "anna": 0.25}, out)
    by_id = {row["id"]: row for row in three}
    chosen = [by_id[name] for name in ids(out)]
    assert len({row["id"] for row in chosen}) == len(chosen) == found["clips"]
    for part, name, asked in zip(found["speakers"], ("bert", "anna"), (0.5, 0.25), strict=True):
        own = [row for row in chosen if row["speaker"] == name]
        hours = sum(row["seconds"] for row in own) / 3600
        assert (part["name"], part["asked_hours"], part["clips"]) == (name, asked, len(own))
        assert part["hours"] == pytest.approx(hours)
        assert asked - 7 / 3600 < hours <= asked
        assert part["energy_std_db"] == pytest.approx(pooled(*_arrays(own))[1])
    assert found["energy"]["std_db"] == pytest.approx(pooled(*_arrays(chosen))[1])
    assert found["dnsmos"]["sd"] == pytest.approx(np.std([row["dnsmos_ovrl"] for row in chosen], ddof=1))
    assert [row["id"] for row in three if row in chosen] == ids(out)  # in the order of the set
    json.dumps(found, allow_nan=False)


def _arrays(rows: list[dict[str, Any]]) -> list[Any]:
    return [np.array([row[name] for row in rows]) for name in _ENERGY]


def test_clips_are_spread_over_the_range_of_the_speaker(tmp_path: Path, three: list[dict[str, Any]]) -> None:
    out = tmp_path / "mix.jsonl"
    clips = write_clips(tmp_path, three)
    plan_mix(clips, None, {"anna": 0.1, "bert": 0.1}, out)
    anna = sorted(row["energy_mean_db"] for row in three if row["speaker"] == "anna")
    chosen = {name for name in ids(out) if name.startswith("anna")}
    levels = [row["energy_mean_db"] for row in three if row["id"] in chosen]
    tenths, _ = np.histogram(levels, np.quantile(anna, np.linspace(0, 1, 11)))
    assert tenths.min() >= 0.5 * len(levels) / 10  # every tenth of the range has its share
    assert tenths.max() <= 1.6 * len(levels) / 10


def test_the_seed_decides(tmp_path: Path, three: list[dict[str, Any]]) -> None:
    clips = write_clips(tmp_path, three)
    lists = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        plan_mix(clips, None, 0.2, tmp_path / f"{name}.jsonl", seed=seed)
        lists.append(ids(tmp_path / f"{name}.jsonl"))
    assert lists[0] == lists[1]
    assert lists[0] != lists[2]


def test_equal_hours_of_every_speaker(tmp_path: Path, three: list[dict[str, Any]]) -> None:
    found = plan_mix(write_clips(tmp_path, three), None, 0.2)
    assert [one["name"] for one in found["speakers"]] == ["anna", "bert", "cora"]
    assert [one["hours"] for one in found["speakers"]] == pytest.approx([0.2] * 3, abs=0.002)
    assert found["manifest"] is None
    assert found["verdict"]["outcome"] == "risk"
    assert found["verdict"]["probability"]["undecided"] > 0.9
    assert "for single speakers" in found["verdict"]["evidence"][-1]
    assert "0.293 DNS-MOS more" in found["verdict"]["evidence"][-1]


def test_levels_of_speakers_widen_the_mix(tmp_path: Path) -> None:
    quiet = [row | {"energy_mean_db": -45.0} for row in many(100, spread_db=9.0)]
    loud = [row | {"energy_mean_db": -20.0} for row in many(100, spread_db=9.0, speaker="bert")]
    found = plan_mix(write_clips(tmp_path, [*quiet, *loud]), None, 0.1)
    assert [one["energy_std_db"] for one in found["speakers"]] == pytest.approx([9.0, 9.0], abs=0.3)
    assert found["energy"]["std_db"] == pytest.approx(np.hypot(9.0, 12.5), abs=0.3)
    assert found["verdict"]["outcome"] == "gain"


def test_everything_can_be_asked_for(tmp_path: Path, three: list[dict[str, Any]]) -> None:
    clips = write_clips(tmp_path, three)
    hours = {name: sum(row["seconds"] for row in three if row["speaker"] == name) / 3600 for name in ("anna", "bert")}
    assert plan_mix(clips, None, hours)["clips"] == 1100


def test_more_than_there_is_is_refused(tmp_path: Path, three: list[dict[str, Any]]) -> None:
    clips = write_clips(tmp_path, three)
    out = tmp_path / "mix.jsonl"
    there = sum(row["seconds"] for row in three if row["speaker"] == "cora") / 3600
    offered = int(100 * there) / 100  # which can be had
    with pytest.raises(
        EvalkitError, match=rf"^--mix asks for more .*: 'cora' has {offered:.2f} of 2 h; ask for less\.$"
    ):
        plan_mix(clips, None, {"anna": 0.5, "cora": 2}, out)
    with pytest.raises(EvalkitError, match=r"'anna' has .*, 'bert' has .*, 'cora' has"):
        plan_mix(clips, None, 1.0, out)
    assert not out.exists()


def test_flagged_clips_are_not_used(tmp_path: Path) -> None:
    rows = [*many(60), *many(60, speaker="bert"), clip("bad", problem="gone"), clip("again", copy_of="anna-0000")]
    flags = {row["id"]: ["noisy"] for row in rows[:30]} | {rows[40]["id"]: ["loud"]}
    clips, checks = write_clips(tmp_path, rows), write_checks(tmp_path, rows, flags)
    usable = sum(row["seconds"] for row in rows[30:60]) / 3600
    out = tmp_path / "mix.jsonl"
    # The copy stands in for its noisy original.
    plan_mix(clips, checks, {"anna": usable + 5 / 3600, "bert": 0.02}, out)
    assert set(ids(out)) >= {row["id"] for row in rows[30:60]} | {"again"}
    assert not set(ids(out)) & {row["id"] for row in rows[:30]}


def test_the_set_is_not_written_over(tmp_path: Path, three: list[dict[str, Any]]) -> None:
    source = tmp_path / "set.jsonl"
    source.write_text("precious")
    with pytest.raises(EvalkitError, match="the training set itself"):
        plan_mix(write_clips(tmp_path, three), None, 0.1, source, source=source)
    assert source.read_text() == "precious"


def test_packed_clips_are_announced(tmp_path: Path) -> None:
    rows = [row | {"where": f"/d/a.tar: {row['id']}.flac"} for row in (*many(40), *many(40, speaker="bert"))]
    found = plan_mix(write_clips(tmp_path, rows), None, 0.01, tmp_path / "mix.jsonl")
    assert found["notices"] == [
        f"Clips inside tars or tables, or of one channel of a file: {found['clips']}. Their audio_filepath says where, "
        "which no trainer opens: take them from there by their id."
    ]


def test_clips_without_a_level_are_no_obstacle(tmp_path: Path) -> None:
    bare = {"energy_mean_db": None, "energy_std_db": None, "energy_active_frames": None, "dnsmos_ovrl": None}
    rows = [*many(20, **bare), *many(20, speaker="bert", **bare)]
    found = plan_mix(write_clips(tmp_path, rows), None, 0.01)
    assert found["verdict"]["outcome"] == "cannot tell"
    assert found["energy"]["std_db"] is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("2", 2.0), ("anna=2,bert=1.5", {"anna": 2.0, "bert": 1.5}), (" a=b = 1 , c=0.5", {"a=b": 1.0, "c": 0.5})],
)
def test_what_the_option_means(text: str, wanted: object) -> None:
    assert read_mix(text) == wanted


@pytest.mark.parametrize(
    "text", ["", ",", "anna", "anna=", "anna=x", "anna=0", "anna=-1", "=2", "anna=1,anna=2", "nan", "inf"]
)
def test_what_the_option_does_not_mean(text: str) -> None:
    with pytest.raises(EvalkitError, match="--mix"):
        read_mix(text)


def test_a_mix_is_of_two_speakers_that_exist(tmp_path: Path, three: list[dict[str, Any]]) -> None:
    clips = write_clips(tmp_path, three)
    with pytest.raises(EvalkitError, match="two speakers or more"):
        plan_mix(clips, None, {"anna": 0.1})
    with pytest.raises(EvalkitError, match="did you mean 'anna'"):
        plan_mix(clips, None, {"ana": 0.1, "bert": 0.1})
