"""`evalkit gate` from the folder of a run to an exit status."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from commands import Call
from gate_runs import made_run, noise, rows_of

GOOD = noise(30, 0.2, 1)
RULES = """
[[coverage]]
min = 1.0

[[relative]]
column = "dnsmos_ovrl"
margin = 0.1
"""


def values(shift: float = 0.0) -> dict[str, list[float]]:
    return {"dnsmos_ovrl": [value + shift for value in GOOD], "wer": [0.25] * 30}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return made_run(tmp_path / "runs" / "good", rows_of(values()))


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return made_run(tmp_path / "runs" / "bad", rows_of(values(-0.3)))


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    (tmp_path / "gate.toml").write_text(RULES)
    return tmp_path / "gate.toml"


def test_a_run_as_good_as_its_baseline_passes_by_the_suites_own_rules(
    evalkit: Call, good: Path, tmp_path: Path
) -> None:
    again = made_run(tmp_path / "runs" / "again", rows_of(values(0.01)))
    assert evalkit("baseline", "accept", good, "--why", "the first").exit_code == 0
    done = evalkit("gate", again)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("Passed: 4 rules hold; not judged: speaker_similarity within 0.05 of the baseline.")
    verdict = json.loads((again / "gate.json").read_text())
    assert verdict["baseline"] == {"run": "good", "model": "model.pth"}


def test_a_loss_is_blocked_with_status_1_after_the_table(evalkit: Call, good: Path, bad: Path, rules: Path) -> None:
    done = evalkit("gate", bad, "--rules", rules, "--baseline", good)
    assert done.exit_code == 1
    assert done.stdout.startswith("Blocked by 1 of 3 rules: dnsmos_ovrl within 0.1 of the baseline.")
    assert "-0.300" in done.stdout and "BLOCKED" in done.stdout
    assert done.stderr.strip() == "evalkit: Blocked by 1 of 3 rules: dnsmos_ovrl within 0.1 of the baseline."
    assert json.loads((bad / "gate.json").read_text())["verdict"] == "blocked"


def test_json_alone_goes_to_standard_output(evalkit: Call, good: Path, bad: Path, rules: Path) -> None:
    done = evalkit("gate", bad, "--rules", rules, "--baseline", good, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout) == json.loads((bad / "gate.json").read_text())


def test_a_baseline_by_id_and_as_a_table(evalkit: Call, good: Path, bad: Path, rules: Path, tmp_path: Path) -> None:
    assert evalkit("gate", bad, "--rules", rules, "--baseline", "good").exit_code == 1
    table = tmp_path / "published.csv"
    table.write_text("item,dnsmos_ovrl\n" + "".join(f"i-{i:02d},{value}\n" for i, value in enumerate(GOOD)))
    done = evalkit("gate", bad, "--rules", rules, "--baseline", table)
    assert done.exit_code == 1
    assert "published.csv is a table without passports" in " ".join(done.stdout.split())
    missing = evalkit("gate", bad, "--rules", rules, "--baseline", "nowhere")
    assert missing.exit_code == 2 and "There is no baseline nowhere" in missing.stderr


def test_a_table_of_scores_can_be_judged(evalkit: Call, good: Path, rules: Path, tmp_path: Path) -> None:
    table = tmp_path / "theirs.csv"
    table.write_text("item,dnsmos_ovrl\n" + "".join(f"i-{i:02d},{value - 0.3}\n" for i, value in enumerate(GOOD)))
    assert evalkit("gate", table, "--rules", rules, "--baseline", good).exit_code == 1
    alone = evalkit("gate", table)
    assert alone.exit_code == 2 and "give a file of them with --rules" in alone.stderr


def test_no_baseline_is_said_and_strict_blocks(evalkit: Call, good: Path, rules: Path) -> None:
    done = evalkit("gate", good, "--rules", rules)
    assert done.exit_code == 0
    assert "There is no accepted baseline" in done.stdout
    assert evalkit("gate", good, "--rules", rules, "--strict").exit_code == 1


def test_reports_for_ci(evalkit: Call, good: Path, bad: Path, rules: Path, tmp_path: Path) -> None:
    junit, markdown = tmp_path / "gate.xml", tmp_path / "gate.md"
    done = evalkit("gate", bad, "--rules", rules, "--baseline", good, "--junit", junit, "--markdown", markdown)
    assert done.exit_code == 1, "written also where the gate says no"
    suite = ElementTree.parse(junit).getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    assert markdown.read_text().startswith("## ❌ Blocked by 1 of 3 rules")


@pytest.mark.parametrize("unfinished", ["manifest.json", "summary.json"])
def test_an_unfinished_run_is_bad_input(evalkit: Call, good: Path, bad: Path, unfinished: str) -> None:
    (bad / unfinished).unlink()
    assert evalkit("gate", bad).exit_code == 2
    assert evalkit("gate", good, "--baseline", bad).exit_code == 2
    assert not (bad / "gate.json").exists()


def test_rules_and_runs_that_do_not_fit_are_bad_input(evalkit: Call, good: Path, rules: Path, tmp_path: Path) -> None:
    other = made_run(
        tmp_path / "runs" / "other", rows_of(values()), suite={"name": "general", "version": "1", "sha256": "0"}
    )
    refused = evalkit("gate", good, "--rules", rules, "--baseline", other)
    assert refused.exit_code == 2 and "the suites differ (smoke 1 and general 1)" in refused.stderr
    rules.write_text('[[relative]]\ncolumn = "dnsmos_ovr"\nmargin = 0.1')
    missing = evalkit("gate", good, "--rules", rules, "--baseline", good)
    assert missing.exit_code == 2 and "did you mean 'dnsmos_ovrl'?" in missing.stderr
    rules.write_text("[[relative]]\nmargin = 0.1")
    wrong = evalkit("gate", good, "--rules", rules)
    assert wrong.exit_code == 2 and "relative rule 1: the field 'column' is missing" in wrong.stderr
    assert not (good / "gate.json").exists()


def test_a_suite_without_rules_and_audio_that_existed(evalkit: Call, tmp_path: Path) -> None:
    mine = made_run(tmp_path / "a", rows_of(values()), suite={"name": "mine", "version": "1", "sha256": "0"})
    assert "brings no gate.toml along" in evalkit("gate", mine).stderr
    scored = made_run(tmp_path / "b", rows_of(values()), engine=None)
    assert "give a file of them with --rules" in evalkit("gate", scored).stderr


def test_a_baseline_that_was_moved_away(evalkit: Call, good: Path, bad: Path, tmp_path: Path) -> None:
    evalkit("baseline", "accept", good, "--why", "the first")
    good.rename(tmp_path / "elsewhere")
    done = evalkit("gate", bad)
    assert done.exit_code == 2
    assert "The accepted baseline good is no longer in" in done.stderr


def test_a_label_that_nobody_accepted(evalkit: Call, good: Path) -> None:
    done = evalkit("gate", good, "--label", "release")
    assert done.exit_code == 2
    assert "was accepted under the label 'release'" in done.stderr


@pytest.mark.parametrize("name", ["manifest.json", "summary.json"])
def test_a_run_with_a_damaged_file_is_bad_input_in_one_sentence(
    evalkit: Call, good: Path, bad: Path, rules: Path, name: str
) -> None:
    (bad / name).write_text("{}")
    for arguments in (("gate", bad, "--rules", rules), ("gate", good, "--baseline", bad, "--rules", rules),
                      ("compare", good, bad)):  # fmt: skip
        done = evalkit(*arguments)
        assert done.exit_code == 2 and f"{name} is damaged" in done.stderr.replace("\n", "")
