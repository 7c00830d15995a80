"""Nights through the command, with runs that need no engine; and one night that speaks."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from commands import QUICK, VOICES, Call
from made_nights import NIGHTLY, Site, made_run

from evalkit.nightly.nights import Nights
from evalkit.nightly.site import rank
from evalkit.runs.baselines import accept
from evalkit.runs.folder import RunFolder


class Killed(BaseException):
    """What a process that is killed does not come back from."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Models in the order in which they were run."""
    made: list[str] = []

    def run(subject: Path | None, *rest: Any) -> Any:
        made.append(subject.stem if subject else "engine")
        if subject is not None and json.loads(subject.read_text()).get("kills"):
            raise Killed
        return made_run(subject, *rest)

    monkeypatch.setattr("evalkit.pipeline.run.run_checkpoint", run)
    return made


@pytest.fixture
def site(tmp_path: Path, calls: list[str]) -> Site:
    return Site(tmp_path)


def accept_all(site: Site, label: str) -> None:
    for entry in site.night(label)["jobs"]:
        accept(RunFolder(site.runs / entry["run"]), entry["label"], "me", "it is good")


def test_the_first_night_judges_what_needs_no_baseline_and_says_how_to_accept(evalkit: Call, site: Site) -> None:
    result = evalkit("nightly", site.config, "--night", "one")
    assert result.exit_code == 0, result.output
    entry = site.entry("one")
    assert entry["verdict"] == "pass" and entry["baseline"] is None and entry["last"] is None
    assert {rule["name"]: rule["result"] for rule in entry["gate"]["rules"]}["DNS-MOS holds"] == "skipped"
    assert f"evalkit baseline accept runs/{entry['run']} --label sarah --why" in site.page("nights/one.html")
    assert "first night" in site.page("index.html") and "trends/" in site.page("index.html")


def test_a_regression_is_blocked_and_named_and_the_others_are_not_spoken_again(evalkit: Call, site: Site) -> None:
    evalkit("nightly", site.config, "--night", "one")
    accept_all(site, "one")
    site.checkpoint("sarah", dnsmos_ovrl=2.6, bad={"s-004": 0.5, "s-017": 0.7})
    result = evalkit("nightly", site.config, "--night", "two")
    assert result.exit_code == 1 and "The gate blocked sarah on smoke" in result.output
    entry, other = site.entry("two"), site.entry("two", "sumit")
    (rule,) = (rule for rule in entry["gate"]["rules"] if rule["blocks"])
    assert rule["column"] == "dnsmos_ovrl" and rule["items"][:2] == ["s-017", "s-004"]
    assert entry["new_rules"] == ["DNS-MOS holds"]
    assert entry["baseline"]["columns"]["dnsmos_ovrl"]["answer"] == "worse"
    assert entry["last"]["night"] == "one" and entry["last"]["columns"]["dnsmos_ovrl"]["answer"] == "worse"
    assert other["verdict"] == "pass" and other["unchanged_since"] == "one" and other["last"]["same"]
    for page in ("index.html", "nights/two.html"):
        text = site.page(page)
        assert "DNS-MOS holds" in text and "s-017" in text and "unchanged since one" in text
        assert text.index("on smoke</a> is blocked") < text.index('class="badge good"')
    junit = ElementTree.fromstring(site.page("nights/two.junit.xml"))
    assert [case.get("name") for case in junit.iter("testcase") if case.find("failure") is not None] == [rule["name"]]
    assert "| sarah | smoke | blocked, new | DNS-MOS holds (s-017, s-004" in site.page("nights/two.md")
    evalkit("nightly", site.config, "--night", "three")
    again = site.entry("three")
    assert again["verdict"] == "blocked" and again["new_rules"] == [] and again["unchanged_since"] == "two"
    assert "Nothing fails that did not fail before" in site.page("nights/three.html")
    page = site.runs / entry["run"] / entry["baseline"]["page"]
    assert page.is_file() and f"../runs/{entry['run']}/{page.name}" in site.page("nights/two.html")


def test_what_the_gate_blocked_is_no_baseline_by_oversight(evalkit: Call, site: Site) -> None:
    evalkit("nightly", site.config, "--night", "one")
    accept_all(site, "one")
    site.checkpoint("sarah", dnsmos_ovrl=2.6)
    evalkit("nightly", site.config, "--night", "two")
    result = evalkit("baseline", "accept", site.runs / site.entry("two")["run"], "--label", "sarah", "--why", "x")
    assert result.exit_code == 2 and "The gate blocked the run" in result.output


