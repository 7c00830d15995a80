"""`evalkit select` as a command: from checkpoints to a choice, resumed, with what is broken left aside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import QUICK, VOICES, Call

from evalkit.decisions.select.advice import advise
from evalkit.pipeline.sources import EngineSource

OVERLONG = VOICES / "overlong"
TWO = (OVERLONG / "step-00050.pth", OVERLONG / "step-01600.pth")
SMALL = ("--suite", "smoke", "--limit", 4, "--metrics", QUICK, "--primary", "wada_snr_db", "--quiet")


def result_of(out: Path) -> dict[str, Any]:
    (path,) = (out / "selections").glob("*/select.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.fixture(scope="module")
def selected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, int]:
    """A selection of two good checkpoints and a broken one, in two stages."""
    from typer.testing import CliRunner

    from evalkit.cli.main import app

    folder = tmp_path_factory.mktemp("selection")
    broken = folder / "step-00900.pth"
    broken.write_bytes(TWO[0].read_bytes()[:5000])
    arguments = ["select", *TWO, broken, *SMALL, "--stages", 2, "--losses", OVERLONG / "losses.csv"]
    arguments += ["--out", folder / "runs", "--html", folder / "page.html", "--json"]
    done = CliRunner().invoke(app, [str(one) for one in arguments], prog_name="evalkit")
    return folder, done.stdout, done.exit_code


def test_a_broken_checkpoint_is_listed_the_others_are_ranked_and_the_exit_says_three(
    selected: tuple[Path, str, int],
) -> None:
    folder, printed, status = selected
    assert status == 3
    result = json.loads(printed)
    assert result == result_of(folder / "runs")
    states = {one["name"]: one["state"] for one in result["checkpoints"]}
    assert states["step-00900"] == "failed"
    assert "step-00900.pth" in next(one["reason"] for one in result["checkpoints"] if one["state"] == "failed")
    assert [one["step"] for one in result["checkpoints"]] == [50, 900, 1600]
    assert result["chosen"] in result["ranking"]
    assert result["advice"][-1] == "Not evaluated: step-00900."


def test_survivors_are_ordinary_finished_runs_and_the_pages_lead_to_them(selected: tuple[Path, str, int]) -> None:
    folder, _, _ = selected
    result = result_of(folder / "runs")
    finished = [one for one in result["checkpoints"] if one["state"] == "finished"]
    assert finished
    (own,) = (folder / "runs" / "selections").glob("*/report.html")
    for one in finished:
        run = folder / "runs" / one["run"]
        assert json.loads((run / "summary.json").read_text())["coverage"]["ok"] == 4
        assert f"../../{one['run']}/report.html" in own.read_text()
        assert f"runs/{one['run']}/report.html" in (folder / "page.html").read_text()


def test_losses_stand_at_their_checkpoints(selected: tuple[Path, str, int]) -> None:
    by_name = {one["name"]: one["losses"] for one in result_of(selected[0] / "runs")["checkpoints"]}
    assert by_name["step-00050"]["train_total"] == pytest.approx(0.81766)
    assert by_name["step-01600"]["train_total"] < 0.25


def test_given_again_nothing_is_spoken_and_the_choice_is_the_same(
    selected: tuple[Path, str, int], evalkit: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, printed, _ = selected

    def refuse(*arguments: object) -> None:
        raise AssertionError("something was spoken again")

    monkeypatch.setattr(EngineSource, "clips", refuse)
    again = evalkit(
        "select", *TWO, folder / "step-00900.pth", *SMALL, "--stages", 2, "--losses", OVERLONG / "losses.csv",
        "--out", folder / "runs", "--json",
    )  # fmt: skip
    first, second = json.loads(printed), json.loads(again.stdout)
    assert {**second, "created": ""} == {**first, "created": ""}


def test_only_checkpoints_that_pass_the_gate_are_ranked_and_none_means_no(
    selected: tuple[Path, str, int], evalkit: Call, tmp_path: Path
) -> None:
    folder, _, _ = selected
    rules = tmp_path / "gate.toml"
    rules.write_text('[[absolute]]\ncolumn = "energy_mean_db"\nmin = 5\n')
    arguments = ("select", *TWO, *SMALL, "--stages", 2, "--out", folder / "runs", "--rules", rules)
    done = evalkit(*arguments, "--json")
    result = json.loads(done.stdout)
    assert {one["state"] for one in result["checkpoints"]} <= {"blocked", "stopped"}
    assert result["chosen"] is None
    assert done.exit_code == 1
    assert "did not pass the gate" in result["advice"][0]
    rules.write_text('[[absolute]]\ncolumn = "wer"\nmax = 0.1\n')
    refused = evalkit(*arguments)
    assert refused.exit_code == 2
    assert "'wer', which is not computed" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Name the checkpoints"),
        (("nothing.pth",), "does not exist"),
        ((*TWO, "--primary", "dnsmos_ovr"), "did you mean 'dnsmos_ovrl'"),
        ((*TWO, "--primary", "speaker_similarity"), "needs the speaker's own clips"),
        ((*TWO, "--primary", "pronunciation", "--suite", "general"), "no item of the suite has names"),
        ((*TWO, "--keep", "1"), "--keep 1"),
        ((*TWO, "--stages", "9", "--limit", "4"), "too few for so many"),
        ((*TWO, "--losses", "nothing.csv"), "do not exist"),
        ((*TWO, "--loss", "train_total"), "name the log with --losses"),
        ((*TWO, "--losses", OVERLONG / "losses.csv", "--loss", "total"), "Unknown loss 'total'"),
        ((*TWO, "--rules", "nothing.toml"), "nothing.toml"),
        ((*TWO, "--rules", "TAGGED"), "Unknown tag 'no:such'"),
        ((*TWO, "--set", "temprature=1"), "temprature"),
        ((*TWO, "--references", "clips"), "leave the checkpoints out"),
        (("--references", "no-such-folder"), "does not exist"),
    ],
)
def test_bad_input_is_one_sentence_before_anything_is_spoken(
    evalkit: Call, tmp_path: Path, arguments: tuple[object, ...], says: str
) -> None:
    tagged = tmp_path / "gate.toml"
    tagged.write_text('[[absolute]]\ncolumn = "dnsmos_ovrl"\nmin = 1\ntag = "no:such"\n')
    given = [tagged if one == "TAGGED" else one for one in arguments]
    done = evalkit("select", *given, "--out", tmp_path / "runs", "--quiet")
    assert done.exit_code == 2, done.stderr
    assert says in done.stderr
    assert not list((tmp_path / "runs").glob("*/audio"))


def checkpoint(name: str, mean: float, **more: Any) -> dict[str, Any]:
    means = {"dnsmos_ovrl": {"mean": mean, "ci95": [mean - 0.05, mean + 0.05], "n": 40}}
    return {"name": name, "state": "finished", "means": means, "to_best": None, **more}


def advice_of(*checkpoints: dict[str, Any], **more: Any) -> str:
    result = {
        "primary": {"column": "dnsmos_ovrl", "unit": "MOS", "margin": 0.1},
        "checkpoints": checkpoints, "ranking": [one["name"] for one in checkpoints], "items": 40,
        "chosen": "a", "best": "a", "indistinguishable": [], "divergence": None, **more,
    }  # fmt: skip
    return " ".join(advise(result))


def test_the_advice_names_the_choice_its_figure_and_why_not_the_better_mean() -> None:
    assert advice_of(checkpoint("a", 3.0)).startswith("Choose a: dnsmos_ovrl 3.00 MOS [2.95, 3.05].")
    to_best = {"difference": -0.01, "ci95": [-0.03, 0.01], "answer": "equivalent"}
    said = advice_of(checkpoint("b", 3.01), checkpoint("a", 3.0, to_best=to_best), best="b", indistinguishable=["a"])
    assert "b has the better mean (3.01 MOS" in said
    assert "-0.010 [-0.030, +0.010]" in said
    assert "a is the earlier" in said


def test_the_advice_says_from_where_the_loss_misleads() -> None:
    last = {"name": "c", "difference": -0.5, "ci95": [-0.6, -0.4]}
    losses = [{"name": "train", "percent": -31.2}, {"name": "val", "percent": 8.0}]
    found = {"answer": "found", "start": {"name": "b"}, "best": {"name": "a"}, "later": [last], "losses": losses}
    said = advice_of(checkpoint("a", 3.0), divergence=found)
    assert "From b on the loss misleads: from a to c train falls by 31.2 % and val rises by 8 %" in said
    assert "dnsmos_ovrl gets worse by -0.500 [-0.600, -0.400]" in said
