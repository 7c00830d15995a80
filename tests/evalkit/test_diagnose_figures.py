"""The figures of a speaker: pooled energy, intervals, words, copies and clips with problems."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from clip_tables import clip, many, write_checks, write_clips

from evalkit.decisions.intervals import RESAMPLES, SEED
from evalkit.diagnostics.training import spread
from evalkit.diagnostics.training.figures import all_speakers, each_speaker, speaker_figures
from evalkit.diagnostics.training.gathering import words
from evalkit.diagnostics.training.outcome import phones_of
from evalkit.diagnostics.training.rows import rows
from evalkit.diagnostics.training.verdict import verdict
from evalkit.errors import EvalkitError


def test_energy_is_pooled_over_frames_not_over_clips(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    levels = [rng.normal(-20, 4, 100), rng.normal(-40, 8, 900), rng.normal(-30, 2, 50)]
    table = write_clips(
        tmp_path,
        [
            clip(
                f"c{place}",
                energy_active_frames=float(len(frames)),
                energy_mean_db=float(frames.mean()),
                energy_std_db=float(frames.std()),
            )
            for place, frames in enumerate(levels)
        ],
    )
    every = np.concatenate(levels)
    energy = speaker_figures(table, "anna")["energy"]
    assert energy["mean_db"] == pytest.approx(every.mean())
    assert energy["std_db"] == pytest.approx(every.std())
    assert energy["clips"] == 3
    assert energy["minutes"] == pytest.approx(1050 / 6000)


def test_the_spread_in_speech_alone_is_pooled_likewise(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    speech = [rng.normal(-20, 4, 300), rng.normal(-26, 5, 600)]
    rows = [
        clip(
            f"c{place}",
            energy_active_frames=len(levels) / 0.9,
            speech_frames=float(len(levels)),
            speech_mean_db=float(levels.mean()),
            speech_std_db=float(levels.std()),
        )
        for place, levels in enumerate(speech)
    ]
    silent = clip("silent", energy_active_frames=50.0, speech_frames=0.0)
    unknown = clip("unknown", energy_active_frames=500.0)
    energy = speaker_figures(write_clips(tmp_path, [*rows, silent, unknown]), "anna")["energy"]
    assert energy["speech_std_db"] == pytest.approx(np.concatenate(speech).std())
    assert energy["pauses"] == pytest.approx(1 - 900 / (1000 + 50))
    assert speaker_figures(write_clips(tmp_path, [unknown]), "anna")["energy"]["speech_std_db"] is None


def test_every_figure_of_a_speaker(tmp_path: Path) -> None:
    more = {"f0_median_hz": 200.0, "f0_range_st": 8.0, "speaking_rate": 3.0}
    table = write_clips(
        tmp_path,
        [
            clip("a", seconds=2.0, text="One two.", words=2, dnsmos_ovrl=3.0, silence_ratio=0.5, **more),
            clip("b", seconds=6.0, text="Two, THREE!", words=2, dnsmos_ovrl=4.0, silence_ratio=0.1, sample_rate=16000),
            clip("x", "bert", seconds=1800.0, text="Nobody's."),
        ],
    )
    found = speaker_figures(table, "anna")
    assert found["name"] == "anna"
    assert found["clips"] == 2
    assert found["hours"] == pytest.approx(8 / 3600)
    assert found["clip_s"] == {"mean": 4.0, "sd": pytest.approx(np.sqrt(8))}
    assert found["words"] == {"unique": 3, "per_clip": 2.0}
    assert found["dnsmos"]["mean"] == 3.5
    assert found["dnsmos"]["sd"] == pytest.approx(np.sqrt(0.5))
    assert found["silence_ratio"] == pytest.approx((2 * 0.5 + 6 * 0.1) / 8)  # of all the audio
    assert found["f0_hz"] == {"median": 200.0, "low": 200.0, "high": 200.0}
    assert found["f0_range_st"] == 8.0
    assert found["speaking_rate"] == {"mean": 3.0, "sd": None}
    assert found["sample_rates"] == {"16000": 1, "24000": 1}
    assert found["bandwidth_hz"]["median"] == 11000.0
    assert found["phones"] is None
    assert found["verdict"] is None
    assert sum(found["histograms"]["seconds"]["counts"]) == 2
    assert set(found["histograms"]) >= {"energy_clip_db", "energy_std_db", "dnsmos_ovrl", "wada_snr_db", "f0_median_hz"}
    whole = speaker_figures(table, None)
    assert whole["name"] == "all speakers"
    assert whole["clips"] == 3
    assert whole["words"]["unique"] == 4
    assert all_speakers(table) == [("bert", pytest.approx(0.5)), ("anna", pytest.approx(8 / 3600))]
    json.dumps(whole, allow_nan=False)


def test_copies_count_as_clips_and_hours_and_for_nothing_else(tmp_path: Path) -> None:
    plain = many(40)
    loud = clip("loud", energy_mean_db=-10.0, seconds=3600.0)
    table = write_clips(tmp_path, [*plain, loud])
    copied = write_clips(tmp_path, [*plain, loud, *(_copy(loud, i) for i in range(9))], "copied.parquet")
    once, often = speaker_figures(table, "anna"), speaker_figures(copied, "anna")
    assert (often["clips"], often["copies"]) == (50, 9)
    assert often["hours"] == pytest.approx(once["hours"] + 9)
    assert often["distinct_hours"] == pytest.approx(once["hours"])
    for key in ("energy", "dnsmos", "clip_s", "histograms", "wada_snr_db"):
        assert often[key] == once[key], key
        assert speaker_figures(copied, None)[key] == once[key], key


def test_near_copies_and_unreadable_clips_are_no_evidence_either(tmp_path: Path) -> None:
    plain = [*many(17), *many(17, speaker="bert")]
    again = [row | {"id": f"{row['id']}-again", "text": "Other words.", "energy_mean_db": -60.0} for row in plain]
    bad = clip("bad", text="Zebra quagga okapi.", words=3, problem="gone")
    copied = [*plain, *again, bad]
    clips = write_clips(tmp_path, copied)
    checks = write_checks(tmp_path, copied, {}, near_copy_of={f"{row['id']}-again": row["id"] for row in plain})
    once = write_clips(tmp_path, plain, "once.parquet")
    for name, found in [("anna", speaker_figures(clips, "anna", checks)), (None, speaker_figures(clips, None, checks))]:
        alone = speaker_figures(once, name)
        assert found.pop("hours") == pytest.approx(2 * alone.pop("hours"))
        assert (found.pop("clips"), found.pop("unreadable")) == (
            2 * alone.pop("clips") + 1,
            1 + alone.pop("unreadable"),
        )
        assert found == alone
    assert [one["distinct_clips"] for one in each_speaker(clips, checks)] == [17, 17]
    assert phones_of(clips, checks) == phones_of(once)
    assert verdict(speaker_figures(clips, "anna", checks))["outcome"] == "cannot tell"


def _copy(row: dict[str, object], number: int) -> dict[str, object]:
    return row | {"id": f"copy{number}", "copy_of": row["id"]}


def test_clips_with_problems_are_counted_and_have_no_figures(tmp_path: Path) -> None:
    table = write_clips(tmp_path, [*many(5), clip("bad", problem="is no audio"), clip("mute", "ghost", problem="gone")])
    found = speaker_figures(table, "anna")
    assert (found["clips"], found["unreadable"], found["energy"]["clips"]) == (6, 1, 5)
    ghost = speaker_figures(table, "ghost")
    assert ghost["clips"] == 1
    assert ghost["hours"] == 0
    assert ghost["energy"]["std_db"] is None
    assert ghost["energy"]["std_ci95"] is None
    assert ghost["dnsmos"] == {"mean": None, "sd": None, "sd_ci95": None}
    assert ghost["histograms"] == {}
    assert all_speakers(table)[-1] == ("ghost", 0.0)
    json.dumps(ghost, allow_nan=False)


def test_noise_ratios_at_an_end_of_their_table_are_counted_apart(tmp_path: Path) -> None:
    ratios = (20.0, 30.0, 100.0, -20.0, None)
    table = write_clips(tmp_path, [clip(f"c{place}", wada_snr_db=snr) for place, snr in enumerate(ratios)])
    found = speaker_figures(table, "anna")["wada_snr_db"]
    assert found == {"mean": 25.0, "sd": pytest.approx(np.sqrt(50)), "at_an_end": 2}


def test_without_texts_there_are_no_words(tmp_path: Path) -> None:
    table = write_clips(tmp_path, [row | {"text": None, "words": None} for row in many(3)])
    assert speaker_figures(table, "anna")["words"] is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Don't stop—now, 'please'!", ["don't", "stop", "now", "please"]),
        ("Don’t STOP.", ["don't", "stop"]),
        ("well-known 3.5 ...", ["well-known", "3.5"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया"]),
    ],
)
def test_words_are_told_apart(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_the_interval_is_that_of_resampled_clips(tmp_path: Path) -> None:
    table = many(60, spread_db=9.4, moves_db=4.0)
    n, m, s = (np.array([row[name] for row in table]) for name in spread_columns())
    found = spread.measure(n, m, s, np.array([row["dnsmos_ovrl"] for row in table]))
    picks = np.random.default_rng(SEED).integers(60, size=(RESAMPLES, 60))
    energies = np.array([spread.pooled(n[pick], m[pick], s[pick])[1] for pick in picks])
    assert found.std_ci95 == pytest.approx(np.quantile(energies, [0.025, 0.975]))
    assert found.zones == {
        "gain": pytest.approx((energies >= 12.93).mean()),
        "undecided": pytest.approx(((energies >= 10) & (energies < 12.93)).mean()),
        "collapse": pytest.approx((energies < 10).mean()),
    }
    ratings = np.array([row["dnsmos_ovrl"] for row in table])
    assert found.dnsmos_sd_ci95 == pytest.approx(np.quantile(ratings[picks].std(axis=1, ddof=1), [0.025, 0.975]))


def test_resamples_of_about_13_db_count_as_gain() -> None:
    """The zone of the resamples begins where that of the verdict does."""
    clips = np.full(40, 300.0), np.full(40, -30.0), np.full(40, 12.95), np.full(40, 3.5)
    assert spread.measure(*clips).zones == {"gain": 1.0, "undecided": 0.0, "collapse": 0.0}


def spread_columns() -> tuple[str, str, str]:
    return "energy_active_frames", "energy_mean_db", "energy_std_db"


def test_parts_change_no_number_and_keep_memory_small(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    size = 3000
    data = (np.full(size, 300.0), rng.normal(-30, 3, size), np.full(size, 9.0), rng.normal(3.5, 0.3, size))
    tracemalloc.start()
    whole = spread.measure(*data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6  # 4,000 resamples of 3,000 clips at once take 288 MB
    monkeypatch.setattr(spread, "_CELLS", 50_000)
    parts = spread.measure(*data)
    assert parts.std_ci95 == pytest.approx(whole.std_ci95, rel=1e-12)  # sums in another order
    assert parts.dnsmos_sd_ci95 == pytest.approx(whole.dnsmos_sd_ci95, rel=1e-12)
    assert parts.zones == whole.zones
    assert whole.resamples == 4000


def test_more_clips_than_resampling_needs_get_fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "_DRAWS", 100_000)
    monkeypatch.setattr(spread, "_LEAST", 100)
    data = np.full(200, 300.0), np.linspace(-40, -20, 200), np.full(200, 9.0), np.linspace(3, 4, 200)
    assert spread.measure(*data).resamples == 500


def test_one_clip_has_a_spread_and_no_interval() -> None:
    found = spread.measure(*(np.array([value]) for value in (100.0, -30.0, 9.0, 3.5)))
    assert (found.std_db, found.std_ci95, found.zones, found.dnsmos_sd) == (9.0, None, None, None)


def test_rows_bring_the_flags_of_their_clips(tmp_path: Path) -> None:
    table = [*many(5000), clip("bad", problem="broken"), clip("again", copy_of="anna-0001")]
    clips = write_clips(tmp_path, table)
    checks = write_checks(
        tmp_path, table, {"anna-4500": ["noisy"], "bad": ["unreadable"]}, speaker_cosine={"again": 0.5}
    )
    found = {row["id"]: row for row in rows(clips, checks)}
    assert len(found) == 5002
    assert {name: row["flags"] for name, row in found.items() if row["flags"]} == {
        "anna-4500": ["noisy"],
        "bad": ["unreadable"],
        "again": ["copy"],
    }
    assert found["again"]["speaker_cosine"] == 0.5
    assert [row["flags"] for row in rows(clips, None)][-2:] == [["unreadable"], ["copy"]]


def test_checks_of_other_clips_are_refused(tmp_path: Path) -> None:
    clips = write_clips(tmp_path, many(3))
    checks = write_checks(tmp_path, [clip("somebody")], {})
    with pytest.raises(EvalkitError, match="not of the clips"):
        list(rows(clips, checks))


def test_speakers_that_are_mixed_up_are_told_apart(tmp_path: Path) -> None:
    """Batches of the reader begin and end in the middle of speakers, whose clips come in turn."""
    makers = [
        many(2500, speaker=name, seed=seed, text=f"{name} speaks.") for seed, name in enumerate(("bert", "it's", "a"))
    ]
    rows_ = [row for turn in zip(*makers, strict=True) for row in turn]
    clips = write_clips(
        tmp_path, [*rows_, clip("mute", "ghost", problem="gone"), rows_[0] | {"copy_of": rows_[0]["id"]}]
    )
    found = list(each_speaker(clips))
    assert [one["name"] for one in found] == ["a", "bert", "ghost", "it's"]
    for one in found:
        alone = speaker_figures(clips, one["name"])
        assert one.pop("hours") == pytest.approx(alone.pop("hours"), rel=1e-12)  # summed batch by batch
        assert one == alone
    assert [one["clips"] for one in found] == [2500, 2501, 1, 2500]
    assert [path.name for path in tmp_path.iterdir()] == ["clips.parquet"]  # nothing is left behind