@pytest.mark.parametrize("trouble", ["raises", "crashes"])
def test_a_job_that_fails_is_an_entry_and_the_others_run(evalkit: Call, site: Site, trouble: str) -> None:
    site.checkpoint("sarah", **{trouble: f"no room left on {site.folder}/disk/x.pth"})
    result = evalkit("nightly", site.config, "--night", "one")
    assert result.exit_code == 3 and "No sound result of sarah on smoke" in result.output
    assert site.entry("one", "sumit")["verdict"] == "pass"
    entry = site.entry("one")
    assert entry["state"] == "failed" and "no room left on disk/x.pth" in entry["reason"] and entry["new_trouble"]
    assert "no room left on" in site.page("index.html")
    junit = ElementTree.fromstring(site.page("nights/one.junit.xml"))
    assert [s.get("name") for s in junit.iter("testsuite") if s.get("failures") != "0"] == ["sarah on smoke"]
    evalkit("nightly", site.config, "--night", "two")
    assert not site.entry("two")["new_trouble"]
    site.checkpoint("sarah")
    assert evalkit("nightly", site.config, "--night", "three").exit_code == 0


def test_a_mistake_in_judging_or_comparing_does_not_cost_the_figures(
    evalkit: Call, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **named: Any) -> Any:
        raise ZeroDivisionError("of no use")

    evalkit("nightly", site.config, "--night", "one")
    accept_all(site, "one")
    site.checkpoint("sarah", seed=1)
    monkeypatch.setattr("evalkit.decisions.gate.judging.judge", broken)
    monkeypatch.setattr("evalkit.decisions.comparison.compare", broken)
    assert evalkit("nightly", site.config, "--night", "two").exit_code == 3
    entry = site.entry("two")
    assert entry["state"] == "done" and entry["verdict"] == "not judged" and entry["columns"]["dnsmos_ovrl"]["mean"] > 2
    assert "ZeroDivisionError: of no use" in site.page("nights/two.html")
    assert any("The comparison with" in notice for notice in entry["notices"])


def test_a_killed_night_goes_on_and_repeats_nothing(evalkit: Call, site: Site, calls: list[str]) -> None:
    site.checkpoint("sumit", kills=True)
    with pytest.raises(Killed):
        evalkit("nightly", site.config)
    (label,) = Nights(site.out).labels()
    assert site.entry(label)["state"] == "done" and site.entry(label, "sumit")["state"] == "waiting"
    site.checkpoint("sumit")
    assert evalkit("nightly", site.config).exit_code == 0
    assert calls == ["sarah", "sumit", "sumit"]
    assert Nights(site.out).labels() == [label] and site.night(label)["ended"]


@pytest.mark.parametrize(("hours", "goes_on"), [(3, True), (20, False)])
def test_a_night_that_was_interrupted_goes_on_over_midnight_and_not_for_ever(
    evalkit: Call, site: Site, hours: int, goes_on: bool
) -> None:
    site.checkpoint("sumit", kills=True)
    with pytest.raises(Killed):
        evalkit("nightly", site.config, "--night", "yesterday")
    nights = Nights(site.out)
    began = datetime.now().astimezone() - timedelta(hours=hours)
    nights.write({**nights.read("yesterday"), "started": began.isoformat()})
    site.checkpoint("sumit")
    assert evalkit("nightly", site.config).exit_code == 0
    assert site.night("yesterday")["ended"] is not None and site.entry("yesterday")["state"] == "done"
    assert site.entry("yesterday", "sumit")["state"] == ("done" if goes_on else "failed")
    assert "yesterday" in site.page("index.html") and (site.out / "nights" / "yesterday.html").is_file()
    today = datetime.now().date().isoformat()
    assert nights.labels() == (["yesterday"] if goes_on else sorted([today, "yesterday"]))


def test_checkpoints_that_vanish_cost_their_job_and_no_night(evalkit: Call, site: Site) -> None:
    evalkit("nightly", site.config, "--night", "one")
    (site.folder / "sarah.pth").unlink()
    result = evalkit("nightly", site.config, "--night", "two")
    assert result.exit_code == 3
    assert "does not exist" in site.entry("two")["reason"] and site.entry("two", "sumit")["state"] == "done"


