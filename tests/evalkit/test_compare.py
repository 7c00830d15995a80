"""`evalkit compare`: what it refuses, what it says of broken models, and that every figure is the baseline block's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import Call
from compared_runs import WORDS, made_rows, made_run

from evalkit.decisions.answers import MARGINS
from evalkit.decisions.comparison import compare
from evalkit.decisions.paired import baseline_block, check_baseline, incomparable
from evalkit.decisions.scores import open_scores
from evalkit.errors import EvalkitError
from evalkit.runs.folder import RunFolder
from metrics import Column


def compared(evalkit: Call, *arguments: object) -> dict[str, Any]:
    result = evalkit("compare", *arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def answers(found: dict[str, Any], other: int = 0) -> dict[str, str]:
    return {name: column["sides"][other]["answer"] for name, column in found["columns"].items()}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return made_run(tmp_path, "base", made_rows(errors=[1, 0, 2]))


@pytest.fixture
def better(tmp_path: Path) -> Path:
    return made_run(tmp_path, "better", made_rows(mos=3.3, seed=1, errors=[1, 0, 2]))


def test_better_and_equivalent(evalkit: Call, base: Path, better: Path) -> None:
    found = compared(evalkit, base, better)
    assert answers(found) == {
        "pronunciation_accuracy": "equivalent",
        "wer": "equivalent",
        "wer_corpus": "equivalent",
        "dnsmos_ovrl": "better",
        "duration_s": "equivalent",
    }
    side = found["columns"]["dnsmos_ovrl"]["sides"][0]
    assert side["difference"] == pytest.approx(0.3, abs=0.02) and side["percent"] == pytest.approx(10, abs=1)
    assert side["ci95"][0] <= side["ci90"][0] <= side["difference"] <= side["ci90"][1] <= side["ci95"][1]
    assert found["tests"] == 4, "duration_s has no direction and is not tested"
    assert side["p_holm"] == pytest.approx(4 * side["p"]), "ranks are less sure here than the mean is"
    assert found["columns"]["duration_s"]["sides"][0]["p_holm"] is None


def test_the_same_run_is_equivalent_in_everything(evalkit: Call, base: Path, tmp_path: Path) -> None:
    again = made_run(tmp_path, "again", made_rows(errors=[1, 0, 2]))
    found = compared(evalkit, base, again)
    assert set(answers(found).values()) == {"equivalent"} and found["changed"] == []


def test_a_broken_model_is_worse(evalkit: Call, base: Path, tmp_path: Path) -> None:
    broken = made_run(tmp_path, "broken", made_rows(mos=1.2, errors=[WORDS] * 24, right=0.0))
    said = answers(compared(evalkit, base, broken))
    assert {said[name] for name in ("pronunciation_accuracy", "wer", "wer_corpus", "dnsmos_ovrl")} == {"worse"}


def test_failures_never_make_a_model_look_better(evalkit: Call, base: Path, tmp_path: Path) -> None:
    """Its ten hardest items are silent; DNS-MOS of the others is as before, and everybody is told."""
    partly = made_run(tmp_path, "partly", made_rows(seed=2, errors=[1, 0, 2], failed=range(10)))
    found = compared(evalkit, base, partly)
    side = found["columns"]["dnsmos_ovrl"]["sides"][0]
    assert (side["pairs"], side["unpaired"]) == (14, 10)
    assert "10 items have a value on one side only" in side["why"]
    assert found["columns"]["wer_corpus"]["sides"][0]["answer"] == "worse", "what is silent has every word wrong"
    assert any(notice.startswith("Coverage fell: partly has 14 of 24") for notice in found["notices"])
    assert [side["ok"] for side in found["coverage"]] == [24, 14]
    assert len(found["failures"][1]) == 10 and found["failures"][1][0]["status"] == "silent"
    text = evalkit("compare", base, partly).output
    assert text.index("partly: 14 of 24") < text.index("partly against base"), "coverage comes first"
    assert "Coverage fell" in text


@pytest.mark.parametrize("count", [1, 5])
def test_few_items_tell_nothing(evalkit: Call, tmp_path: Path, count: int) -> None:
    paths = [made_run(tmp_path, f"m{mos}", made_rows(count, mos=mos)) for mos in (2, 4)]
    assert set(answers(compared(evalkit, *paths)).values()) == {"cannot tell"}


def test_figures_are_those_of_run_with_a_baseline(base: Path, better: Path) -> None:
    found = compare(open_scores(base), [open_scores(better)], MARGINS)
    ours = open_scores(better)
    columns = {
        name: Column(name, meaning.unit, meaning.better, (0.0, 1.0), "")  # type: ignore[arg-type]
        for name, meaning in ours.columns.items()
    }
    assert ours.manifest is not None
    block = baseline_block(ours.rows, columns, RunFolder(base), ours.manifest)
    assert set(found["columns"]) <= set(block["columns"]) and "wer_corpus" in block["columns"]
    for name, column in found["columns"].items():
        for key, value in block["columns"][name].items():
            assert value == (column["better"] if key == "better" else column["sides"][0][key]), (name, key)


def test_other_passports_are_refused_and_forced(evalkit: Call, base: Path, tmp_path: Path) -> None:
    passports = {"dnsmos": {"judge": "dnsmos", "version": "2"}}
    other = made_run(tmp_path, "other", made_rows(mos=3.3), passports=passports)
    refused = evalkit("compare", base, other)
    assert refused.exit_code == 2
    assert "passports of 'dnsmos' differ in version (2 and 1)" in refused.output and "--force" in refused.output
    forced = compared(evalkit, base, other, "--force", "--html", tmp_path / "page.html")
    assert "differ in version" in forced["others"][0]["incomparable"]
    assert "Not comparable" in (tmp_path / "page.html").read_text()
    text = evalkit("compare", base, other, "--force", "--markdown", tmp_path / "x.md").output
    assert "NOT COMPARABLE" in text and "NOT COMPARABLE" in (tmp_path / "x.md").read_text()


def test_other_suites_are_refused(evalkit: Call, base: Path, tmp_path: Path) -> None:
    other = made_run(tmp_path, "other", made_rows(), suite="b" * 64)
    result = evalkit("compare", base, other)
    assert result.exit_code == 2 and "the suites differ (made-up 1 and made-up 1)" in result.output


def test_times_of_batches_are_not_compared(evalkit: Call, base: Path, better: Path, tmp_path: Path) -> None:
    found = compared(evalkit, base, better)
    assert "rtf" not in found["columns"] and any("rtf: not compared, in batches" in n for n in found["notices"])
    alone = [made_run(tmp_path / "alone", f"m{seed}", made_rows(seed=seed), mode="single") for seed in (0, 1)]
    assert "rtf" in compared(evalkit, *alone)["columns"]
    streamed = made_run(tmp_path / "alone", "streamed", made_rows(), mode="stream")
    found = compared(evalkit, alone[0], streamed)
    assert "rtf" not in found["columns"] and any("another mode (stream and single)" in n for n in found["notices"])


def test_times_of_batches_are_not_in_the_block_of_a_run_either(base: Path, tmp_path: Path) -> None:
    ours = open_scores(made_run(tmp_path, "again", made_rows(seed=4)))
    columns = {name: Column(name, "", "lower", (0.0, 1.0), "") for name in ours.columns}
    assert ours.manifest is not None
    block = baseline_block(ours.rows, columns, RunFolder(base), ours.manifest)
    assert "rtf" not in block["columns"] and "in batches" in block["omitted"]["rtf"]


def test_another_version_of_a_suite_is_another_suite(base: Path) -> None:
    ours = json.loads((base / "manifest.json").read_text())
    raised = {**ours, "suite": {**ours["suite"], "version": "2"}}
    assert incomparable(ours, ours) is None
    assert incomparable(raised, ours) == "the suites differ (made-up 2 and made-up 1)"


def test_a_baseline_must_have_something_to_compare(base: Path, tmp_path: Path) -> None:
    manifest = json.loads((base / "manifest.json").read_text())
    columns = {name: Column(name, "", "lower", (0.0, 1.0), "") for name in ("rtf", "wer")}
    check = partial(check_baseline, tmp_path / "new", manifest, baseline=RunFolder(base))
    check(items={"i00"}, columns=columns)
    with pytest.raises(EvalkitError, match="has none of the items"):
        check(items={"other"}, columns=columns)
    with pytest.raises(EvalkitError, match="no column that could be compared"):
        check(items={"i00"}, columns={"rtf": columns["rtf"]})
    (tmp_path / "link").symlink_to(base)
    with pytest.raises(EvalkitError, match="is this very run"):
        check_baseline(tmp_path / "link", manifest, {"i00"}, columns, RunFolder(base))


def test_several_others_share_one_correction(evalkit: Call, base: Path, better: Path, tmp_path: Path) -> None:
    third = made_run(tmp_path, "third", made_rows(mos=2.5, seed=3, errors=[1, 0, 2]))
    found = compared(evalkit, base, better, third)
    assert found["tests"] == 8
    assert [side["answer"] for side in found["columns"]["dnsmos_ovrl"]["sides"]] == ["better", "worse"]
    assert (third / f"comparison-with-{base.name}.html").is_file(), "the page goes into the last run's folder"
    assert {entry["other"] for entry in found["changed"]} == {0, 1}


def test_items_that_changed_most_come_with_both_sides(evalkit: Call, base: Path, tmp_path: Path) -> None:
    rows = made_rows(errors=[1, 0, 2])
    for place, drop in ((7, 0.9), (3, 0.5), (11, -0.7)):
        rows[place]["dnsmos_ovrl"] -= drop
    found = compared(evalkit, base, made_run(tmp_path, "other", rows))
    entries = [one for one in found["changed"] if one["column"] == "dnsmos_ovrl"]
    assert [one["item"] for one in entries] == ["i07", "i11", "i03"], "unchanged items are no change"
    assert entries[0]["difference"] == pytest.approx(-0.9)
    assert entries[0]["ours"]["value"] - entries[0]["theirs"]["value"] == pytest.approx(-0.9)
    assert entries[0]["ours"]["audio"] == "audio/i07.r0.flac" and entries[0]["ours"]["heard"]


def test_differences_by_tag(evalkit: Call, base: Path, tmp_path: Path) -> None:
    rows = made_rows(errors=[1, 0, 2])
    for row in rows[:12]:
        row["dnsmos_ovrl"] -= 0.5
    tags = compared(evalkit, base, made_run(tmp_path, "other", rows))["tags"]
    assert tags["half:first"]["dnsmos_ovrl"][0]["difference"] == pytest.approx(-0.5)
    assert tags["half:second"]["dnsmos_ovrl"][0]["difference"] == 0
    assert tags["half:first"]["dnsmos_ovrl"][0]["pairs"] == 12
    text = evalkit("compare", base, tmp_path / "2026-01-01-other-made-up").output
    assert "half:first" in text and "language:ta" not in text, "only tags that are unlike the whole run are printed"


def test_groups(evalkit: Call, base: Path, better: Path) -> None:
    found = compared(evalkit, base, better, "--group", "halves=half:first,half:second")
    theirs = found["groups"]["halves"]["dnsmos_ovrl"][0]
    first, second = theirs["members"].values()
    assert theirs["mean"] == pytest.approx((first + second) / 2)
    assert theirs["variance"] == pytest.approx((first - second) ** 2 / 4), "of a population"
    assert found["groups"]["halves"]["wer_corpus"][0]["members"]["half:first"] == pytest.approx(3 / (12 * WORDS))


def test_margins_and_columns(evalkit: Call, base: Path, better: Path) -> None:
    assert answers(compared(evalkit, base, better, "--margin", "dnsmos_ovrl=0.5"))["dnsmos_ovrl"] == "equivalent"
    only = compared(evalkit, base, better, "--columns", "dnsmos_ovrl,wer_corpus")
    assert set(only["columns"]) == {"dnsmos_ovrl", "wer_corpus"} and only["tests"] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Give two runs at least"),
        (("BETTER", "--columns", "dnsmos"), "--columns dnsmos: not in both; there are pronunciation_accuracy, wer"),
        (("BETTER", "--margin", "mos=1"), "--margin mos: no such column"),
        (("BETTER", "--margin", "wer=0"), "COLUMN=NUMBER"),
        (("BETTER", "--group", "a=nobody"), "no item tagged 'nobody'; its tags: half:first, half:second"),
        (("BETTER", "--group", "a"), "NAME=TAG,TAG"),
        (("BETTER", "--group", "a=half:first", "--group", "a=half:first"), "given twice"),
        (("nowhere",), "not a run folder"),
    ],
)
def test_bad_usage(evalkit: Call, base: Path, better: Path, arguments: Sequence[str], words: str) -> None:
    result = evalkit("compare", base, *(better if one == "BETTER" else one for one in arguments))
    assert result.exit_code == 2 and words in result.output, result.output
    assert not list(better.glob("comparison*.html"))


def test_nothing_in_common(evalkit: Call, tmp_path: Path) -> None:
    for name, column in (("a", "dnsmos_ovrl"), ("b", "wer")):
        (tmp_path / f"{name}.csv").write_text(f"item,{column}\nx,1\n")
    result = evalkit("compare", tmp_path / "a.csv", tmp_path / "b.csv")
    assert result.exit_code == 2 and "share no column" in result.output


def test_other_phonemes_and_items_are_told(evalkit: Call, base: Path, tmp_path: Path) -> None:
    rows = made_rows(25, errors=[1, 0, 2])
    rows[4]["phonemes"] = "b r iy"
    notices = compared(evalkit, base, made_run(tmp_path, "other", rows))["notices"]
    assert any("other phonemes than base for 1 item" in notice and "i04" in notice for notice in notices)
    assert any("Only other has i24" in notice for notice in notices)


def test_api_refuses_without_force(base: Path, tmp_path: Path) -> None:
    other = made_run(tmp_path, "other", made_rows(), passports={"dnsmos": {"judge": "another", "version": "1"}})
    with pytest.raises(EvalkitError, match="differ in judge"):
        compare(open_scores(base), [open_scores(other)], MARGINS)
    assert compare(open_scores(base), [open_scores(other)], MARGINS, force=True)["others"][0]["incomparable"]


def test_columns_that_only_one_has_are_named(evalkit: Call, tmp_path: Path) -> None:
    for name, head in (("a", "item,dnsmos_ovrl,wer,cer"), ("b", "item,dnsmos_ovrl"), ("c", "item,dnsmos_ovrl,taste")):
        lines = [",".join([f"i{n}", *["1"] * head.count(",")]) for n in range(6)]
        (tmp_path / f"{name}.csv").write_text("\n".join([head, *lines]))
    a, b, c = (tmp_path / f"{name}.csv" for name in "abc")
    assert "wer, cer: only a has them: not compared." in compared(evalkit, a, b)["notices"]
    assert "wer, cer: only a has them: not compared." in compared(evalkit, b, a)["notices"]
    assert "only" not in " ".join(compared(evalkit, a, b, "--columns", "dnsmos_ovrl")["notices"])
    both = compared(evalkit, b, c, a)["notices"]
    assert (
        "taste: c has it and b not: not compared." in both and "wer, cer: a has them and b not: not compared." in both
    )
