"""Whose audio goes: files in front of links, baselines, blocked and last runs, and never a score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import Call
from made_nights import NIGHTLY, Site, made_run

from evalkit.decisions.scores import open_scores
from evalkit.nightly.retention import PRUNED, mark_again
from evalkit.runs.baselines import accept
from evalkit.runs.folder import RunFolder

KEEP = NIGHTLY.replace('[[model]]\nname = "sumit"\npath = "sumit.pth"\n', "") + "\n[keep]\naudio_nights = 2\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr("evalkit.pipeline.run.run_checkpoint", made_run)
    return Site(tmp_path, KEEP)


def night(evalkit: Call, site: Site, number: int, **said: Any) -> RunFolder:
    site.checkpoint("sarah", seed=number, **said)
    result = evalkit("nightly", site.config, "--night", f"n{number}")
    assert result.exit_code in (0, 1), result.output
    return RunFolder(site.runs / site.entry(f"n{number}")["run"])


def audio(run: RunFolder) -> int:
    return len(list(run.audio_path.glob("*.flac")))


def test_audio_of_old_nights_goes_and_nothing_else(evalkit: Call, site: Site) -> None:
    runs = [night(evalkit, site, number) for number in range(3)]
    assert [audio(run) for run in runs] == [0, 24, 24]
    kept = ["manifest.json", "scores.parquet", "summary.json", "report.html", "gate.json"]
    assert all((runs[0].path / name).is_file() for name in kept)
    assert len(open_scores(runs[0].path).rows) == 24
    assert json.loads((runs[0].path / PRUNED).read_text())["files"] == 24
    assert "The audio was pruned" in runs[0].report_path.read_text()
    assert runs[0].path.name in site.page("nights/n2.html") and site.night("n2")["pruned"]["bytes"] > 0
    report = runs[0].report_path.read_text()
    mark_again(runs[0])
    assert runs[0].report_path.read_text() == report


def test_a_baseline_is_kept_under_any_label_until_another_is_accepted(evalkit: Call, site: Site) -> None:
    runs = [night(evalkit, site, 0)]
    accept(runs[0], "production", "me", "good")
    runs += [night(evalkit, site, number) for number in range(1, 4)]
    assert [audio(run) for run in runs] == [24, 0, 24, 24]
    accept(runs[2], "production", "me", "better")
    night(evalkit, site, 4)
    assert [audio(run) for run in runs] == [0, 0, 24, 24]


def test_the_run_that_began_to_be_blocked_is_kept_and_its_successors_are_not(evalkit: Call, site: Site) -> None:
    runs = [night(evalkit, site, 0)]
    accept(runs[0], "sarah", "me", "good")
    runs += [night(evalkit, site, number, dnsmos_ovrl=2.5) for number in (1, 2)]
    runs += [night(evalkit, site, number) for number in range(3, 6)]
    assert [site.entry(f"n{number}")["verdict"] for number in (1, 2, 3)] == ["blocked", "blocked", "pass"]
    assert [audio(run) for run in runs] == [24, 24, 0, 0, 24, 24]


def test_the_last_run_of_a_model_is_kept_however_long_it_is_unchanged_or_fails(evalkit: Call, site: Site) -> None:
    run = night(evalkit, site, 0)
    site.checkpoint("sarah", raises="it is broken")
    for number in range(1, 5):
        assert evalkit("nightly", site.config, "--night", f"n{number}").exit_code == 3
    assert audio(run) == 24


def test_zero_nights_keep_everything(evalkit: Call, site: Site) -> None:
    site.config.write_text(KEEP.replace("audio_nights = 2", "audio_nights = 0"))
    runs = [night(evalkit, site, number) for number in range(3)]
    assert [audio(run) for run in runs] == [24, 24, 24]


def test_a_dry_run_lists_and_removes_nothing(evalkit: Call, site: Site) -> None:
    site.config.write_text(KEEP.replace("audio_nights = 2", "audio_nights = 0"))
    runs = [night(evalkit, site, number) for number in range(3)]
    site.config.write_text(KEEP)
    said = json.loads(evalkit("nightly", site.config, "--dry-run", "--json").stdout)
    assert [(one["run"], one["files"]) for one in said["pruned"]] == [(runs[0].path.name, 24)]
    assert audio(runs[0]) == 24


@pytest.mark.parametrize("linked", ["file", "audio", "run", "neighbour"])
def test_links_are_not_followed_out_of_the_runs(evalkit: Call, site: Site, tmp_path: Path, linked: str) -> None:
    run = night(evalkit, site, 0)
    outside = tmp_path / "outside"
    outside.mkdir()
    kept = outside / "kept.flac"
    kept.write_bytes(b"somebody's")
    if linked == "file":
        (run.audio_path / "link.flac").symlink_to(kept)
    elif linked == "audio":
        run.audio_path.rename(outside / "audio")
        run.audio_path.symlink_to(outside / "audio")
    elif linked == "neighbour":  # another run of somebody's
        run.path.rename(site.runs / "mine")
        run.path.symlink_to(site.runs / "mine")
    else:
        run.path.rename(outside / "run")
        run.path.symlink_to(outside / "run")
    for number in (1, 2):
        night(evalkit, site, number)
    assert kept.read_bytes() == b"somebody's"
    assert audio(run) == (1 if linked == "file" else 24)


def test_runs_that_no_night_made_are_left_alone(evalkit: Call, site: Site) -> None:
    night(evalkit, site, 0)
    own = site.runs / "2026-01-01-mine-smoke-12345678" / "audio"
    own.mkdir(parents=True)
    (own / "a.flac").touch()
    for number in (1, 2, 3):
        night(evalkit, site, number)
    assert (own / "a.flac").exists()


def test_a_baseline_that_the_file_names_by_a_link_keeps_its_audio(evalkit: Call, site: Site) -> None:
    first = night(evalkit, site, 0)
    link = site.folder / "production"
    link.symlink_to(first.path)
    site.config.write_text(KEEP.replace('path = "sarah.pth"', 'path = "sarah.pth"\nbaseline = "production"'))
    runs = [night(evalkit, site, number) for number in range(1, 4)]
    assert audio(first) == 24 and audio(runs[0]) == 0