def test_short_coverage_ends_with_3(evalkit: Call, site: Site) -> None:
    site.checkpoint("sarah", failed=1)
    result = evalkit("nightly", site.config, "--night", "one")
    assert result.exit_code == 3 and site.entry("one")["verdict"] == "pass"
    assert "only 23 of 24 utterances" in site.page("nights/one.html")
    junit = ElementTree.fromstring(site.page("nights/one.junit.xml"))
    assert [case.get("name") for case in junit.iter("testcase") if case.find("failure") is not None] == ["the run"]
    assert "only 23 of 24 utterances" in site.page("nights/one.md")
    site.config.write_text(NIGHTLY + "min_coverage = 0.9\n")
    assert evalkit("nightly", site.config, "--night", "two").exit_code == 0


def test_other_passports_are_not_judged_nor_compared_and_the_figures_stay(evalkit: Call, site: Site) -> None:
    evalkit("nightly", site.config, "--night", "one")
    accept_all(site, "one")
    site.checkpoint("sarah", judge="another")
    result = evalkit("nightly", site.config, "--night", "two")
    assert result.exit_code == 3
    entry = site.entry("two")
    assert entry["verdict"] == "not judged" and entry["columns"]["dnsmos_ovrl"]["mean"] > 2
    assert "passports of 'dnsmos' differ" in entry["baseline"]["incomparable"]
    assert "Not comparable with last night" in site.page("nights/two.html")
    assert site.page(f"trends/{entry['key']}.html").count("The passport changed once") == 1  # of DNS-MOS alone
    ElementTree.fromstring(site.page("nights/two.junit.xml"))


def test_the_site_holds_no_path_of_the_machine_and_only_relative_links(evalkit: Call, site: Site) -> None:
    evalkit("nightly", site.config, "--night", "one")
    site.checkpoint(
        "sarah", raises=f"{site.folder}/sarah.pth and /data/models/base.pth, https://me:secret@host/x are broken"
    )
    evalkit("nightly", site.config, "--night", "two")
    pages = [*site.out.glob("*.html"), *site.out.glob("nights/*"), *site.out.glob("trends/*")]
    assert len(pages) >= 10
    for page in pages:
        text = page.read_text()
        assert (
            "secret" not in text
            and str(site.folder) not in text
            and "/home/somebody" not in text
            and "/data/models" not in text
        ), page
        assert 'href="/' not in text and "http://" not in text.replace("http://www.w3.org", ""), page
    links = [part.split('"')[0] for part in site.page("index.html").split('href="')[1:]]
    assert all(link.startswith("#") or (site.out / link.split("#")[0]).is_file() for link in links), links
    near = [part.split('"')[0] for part in site.page("nights/one.html").split('href="')[1:]]
    assert all(link.startswith("#") or (site.out / "nights" / link.split("#")[0]).is_file() for link in near), near


def test_what_is_new_stands_before_what_is_worse_and_known() -> None:
    jobs = [("known", "blocked", False), ("news", "failed", True), ("fine", "pass", False), ("fresh", "blocked", True)]
    cards = [{"label": label, "suite": "smoke", "status": status, "new": new} for label, status, new in jobs]
    assert [one["label"] for one in sorted(cards, key=rank)] == ["fresh", "news", "known", "fine"]


def test_names_are_escaped(evalkit: Call, tmp_path: Path, calls: list[str]) -> None:
    site = Site(tmp_path, NIGHTLY.replace('name = "sarah"', 'name = "<b>sa|rah</b>"'))
    assert evalkit("nightly", site.config, "--night", "one").exit_code == 0
    for page in [*site.out.glob("*.html"), *site.out.glob("nights/*.html"), *site.out.glob("trends/*.html")]:
        assert "<b>sa" not in page.read_text()
    assert "&lt;b>sa\\|rah&lt;/b>" in site.page("nights/one.md")


def test_json_is_all_that_goes_to_stdout(evalkit: Call, site: Site) -> None:
    result = evalkit("nightly", site.config, "--night", "one", "--json")
    assert json.loads(result.stdout) == site.night("one")


def test_a_dry_run_says_what_would_run_and_writes_nothing(evalkit: Call, site: Site, calls: list[str]) -> None:
    result = evalkit("nightly", site.config, "--dry-run", "--night", "one", "--json")
    said = json.loads(result.stdout)
    assert said["night"] == "one" and [job["model"] for job in said["jobs"]] == ["sarah", "sumit"]
    assert not site.out.exists() and calls == []


