"""--pick-references: the best clips to clone a voice from, and why there are fewer than asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from clip_tables import clip, many, write_checks, write_clips

from evalkit.diagnostics.training.picking import pick_references
from evalkit.errors import EvalkitError


def picked(tmp_path: Path, rows: list[dict[str, Any]], count: int, **checks: Any) -> dict[str, Any]:
    made = write_checks(tmp_path, rows, checks.pop("flags", {}), **checks)
    return pick_references(write_clips(tmp_path, rows), made, count)


def names(found: dict[str, Any], speaker: int = 0) -> list[str]:
    return [one["id"] for one in found["speakers"][speaker]["picked"]]


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ({"seconds": 2.99}, "not 3 to 15 s long"),
        ({"seconds": 15.01}, "not 3 to 15 s long"),
        ({"dnsmos_ovrl": 3.49}, "with DNS-MOS below 3.5"),
        ({"dnsmos_ovrl": None}, "without a value"),
        ({"wada_snr_db": 19.9}, "with less than 20 dB of SNR"),
        ({"silence_ratio": 0.31}, "with more than 30 % silence"),
        ({"copy_of": "good"}, "flagged"),
    ],
)
def test_every_criterion_counts_alone(tmp_path: Path, others: dict[str, Any], why: str) -> None:
    found = picked(tmp_path, [clip("good"), clip("bad", **others)], 2)
    assert names(found) == ["good"]
    assert found["speakers"][0]["says"] == f"1 of the 2 asked for. Of 2 clips: 1 {why}."


def test_limits_belong_to_what_fits(tmp_path: Path) -> None:
    edge = {"dnsmos_ovrl": 3.5, "wada_snr_db": 20.0, "silence_ratio": 0.3}
    found = picked(tmp_path, [clip("short", seconds=3.0, **edge), clip("long", seconds=15.0, **edge)], 2)
    assert sorted(names(found)) == ["long", "short"]
    assert found["speakers"][0]["says"] == "2 of 2 fitting clips."


def test_any_flag_excludes(tmp_path: Path) -> None:
    rows = [clip("a"), clip("b"), clip("c")]
    assert names(picked(tmp_path, rows, 3, flags={"a": ["quiet"], "c": ["upsampled"]})) == ["b"]


@pytest.mark.parametrize(
    ("column", "best", "worst"), [("dnsmos_ovrl", 4.2, 3.6), ("wada_snr_db", 50.0, 25.0), ("silence_ratio", 0.02, 0.25)]
)
def test_the_better_clip_comes_first(tmp_path: Path, column: str, best: float, worst: float) -> None:
    rows = [
        clip("worst", **{column: worst}),
        clip("middle", **{column: (best + worst) / 2}),
        clip("best", **{column: best}),
    ]
    found = picked(tmp_path, rows, 3)
    assert names(found) == ["best", "middle", "worst"]
    assert [one["rank"] for one in found["speakers"][0]["picked"]] == [1, 2, 3]
    scores = [one["score"] for one in found["speakers"][0]["picked"]]
    assert scores == pytest.approx([0.5 + 0.125, 0.5, 0.5 - 0.125])


def test_a_typical_voice_comes_first(tmp_path: Path) -> None:
    rows = [clip("odd"), clip("typical"), clip("unknown")]
    found = picked(tmp_path, rows, 3, speaker_cosine={"odd": 0.4, "typical": 0.9})
    assert names(found) == ["typical", "unknown", "odd"]
    first = found["speakers"][0]["picked"][0]
    assert "cosine 0.90 with the speaker's other clips" in first["reasons"]


def test_a_noise_ratio_at_the_end_of_its_table_is_not_the_best(tmp_path: Path) -> None:
    rows = [clip("padded", wada_snr_db=100.0), clip("clean", wada_snr_db=45.0), clip("fair", wada_snr_db=25.0)]
    assert names(picked(tmp_path, rows, 3)) == ["clean", "padded", "fair"]


def test_the_best_dnsmos_is_told_where_none_is_enough(tmp_path: Path) -> None:
    rows = [clip("a", dnsmos_ovrl=3.1), clip("b", dnsmos_ovrl=3.42)]
    assert picked(tmp_path, rows, 1)["speakers"][0]["says"].endswith(
        "with DNS-MOS below 3.5. The best DNS-MOS is 3.42."
    )


def test_each_speaker_has_its_own_references(tmp_path: Path) -> None:
    rows = [
        *many(30, dnsmos_ovrl=4.0),
        clip("only", "bert", text=None, where="/data/long.wav from 12.5 s", start_s=12.5),
        *(clip(f"bad-{i}", "bert", dnsmos_ovrl=2.0, wada_snr_db=5.0) for i in range(3)),
        clip("lost", "ghost", problem="gone"),
    ]
    clips = write_clips(tmp_path, rows)
    found = pick_references(clips, None, 2)
    assert [one["name"] for one in found["speakers"]] == ["anna", "bert", "ghost"]
    anna, bert, ghost = found["speakers"]
    assert (anna["clips"], anna["fit"], len(anna["picked"])) == (30, 30, 2)
    only = bert["picked"][0]
    assert (only["id"], only["path"], only["offset"], only["seconds"]) == ("only", "/data/long.wav", 12.5, 5.0)
    assert any("its text is not known" in reason for reason in only["reasons"])
    assert "DNS-MOS 3.60, 30.0 dB of SNR, 10 % silence, 5.0 s" in only["reasons"]
    assert bert["says"] == "1 of the 2 asked for. Of 4 clips: 3 with DNS-MOS below 3.5, 3 with less than 20 dB of SNR."
    assert ghost["picked"] == []
    assert "1 flagged" in ghost["says"]
    assert [one["name"] for one in pick_references(clips, None, 2, "bert")["speakers"]] == ["bert"]
    json.dumps(found, allow_nan=False)


def test_too_few_clips_that_are_all_good(tmp_path: Path) -> None:
    assert picked(tmp_path, [clip("a")], 3)["speakers"][0]["says"] == "1 of the 3 asked for; no more clips are there."


def test_the_criteria_are_told(tmp_path: Path) -> None:
    told = " ".join(picked(tmp_path, [clip("a")], 1)["criteria"])
    for figure in ("3 to 15 s", "3.5 or more", "20 dB or more", "30 % silence", "not several joined"):
        assert figure in told


def test_bad_requests(tmp_path: Path) -> None:
    clips = write_clips(tmp_path, [clip("a")])
    with pytest.raises(EvalkitError, match="one reference or more"):
        pick_references(clips, None, 0)
    with pytest.raises(EvalkitError, match="no speaker 'berta'"):
        pick_references(clips, None, 1, "berta")
