"""The verdict: the published speakers, how sure it is, and advice whose sums hold."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clip_tables import clip, many, write_checks, write_clips

from evalkit.diagnostics.training import advice, published
from evalkit.diagnostics.training.dropping import Dropping, remaining
from evalkit.diagnostics.training.figures import speaker_figures
from evalkit.diagnostics.training.speakers import judge_speakers
from evalkit.diagnostics.training.spread import InSpeech, pooled
from evalkit.diagnostics.training.subset import variable_part
from evalkit.diagnostics.training.verdict import from_statistics, verdict

TABLES = Path(__file__).parents[2] / "fixtures" / "tables"
EXPECTED = {"1": "gain", "2": "gain", "11614": "gain", "1401": "risk", "1212": "collapse", "1259": "collapse"}


def table(name: str) -> dict[str, dict[str, str]]:
    with (TABLES / name).open() as lines:
        return {line.get("speaker") or line["item"].removeprefix("speaker-"): line for line in csv.DictReader(lines)}


def test_what_the_evidence_says_of_the_fixtures_is_what_was_measured() -> None:
    """And where energy spread and DNS-MOS spread contradict each other there, the fine-tune was the worse one."""
    rows = json.loads((TABLES.parent / "voices" / "variability.json").read_text())
    found = {(row["voice"], row["set"]): row for row in rows}
    gains = {
        key: [one["minus_base"]["dnsmos_ovrl"]["difference"] for one in row["fine_tunes"]] for key, row in found.items()
    }
    text = " ".join(from_statistics(14.2, 0.35)["evidence"])
    even, mixed = (found["rms", name]["diagnosis"]["energy"]["std_db"] for name in ("one level", "mixed"))
    assert f"at one level ({even:.1f} dB) or at mixed levels and rates with noise ({mixed:.1f} dB)" in text
    rose = " and ".join(f"{value:.2f}" for value in gains["rms", "one level"])
    fell = " and ".join(f"{-value:.2f}" for value in gains["rms", "mixed"])
    assert f"rose by {rose} with the first (two seeds) and fell by {fell} with the second" in text
    for row in rows:
        energy, dnsmos = row["diagnosis"]["energy"]["std_db"], row["diagnosis"]["dnsmos"]["sd"]
        if published.zone(energy) == "gain":
            assert from_statistics(energy, dnsmos)["outcome"] == "risk", "DNS-MOS contradicts"
            answers = [one["minus_one_level"]["dnsmos_ovrl"]["answer"] for one in row["fine_tunes"]]
            assert set(answers) == {"worse"}
    assert len(rows) == 7 and {row["set"] for row in rows} == {"one level", "levels", "rates", "noise", "mixed"}


@pytest.mark.parametrize("speaker", EXPECTED)
def test_published_speakers_are_reproduced_from_their_statistics(speaker: str) -> None:
    line = table("training-data.csv")[speaker]
    found = from_statistics(float(line["energy_sd_db"]), float(line["dnsmos_sd"]), float(line["hours"]))
    assert found["outcome"] == EXPECTED[speaker]
    assert found["probability"] is None  # statistics alone do not say how sure they are
    text = " ".join([found["says"], *found["evidence"]])
    assert "right for 4 of the 5" in text
    assert "1259 at 8.25 dB lost nothing (-0.001)" in text
    assert "1401 at 11.89 dB, where it does not decide, lost 0.274" in text
    assert "not tested there" not in text


def test_numbers_of_the_study_are_those_of_its_tables() -> None:
    data, outcomes = table("training-data.csv"), table("outcomes.csv")
    for one in published.SPEAKERS:
        assert one.hours == float(data[one.name]["hours"])
        assert one.energy_std_db == float(data[one.name]["energy_sd_db"])
        assert one.dnsmos_sd == float(data[one.name]["dnsmos_sd"])
        columns = ("base", "lora_1000_steps", "lora_5_epochs", "lora_1000_steps_conservative", "gain_at_1000_steps")
        expected = tuple(float(outcomes[one.name][column]) for column in columns)
        assert (one.base, one.tuned, one.five_epochs, one.careful, one.gain) == expected
    own, mix = table("mix-one-speaker-final.csv"), table("mix-2-2-2-final.csv")
    for name, scores in published.UNSEEN.items():
        assert scores == (float(own[name]["dnsmos_ovrl"]), float(mix[name]["dnsmos_ovrl"]))
    for side, side_table in enumerate((own, mix)):
        similar = np.mean([float(side_table[name]["speaker_similarity"]) for name in published.UNSEEN])
        assert published.UNSEEN_SIMILARITY[side] == pytest.approx(similar, abs=0.001)
    assert published.unseen_gain() == pytest.approx(0.29)


def test_about_13_db_begins_where_the_lowest_speaker_gained() -> None:
    assert published.ABOUT_GAIN_DB == 12.93
    assert from_statistics(12.93, 0.35)["outcome"] == "gain"
    assert "the lowest of the speakers that gained" in from_statistics(12.95, 0.35)["evidence"][0]
    assert "lowest" not in from_statistics(13.0, 0.35)["evidence"][0]
    below = from_statistics(12.929, 0.35)
    assert below["outcome"] == "risk"
    assert from_statistics(10.0, 0.35)["outcome"] == "risk"
    assert from_statistics(9.999, 0.35)["outcome"] == "collapse"
    assert "spread of 10.00 dB" in from_statistics(9.999, 0.35)["says"] or "9.999" in from_statistics(9.999)["says"]


def test_how_often_the_rule_was_right() -> None:
    known = published.record()
    assert (known.decided, known.right, known.right_later) == (5, 4, 4)
    assert known.ci95 == pytest.approx((0.284, 0.995), abs=0.001)
    assert known.rho == pytest.approx({"energy": 1 - 48 / 210, "dnsmos": 1 - 12 / 210})
    assert known.p == pytest.approx({"energy": 74 / 720, "dnsmos": 12 / 720})


def test_the_collapse_that_only_stood_still_is_named() -> None:
    says = from_statistics(8.25, 0.293)["says"]
    assert "1259 (8.25 dB), only stood still (-0.001)" in says
    assert "1212 (9.91 dB), lost 0.414" in says
    assert "1401 (11.89 dB), lost 0.274" in from_statistics(11.89, 0.255)["says"]


@pytest.mark.parametrize(
    ("sd", "side"),
    [(0.321, "for a gain"), (0.293, "against a gain"), (0.3, "lies between"), (0.1, "against a gain")],
)
def test_dnsmos_is_the_second_evidence(sd: float, side: str) -> None:
    assert any(line.startswith("DNS-MOS spread") and side in line for line in from_statistics(13.2, sd)["evidence"])


def test_contradicting_evidence_is_said_at_once() -> None:
    contradicted = from_statistics(13.2, 0.2)
    assert contradicted["outcome"] == "risk" and "DNS-MOS contradicts" in contradicted["says"]
    assert from_statistics(13.2, 0.3)["outcome"] == "gain", "between the two groups it says nothing"
    assert from_statistics(8.0, 0.35)["outcome"] == "collapse"
    assert "DNS-MOS contradicts" in from_statistics(8.0, 0.35)["says"]
    assert "contradicts" not in from_statistics(13.2, 0.35)["says"] + from_statistics(8.0, 0.2)["says"]
    assert "contradicts" not in from_statistics(13.2, None)["says"]


def test_hours_outside_the_study_are_named() -> None:
    assert "0.20 hours are fewer" in from_statistics(13.2, 0.35, 0.2)["evidence"][-1]
    assert "50.00 hours are more" in from_statistics(13.2, 0.35, 50)["evidence"][-1]


def judged(tmp_path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return verdict(speaker_figures(write_clips(tmp_path, rows), "anna"))


@pytest.mark.parametrize(
    ("spread_db", "outcome"), [(15.0, "gain"), (11.5, "risk"), (8.0, "collapse"), (10.0, "risk"), (12.93, "risk")]
)
def test_verdict_of_measured_clips(tmp_path: Path, spread_db: float, outcome: str) -> None:
    found = judged(tmp_path, many(200, spread_db=spread_db, moves_db=0.0))
    assert found["outcome"] == outcome
    assert sum(found["probability"].values()) == pytest.approx(1)
    assert max(found["probability"].values()) >= 0.95 or "too near a threshold" in found["says"]
    assert any("resampled 4,000 times" in line for line in found["evidence"])


def test_mass_in_several_zones_is_a_risk(tmp_path: Path) -> None:
    zones = {"gain": 0.9, "undecided": 0.1, "collapse": 0.0}
    near = from_statistics(13.1, 0.35, 4.0, zones=zones, clips=500, minutes=60.0, resamples=4000)
    assert near["outcome"] == "risk"
    assert "of the resampled sets 90 % are at about 13 dB or more (gain), 10 % are between" in near["says"]
    zones = {"gain": 0.95, "undecided": 0.05, "collapse": 0.0}
    assert from_statistics(13.1, 0.35, 4.0, zones=zones, clips=500, minutes=60.0)["outcome"] == "gain"


@pytest.mark.parametrize(
    ("std", "speech", "outcome"),
    [(13.5, 13.2, "gain"), (13.5, 12.93, "gain"), (13.5, 11.4, "risk"), (11.5, 9.8, "risk"), (9.9, 8.0, "collapse")],
)
def test_a_spread_that_noise_in_pauses_makes_is_no_gain(std: float, speech: float, outcome: str) -> None:
    found = from_statistics(std, 0.35, 4.0, speech=InSpeech(speech, 0.11))
    assert found["outcome"] == outcome
    assert "11 % of the counted frames lie in pauses" in " ".join(found["evidence"])
    assert ("only with the sound in pauses; in speech alone it is 11.4 dB" in found["says"]) == (speech == 11.4)


def test_an_unsure_gain_is_told_as_unsure_whatever_the_pauses() -> None:
    zones = {"gain": 0.6, "undecided": 0.4, "collapse": 0.0}
    found = from_statistics(13.0, 0.35, 4.0, zones=zones, speech=InSpeech(11.0, 0.2))
    assert "too near a threshold" in found["says"]


@pytest.mark.parametrize(("clips", "frames", "tells"), [(29, 600.0, False), (30, 600.0, True), (40, 200.0, False)])
def test_too_little_cannot_tell(tmp_path: Path, clips: int, frames: float, tells: bool) -> None:
    found = judged(tmp_path, [row | {"energy_active_frames": frames} for row in many(clips)])
    assert (found["outcome"] != "cannot tell") == tells
    if not tells:
        assert "30 clips and 2 minutes are the least" in found["says"]
        assert any("needs 30 clips and 2 minutes" in line for line in found["advice"])
    else:
        assert found["probability"] is not None


def test_nothing_measured_cannot_tell(tmp_path: Path) -> None:
    found = judged(tmp_path, [clip("a", problem="is no audio")])
    assert found["outcome"] == "cannot tell"
    assert found["says"] == "Cannot tell: no clip has a level that could be measured."


def mixed(base: tuple[Any, Any, Any], hours: float, added: list[tuple[float, float, float]]) -> float:
    """Spread of `hours` at one mean and spread with (hours, mean, spread) added, by the pooled formula."""
    n, m, s = ([value, *(one[place] for one in added)] for place, value in enumerate((hours, *base[1:])))
    return pooled(np.array(n), np.array(m), np.array(s))[1]


@pytest.mark.parametrize(("std", "floor"), [(8.0, 10.0), (9.5, 10.0), (11.0, 13.0)])
def test_hours_that_are_advised_reach_the_floor(std: float, floor: float) -> None:
    base = (0, -30.0, std)
    more = advice.hours_of_levels(std, 4.0, floor, 10.0)
    assert more is not None
    assert mixed(base, 4.0, [(more / 2, -20.0, std), (more / 2, -40.0, std)]) == pytest.approx(floor)
    variety = advice.hours_of_variety(std, 4.0, floor, 13.34)
    assert variety is not None
    assert mixed(base, 4.0, [(variety, -30.0, 13.34)]) == pytest.approx(floor)
    apart = advice.levels_to_double(std, floor)
    assert mixed(base, 4.0, [(2.0, -30 + apart, std), (2.0, -30 - apart, std)]) == pytest.approx(floor)
    softer = advice.softer_to_double(std, floor)
    assert mixed(base, 4.0, [(4.0, -30 - softer, std)]) == pytest.approx(floor)


def test_what_no_amount_reaches() -> None:
    assert advice.hours_of_levels(5.0, 1.0, 13.0, 10.0) is None
    assert advice.hours_of_variety(9.0, 1.0, 13.0, 12.0) is None
    figures: dict[str, Any] = {
        "distinct_hours": 2.0,
        "hours": 2.0,
        "energy": {"std_db": 5.0, "mean_db": -30.0},
        "dnsmos": {"sd": 0.2},
    }
    told = " ".join(advice.advise("collapse", figures, None, "enough"))
    assert "To reach 13 dB from 5.00 dB, add: 32.2 h (16.1 times what is there) with a spread of 13.34 dB" in told
    assert "No amount 10 dB louder and softer is enough." in told


def test_advice_depends_on_the_outcome(tmp_path: Path) -> None:
    low = " ".join(judged(tmp_path, many(100, spread_db=8.0, moves_db=0.5))["advice"])
    assert re.search(r"To reach 10 dB from 8\.\d\d dB, add: \d+ min \(0\.\d times what is there\) spoken 10 dB", low)
    assert "To reach 13 dB" in low
    assert "+0.293 as stated, +0.290 by its rounded table" in low
    assert "0.425 instead of 0.554" in low
    assert "gave the study's speakers below about 13 dB 0.07 to 0.23 DNS-MOS back" in low
    assert "correlation" in low
    assert "no new data" in low
    between = " ".join(judged(tmp_path, many(100, spread_db=11.5))["advice"])
    assert "To reach 10 dB" not in between
    assert "To reach 13 dB" in between
    high = " ".join(judged(tmp_path, many(100, spread_db=15.0))["advice"])
    assert "To reach" not in high
    assert "--mix" not in high
    assert "cost the study's speakers of this zone 0.09 to 0.12" in high


def test_dropping_is_counted_and_its_effect_measured(tmp_path: Path) -> None:
    good, bad = many(100, spread_db=9.0, moves_db=0.0), many(40, spread_db=20.0, moves_db=0.0, seed=3)
    bad = [row | {"id": f"bad-{place}", "seconds": 36.0} for place, row in enumerate(bad)]
    rows = [*good, *bad]
    clips = write_clips(tmp_path, rows)
    checks = write_checks(tmp_path, rows, {row["id"]: ["noisy"] for row in bad} | {good[0]["id"]: ["quiet"]})
    speakers, whole = judge_speakers(clips, checks)
    told = speakers[0]["verdict"]["advice"]
    assert "Drop 40 of 140 clips (24 min of" in told[0]
    assert ": 40 noisy." in told[0]
    assert "That moves it to the zone: collapse." in told[0]
    rest = pooled(*(np.array([row[name] for row in good]) for name in _ENERGY))[1]
    assert f"spread of the rest is {rest:.2f} dB" in told[0]
    assert told[1] == "Left in, and worth a listen: 1 quiet."
    assert whole["verdict"] == speakers[0]["verdict"]  # of one speaker all are the same


def test_what_cannot_be_told_of_all_is_not_told_of_the_rest(tmp_path: Path) -> None:
    good, bad = many(12, spread_db=9.0, moves_db=0.0), many(6, spread_db=20.0, moves_db=0.0, seed=3)
    bad = [row | {"id": f"bad-{place}"} for place, row in enumerate(bad)]
    rows = [*good, *bad]
    checks = write_checks(tmp_path, rows, {row["id"]: ["noisy"] for row in bad})
    speakers, _ = judge_speakers(write_clips(tmp_path, rows), checks)
    assert speakers[0]["verdict"]["outcome"] == "cannot tell"
    assert "Drop 6 of 18 clips" in speakers[0]["verdict"]["advice"][0]
    assert "zone" not in speakers[0]["verdict"]["advice"][0]


_ENERGY = ("energy_active_frames", "energy_mean_db", "energy_std_db")


def test_several_speakers_have_no_common_verdict(tmp_path: Path) -> None:
    clips = write_clips(tmp_path, [*many(40), *many(80, spread_db=14.0, speaker="bert")])
    seen: list[tuple[int, int]] = []
    speakers, whole = judge_speakers(clips, None, lambda done, of: seen.append((done, of)))
    assert [one["name"] for one in speakers] == ["bert", "anna"]
    assert [one["verdict"]["outcome"] for one in speakers] == ["gain", "risk"]
    assert whole["verdict"] is None
    assert whole["clips"] == 120
    assert seen == [(1, 2), (2, 2)]
    assert speakers[0]["verdict"]["advice"][0] == "No clip has to be dropped for its flags."


def test_who_has_copies_of_others_clips_alone_is_told_so(tmp_path: Path) -> None:
    plain = [*many(40), *many(40, speaker="cora", seed=1)]
    exact = [row | {"id": f"b{n}", "speaker": "bert", "copy_of": row["id"]} for n, row in enumerate(plain[::2])]
    own = clip("again", "bert", copy_of="b0")
    near = clip("near", "dora")
    rows = [*plain, *exact, own, near, clip("bad", "dora", problem="gone")]
    checks = write_checks(tmp_path, rows, {}, near_copy_of={"near": "anna-0001"})
    speakers, _ = judge_speakers(write_clips(tmp_path, rows), checks)
    says = {one["name"]: one["verdict"]["says"] for one in speakers}
    assert says["bert"] == "Cannot tell: all its clips are copies of clips of anna, cora, with whom they count."
    assert says["dora"].startswith("Cannot tell: all its clips that can be read are copies of clips of anna,")
    assert "copies" not in says["anna"]


def test_what_is_not_found_is_not_said_not_to_be(tmp_path: Path) -> None:
    speakers, _ = judge_speakers(write_clips(tmp_path, many(100, spread_db=8.0, moves_db=0.0)), None)
    assert (
        "Among the clips that are there no part was found that reaches 13 dB alone."
        in (speakers[0]["verdict"]["advice"])
    )


def test_a_copy_stands_in_for_a_clip_that_is_dropped() -> None:
    dropping = Dropping()
    plain = {"copy_of": None, "near_copy_of": None, "flags": []}
    assert dropping.reasons(plain | {"id": "a", "flags": ["transcript"]}) == ["transcript"]
    assert dropping.reasons(plain | {"id": "b", "copy_of": "a", "flags": ["copy"]}) == []
    assert dropping.reasons(plain | {"id": "c", "copy_of": "a", "flags": ["copy"]}) == ["copy"]
    assert dropping.reasons(plain | {"id": "d", "flags": ["quiet", "too long"]}) == []
    assert dropping.reasons(plain | {"id": "e", "near_copy_of": "d", "flags": ["near copy"]}) == ["near copy"]


def arrays(rows: list[dict[str, Any]]) -> list[Any]:
    return [np.array([row[name] for row in rows]) for name in (*_ENERGY, "seconds")]


def test_a_part_of_the_clips_reaches_the_floor() -> None:
    rows = [*many(100, spread_db=8.0), *many(60, spread_db=12.0, seed=1)]
    n, m, s, seconds = arrays(rows)
    part = variable_part(n, m, s, seconds, 10.0)
    assert part is not None
    assert 60 < part.clips < 160
    chosen = np.sqrt(s**2 + (m - part.centre_db) ** 2) >= part.least_db
    assert chosen.sum() == part.clips  # the sentence describes exactly these
    assert pooled(n[chosen], m[chosen], s[chosen])[1] == pytest.approx(part.std_db)
    assert part.std_db >= 10.0
    # One clip more, of those that vary most, would be too many.
    far = np.sqrt(s**2 + (m - part.centre_db) ** 2)
    more = np.argsort(-far)[: part.clips + 1]
    assert pooled(n[more], m[more], s[more])[1] < 10.0
    assert variable_part(n, m, s, seconds, 20.0) is None
    whole = variable_part(n, m, s, seconds, 5.0)
    assert whole is not None
    assert whole.clips == 160


def test_the_part_of_a_corpus_is_as_long_as_the_best_of_few() -> None:
    """Against every subset of the clips sorted by level and spread: the greedy choice is never shorter."""
    rng = np.random.default_rng(0)
    n = np.full(60, 100.0)
    m, s = rng.normal(-30, 4, 60), rng.uniform(6, 11, 60)
    part = variable_part(n, m, s, n / 100, 10.0)
    assert part is not None
    by_spread = np.argsort(-s)
    longest = max(
        (count for count in range(30, 61) if pooled(n[p := by_spread[:count]], m[p], s[p])[1] >= 10.0), default=0
    )
    assert part.clips >= longest


def test_the_centre_moves_to_where_the_longest_part_lies() -> None:
    rng = np.random.default_rng(17)
    n = np.full(200, 100.0)
    m = np.where(rng.random(200) < 0.15, rng.normal(-45, 1, 200), rng.normal(-30, 1, 200))
    s = rng.uniform(6, 9, 200)
    far = np.sqrt(s**2 + (m - m.mean()) ** 2)  # about the mean of all, which is where the search begins
    order = np.argsort(-far)
    first = max(count for count in range(30, 201) if pooled(n[p := order[:count]], m[p], s[p])[1] >= 10.0)
    part = variable_part(n, m, s, n / 100, 10.0)
    assert part is not None
    assert part.clips > first


def test_what_remains_holds_numbers_only(tmp_path: Path) -> None:
    rows = [*many(50), clip("bad", problem="broken")]
    left = remaining(write_clips(tmp_path, rows), None)["anna"]
    assert (left.clips, left.dropped, dict(left.kinds)) == (51, 1, {"unreadable": 1})
    assert left.kept().shape == (50, 5)
    std, dnsmos = left.spreads()
    n, m, s, _ = arrays(rows[:50])
    assert std == pytest.approx(pooled(n, m, s)[1], rel=1e-5)
    assert dnsmos == pytest.approx(np.std([row["dnsmos_ovrl"] for row in rows[:50]], ddof=1), rel=1e-4)