def test_the_summary_goes_to_the_page_of_the_ci_job(
    evalkit: Call, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "step.md"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    evalkit("nightly", site.config, "--night", "one")
    assert page.read_text() == "before\n" + site.page("nights/one.md")


def test_a_second_process_is_refused(evalkit: Call, site: Site) -> None:
    with Nights(site.out).locked():
        result = evalkit("nightly", site.config)
    assert result.exit_code == 2 and "Another evalkit nightly is at work" in result.output


@pytest.mark.parametrize("label", ["../x", "", "a b", ".hidden"])
def test_a_night_needs_a_name_that_a_file_can_have(evalkit: Call, site: Site, label: str) -> None:
    result = evalkit("nightly", site.config, "--night", label or "/")
    assert result.exit_code == 2 and "--night" in result.output


def test_several_engines_are_several_models(evalkit: Call, tmp_path: Path, calls: list[str]) -> None:
    site = Site(tmp_path, NIGHTLY.replace("[run]", '[[model]]\nname = "plain"\nengine = ["flite", "espeak-ng"]\n[run]'))
    assert evalkit("nightly", site.config, "--night", "one").exit_code == 0
    assert [one["label"] for one in site.night("one")["jobs"]] == [
        "sarah",
        "sumit",
        "plain (flite)",
        "plain (espeak-ng)",
    ]
    assert site.entry("one", "plain (flite)")["engine"] == "flite"


def test_a_night_that_speaks(evalkit: Call, tmp_path: Path) -> None:
    config = tmp_path / "nightly.toml"
    config.write_text(
        f"""
        [[model]]
        name = "merged"
        path = "{VOICES / "merged.pth"}"
        [[suite]]
        name = "smoke"
        limit = 4
        rules = "gate.toml"
        [run]
        metrics = {json.dumps(QUICK.split(","))}
        """
    )
    (tmp_path / "gate.toml").write_text('[[absolute]]\ncolumn = "wada_snr_db"\nmin = 5.0\n')
    assert evalkit("nightly", config, "--night", "one").exit_code == 0
    (run,) = (tmp_path / "nightly" / "runs").iterdir()
    times = {path: path.stat().st_mtime_ns for path in (run / "audio").iterdir()}
    (tmp_path / "gate.toml").write_text('[[absolute]]\ncolumn = "wada_snr_db"\nmin = 99.0\n')
    assert evalkit("nightly", config, "--night", "two").exit_code == 1
    assert {path: path.stat().st_mtime_ns for path in (run / "audio").iterdir()} == times and len(times) == 4
    entry = json.loads((tmp_path / "nightly" / "nights" / "two.json").read_text())["jobs"][0]
    assert entry["unchanged_since"] == "one" and entry["engine"] == "tinytts" and entry["coverage"]["ok"] == 4


@pytest.mark.parametrize("lost", ["the folder", "the list", "its summary"])
def test_a_baseline_that_cannot_be_read_lets_no_loss_through(evalkit: Call, site: Site, lost: str) -> None:
    evalkit("nightly", site.config, "--night", "one")
    accept_all(site, "one")
    baseline = site.runs / site.entry("one")["run"]
    site.checkpoint("sarah", dnsmos_ovrl=2.6)
    if lost == "the folder":
        baseline.rename(site.folder / "elsewhere")
    elif lost == "the list":
        (site.runs / "baselines.jsonl").write_text("{}\n")
    else:
        (baseline / "summary.json").write_text("{}")
    result = evalkit("nightly", site.config, "--night", "two")
    assert result.exit_code == 3 and "No sound result of sarah on smoke" in result.output, result.output
    entry = site.entry("two")
    assert entry["verdict"] == "not judged" and entry["gate"] is None and entry["new_trouble"]
    assert entry["problem"].startswith("The baseline cannot be read: ")
    assert "The baseline cannot be read" in site.page("nights/two.html")
    assert "The baseline cannot be read" in site.page("nights/two.md")
    assert "evalkit baseline accept runs/" not in site.page("nights/two.html"), "it is not the first night"
    junit = ElementTree.fromstring(site.page("nights/two.junit.xml"))
    assert next(s.get("name") for s in junit.iter("testsuite") if s.get("failures") != "0") == "sarah on smoke"
    assert "two" in site.page("index.html") and not (site.out / "open-night.json").exists()


def test_a_damaged_list_of_baselines_is_said_when_the_pages_are_made_again(evalkit: Call, site: Site) -> None:
    evalkit("nightly", site.config, "--night", "one")
    (site.runs / "baselines.jsonl").write_text("{}\n")
    result = evalkit("nightly", site.config, "--rebuild")
    assert result.exit_code == 0 and "The trends mark no baseline" in result.output, result.output
