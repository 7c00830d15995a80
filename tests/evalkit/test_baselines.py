"""Which run is the baseline: accepted by somebody, for a reason, and never forgotten."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from commands import Call
from gate_runs import made_run, rows_of

from evalkit.errors import EvalkitError
from evalkit.runs import baselines
from evalkit.runs.folder import RunFolder

ROWS = rows_of({"dnsmos_ovrl": [3.0, 3.1]})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        made_run(tmp_path / "runs" / name, ROWS)
    made_run(tmp_path / "runs" / "g", ROWS, suite={"name": "general", "version": "1", "sha256": "0"})
    return tmp_path / "runs"


def test_the_last_one_counts_for_its_label_and_suite(out: Path) -> None:
    assert baselines.accepted(out, "default", "smoke") is None
    for run, label in (("a", "default"), ("g", "default"), ("b", "default"), ("a", "release")):
        baselines.accept(RunFolder(out / run), label, "Ada", "because")
    found = {
        (label, suite): entry and entry.run
        for label in ("default", "release")
        for suite in ("smoke", "general")
        for entry in [baselines.accepted(out, label, suite)]
    }
    assert found == {
        ("default", "smoke"): "b",
        ("default", "general"): "g",
        ("release", "smoke"): "a",
        ("release", "general"): None,
    }
    assert [entry.run for entry in baselines.entries(out)] == ["a", "g", "b", "a"]


def test_accept_list_and_show(evalkit: Call, out: Path) -> None:
    done = evalkit("baseline", "accept", out / "a", "--why", "sounds right", "--who", "Ada", "--json")
    assert done.exit_code == 0
    entry = json.loads(done.stdout)
    assert {key: entry[key] for key in ("label", "suite", "run", "who", "why")} == {
        "label": "default",
        "suite": "smoke",
        "run": "a",
        "who": "Ada",
        "why": "sounds right",
    }
    assert json.loads((out / "baselines.jsonl").read_text()) == entry
    evalkit("baseline", "accept", out / "b", "--why", "better", "--who", "Bo")
    rows = json.loads(evalkit("baseline", "list", "--out", out, "--json").stdout)
    assert [(row["run"], row["counts"], row["there"]) for row in rows] == [("a", False, True), ("b", True, True)]
    shown = evalkit("baseline", "show", "--out", out)
    assert "accepted by Bo" in shown.stdout and str(out / "b") in shown.stdout
    assert "sounds right" in evalkit("baseline", "list", "--out", out).stdout


def test_show_asks_which_suite_where_there_are_several(evalkit: Call, out: Path) -> None:
    assert "was accepted under the label 'default'" in evalkit("baseline", "show", "--out", out).stderr
    for run in ("a", "g"):
        evalkit("baseline", "accept", out / run, "--why", "x")
    unsure = evalkit("baseline", "show", "--out", out)
    assert unsure.exit_code == 2 and "--suite (general, smoke)" in unsure.stderr
    assert str(out / "g") in evalkit("baseline", "show", "--out", out, "--suite", "general").stdout
    missed = evalkit("baseline", "show", "--out", out, "--suite", "genral")
    assert missed.exit_code == 2 and "did you mean 'general'?" in missed.stderr


def test_an_empty_folder_has_no_baselines(evalkit: Call, tmp_path: Path) -> None:
    assert "was accepted yet" in evalkit("baseline", "list", "--out", tmp_path).stdout
    assert json.loads(evalkit("baseline", "list", "--out", tmp_path, "--json").stdout) == []


def test_a_run_that_never_finished_is_refused(evalkit: Call, out: Path) -> None:
    (out / "a" / "summary.json").unlink()
    done = evalkit("baseline", "accept", out / "a", "--why", "hope")
    assert done.exit_code == 2 and "never finished" in done.stderr
    assert not (out / "baselines.jsonl").exists()


@pytest.mark.parametrize("empty", ["--why", "--who", "--label"])
def test_nobody_and_no_reason_are_refused(evalkit: Call, out: Path, empty: str) -> None:
    given = {"--why": "x", "--who": "x", "--label": "x", empty: "  "}
    done = evalkit("baseline", "accept", out / "a", *(part for pair in given.items() for part in pair))
    assert done.exit_code == 2 and f"{empty} is empty" in done.stderr


def test_a_blocked_run_needs_force_and_is_marked(evalkit: Call, out: Path) -> None:
    verdict = {"verdict": "blocked", "sentence": "Blocked by 1 of 2 rules: coverage."}
    (out / "a" / "gate.json").write_text(json.dumps(verdict))
    done = evalkit("baseline", "accept", out / "a", "--why", "new voice")
    assert done.exit_code == 2
    assert "Blocked by 1 of 2 rules: coverage. Give --force" in done.stderr
    assert evalkit("baseline", "accept", out / "a", "--why", "new voice", "--force").exit_code == 0
    assert baselines.entries(out)[-1].forced
    (out / "a" / "gate.json").write_text(json.dumps({**verdict, "verdict": "pass"}))
    assert evalkit("baseline", "accept", out / "a", "--why", "new voice").exit_code == 0
    assert not baselines.entries(out)[-1].forced


def test_who_is_gits_user_by_default(evalkit: Call, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Grace Hopper")
    evalkit("baseline", "accept", out / "a", "--why", "x")
    assert baselines.entries(out)[-1].who == "Grace Hopper"


def test_who_is_the_login_without_git(evalkit: Call, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("LOGNAME", "grace")
    evalkit("baseline", "accept", out / "a", "--why", "x")
    assert baselines.entries(out)[-1].who == "grace"


def test_a_line_that_a_kill_cut_short_is_passed_over_and_replaced(out: Path) -> None:
    baselines.accept(RunFolder(out / "a"), "default", "Ada", "x")
    path = out / "baselines.jsonl"
    path.write_bytes(path.read_bytes() + b'{"label": "defau')
    assert [entry.run for entry in baselines.entries(out)] == ["a"]
    baselines.accept(RunFolder(out / "b"), "default", "Ada", "y")
    assert [entry.run for entry in baselines.entries(out)] == ["a", "b"]


def test_damage_is_named(out: Path) -> None:
    baselines.accept(RunFolder(out / "a"), "default", "Ada", "x")
    path = out / "baselines.jsonl"
    path.write_bytes(b"{}\n" + path.read_bytes())
    with pytest.raises(EvalkitError, match=r"baselines\.jsonl is damaged at line 1"):
        baselines.entries(out)


def test_acceptances_at_once_are_all_kept(out: Path) -> None:
    def one(index: int) -> None:
        baselines.accept(RunFolder(out / "a"), "default", "Ada", f"reason {index} " + "x" * 5000)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(40)))
    assert len({entry.why for entry in baselines.entries(out)}) == 40


def test_the_folder_of_a_run_given_by_a_relative_path(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(out / "a")
    baselines.accept(RunFolder(Path(".")), "default", "Ada", "x")
    assert [entry.run for entry in baselines.entries(out)] == ["a"]


def test_a_last_line_without_its_newline_counts_and_stays(out: Path) -> None:
    baselines.accept(RunFolder(out / "a"), "default", "Ada", "x")
    baselines.accept(RunFolder(out / "b"), "default", "Ada", "y")
    path = out / "baselines.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))  # as some editors leave it
    assert baselines.accepted(out, "default", "smoke") == baselines.entries(out)[1]
    baselines.accept(RunFolder(out / "a"), "default", "Ada", "z")
    assert [entry.why for entry in baselines.entries(out)] == ["x", "y", "z"]
