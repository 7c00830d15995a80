"""The course of a sweep over made-up scores: chosen on dev, quoted from test, and what is said of both."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import VOICES

from evalkit.decisions.scores import Meaning, Scores
from evalkit.decisions.sweep import sweeping
from evalkit.decisions.sweep.evaluating import Evaluator, Measured
from evalkit.decisions.sweep.points import Point
from evalkit.decisions.sweep.preparing import Wanted
from evalkit.errors import EvalkitError
from evalkit.files import digest
from evalkit.pipeline.job import Options
from evalkit.pipeline.speaking import Speaking
from evalkit.suites import load_suite
from evalkit.suites.splitting import split_items

Truth = Callable[[Point, str, str], float]  # point, part, item -> wada_snr_db


def scores(point: Point, part: str, items: Sequence[str], truth: Truth, failed: Sequence[str] = ()) -> Scores:
    rows = []
    for item in items:
        noise = np.random.default_rng(int(digest([point.name, item])[:8], 16)).standard_normal()
        value = None if item in failed else truth(point, part, item) + 0.5 * float(noise)
        rows.append(
            {"item": item, "utterance": f"{item}.r0", "status": "failed" if item in failed else "ok", "tags": [],
             "details": {}, "missing": {}, "wada_snr_db": value, "silence_ratio": 0.1}
        )  # fmt: skip
    columns = {"wada_snr_db": Meaning("dB", "higher", "wada_snr"), "silence_ratio": Meaning("", "lower", "pauses")}
    share = 1 - len(failed) / len(items)
    return Scores(point.name, part, rows, columns, {"share": share, "ok": len(items) - len(failed)})


@pytest.fixture
def sweep_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Carry out a sweep whose points have these true scores."""

    def carry_out(
        truth: Truth, *axes: str, failing: Callable[[Point], Sequence[str]] = lambda p: (), **more: Any
    ) -> Any:
        asked: list[tuple[str, str, tuple[str, ...]]] = []

        def measure(self: Evaluator, part: str, point: Point, items: Sequence[str], subject: Any = None) -> Measured:
            asked.append((part, point.name, tuple(items)))
            return Measured(point, "ok", "", tmp_path / part, scores(point, part, items, truth, failing(point)))

        monkeypatch.setattr(Evaluator, "measure", measure)
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(
            f"base: {VOICES}/base.pth\nmodels:\n  - path: {VOICES}/sarah.pth\n    weight: 0.6\n"
            f"  - path: {VOICES}/sumit.pth\n"
        )
        options = Options(out=tmp_path / "runs", metrics=("wada_snr", "pauses"))
        wanted = Wanted(
            more.pop("subject", recipe),
            axes,
            speaking=more.pop("speaking", Speaking(suite="general")),
            options=options,
            primary="wada_snr_db",
            objectives=("silence_ratio",),
            **more,
        )
        return sweeping.sweep(wanted), asked

    return carry_out


def hill(point: Point, part: str, item: str) -> float:
    alpha, beta = (float(value) for value in point.values[:2])
    return 30 - 20 * (alpha - 0.8) ** 2 - 20 * (beta - 0.5) ** 2


def test_the_choice_is_made_on_dev_and_the_figure_is_from_test(sweep_over: Any) -> None:
    def lucky(point: Point, part: str, item: str) -> float:
        """On dev one corner shines; on test it does not."""
        return 40.0 if part == "dev" and point.values == (0.4, 1.0) else hill(point, part, item)

    swept, asked = sweep_over(lucky, "alpha=0.4,0.8", "beta=0.5,1.0")
    content = swept.content
    assert content["choice"]["point"] == "alpha=0.4 beta=1"
    figures = content["figures"]
    assert figures["unbiased"] and figures["chosen"]["wada_snr_db"]["mean"] == pytest.approx(22, abs=0.5)
    dev, test = set(content["split"]["dev"]), set(content["split"]["test"])
    assert not dev & test and len(dev) + len(test) == 60
    for part, _, items in asked:
        assert set(items) == (dev if part == "dev" else test)
    assert {name for part, name, _ in asked if part != "dev"} == {"alpha=0.4 beta=1", "alpha=0.6 beta=1"}
    change = figures["differences"]["wada_snr_db"]
    assert change["difference"] == pytest.approx(21.8 - 24.2, abs=0.5) and change["answer"] in ("worse", "equivalent")


def test_without_a_split_the_figure_is_called_too_good(sweep_over: Any) -> None:
    from reports.sweep_text import sentences

    swept, asked = sweep_over(hill, "alpha=0.4,0.8", "beta=0.5,1.0", split=None)
    content = swept.content
    assert content["split"] is None and not content["figures"]["unbiased"]
    assert {part for part, _, _ in asked} == {"dev"}
    said = " ".join(sentences(content))
    assert "too good to quote" in said and "has not seen" not in said
    html = (swept.folder / "report.html").read_text()
    assert "not split" in html and "test items" not in html


def test_points_that_cannot_be_told_apart_lose_to_the_default(sweep_over: Any) -> None:
    from reports.sweep_text import sentences

    swept, _ = sweep_over(lambda point, part, item: 20.0, "alpha=0.3,0.6,0.9", "beta=1,2")
    content = swept.content
    assert content["choice"]["point"] == "alpha=0.6 beta=1" and content["choice"]["alike"] >= 4
    assert content["figures"]["differences"] == {}
    assert f"{content['choice']['alike'] - 1} other points cannot be told from it" in sentences(content)[0]


def test_a_point_whose_failures_left_the_mean_is_not_chosen(sweep_over: Any) -> None:
    swept, _ = sweep_over(hill, "alpha=0.4,0.8", "beta=0.5,1.0", failing=_some_of)
    statuses = {point["name"]: point["status"] for point in swept.content["points"]}
    assert statuses["alpha=0.8 beta=0.5"] == "short"
    assert [p["why"] for p in swept.content["points"] if p["status"] == "short"] == [
        "90% of its utterances could be scored"
    ]
    assert swept.content["choice"]["point"] != "alpha=0.8 beta=0.5"


def _some_of(point: Point) -> Sequence[str]:
    from evalkit.suites import load_suite
    from evalkit.suites.splitting import split_items

    return split_items(load_suite("general").items).dev[:3] if point.values == (0.8, 0.5) else ()


def test_where_every_point_falls_short_none_is_chosen(sweep_over: Any) -> None:
    from evalkit.suites import load_suite
    from evalkit.suites.splitting import split_items

    first = split_items(load_suite("general").items).dev[:1]
    swept, _ = sweep_over(hill, "alpha=0.4,0.8", "beta=1", failing=lambda point: first)
    assert swept.content["choice"] is None and swept.content["figures"] is None
    assert not list(swept.folder.glob("winner*"))
    assert "Nothing is chosen" in (swept.folder / "report.html").read_text()


def test_the_winner_is_saved_with_its_recipe_and_record(sweep_over: Any, tmp_path: Path) -> None:
    import torch

    from evalkit.checkpoints import canonical, read_checkpoint
    from evalkit.merging.files import merge_files
    from evalkit.merging.recipe import read_recipe

    swept, _ = sweep_over(hill, "alpha=0.4,0.8", "beta=0.5,1.0")
    recipe, text = read_recipe(swept.folder / "recipe.yaml")
    assert [model.weight for model in recipe.models] == [0.8, 0.5] and "alpha=0.8 beta=0.5" in text
    merge_files(recipe, tmp_path / "again.pth")
    again = canonical(read_checkpoint(tmp_path / "again.pth").tensors).tensors
    saved = canonical(read_checkpoint(swept.folder / "winner.pth").tensors).tensors
    assert all(torch.equal(saved[key], again[key]) for key in again)
    record = json.loads((swept.folder / "winner.pth.merge.json").read_text())
    assert record["recipe"]["models"][0]["weight"] == 0.8 and len(record["parents"]) == 3
    assert str(swept.folder / "winner.pth") in swept.content["winner"]["command"]


def test_files_of_the_sweep_say_the_same(sweep_over: Any) -> None:
    swept, _ = sweep_over(hill, "alpha=0.4,0.8", "beta=0.5,1.0")
    content = json.loads((swept.folder / "sweep.json").read_text())
    assert content == json.loads(json.dumps(swept.content))
    rows = list(csv.DictReader((swept.folder / "points.csv").open()))
    assert len(rows) == len(content["points"]) == 5, "the default is no point of this grid and is listed too"
    chosen = [row for row in rows if row["chosen"] == "1"]
    assert [(row["alpha"], row["beta"]) for row in chosen] == [("0.8", "0.5")]
    mean = next(p for p in content["points"] if p["chosen"])["dev"]["wada_snr_db"]["mean"]
    assert float(chosen[0]["wada_snr_db"]) == mean


def test_rules_leave_points_out(sweep_over: Any, tmp_path: Path) -> None:
    rules = tmp_path / "gate.toml"
    rules.write_text('[[absolute]]\ncolumn = "wada_snr_db"\nmax = 27.0\n')
    swept, _ = sweep_over(hill, "alpha=0.4,0.8", "beta=0.5,1.0", rules=rules)
    statuses = {point["name"]: point["status"] for point in swept.content["points"] if point["swept"]}
    assert statuses["alpha=0.8 beta=0.5"] == "blocked" and statuses["alpha=0.8 beta=1"] == "ok"
    assert swept.content["choice"]["point"] != "alpha=0.8 beta=0.5"


def test_parents_are_measured_on_test_alone(sweep_over: Any) -> None:
    swept, asked = sweep_over(hill, "alpha=0.4,0.8", "beta=0.5,1.0", parents=True)
    assert [one["name"] for one in swept.content["figures"]["references"]] == ["sarah", "sumit"]
    assert [part for part, _, _ in asked if part.startswith("parent")] == ["parent/sarah", "parent/sumit"]


@pytest.mark.parametrize(("slope", "verdict"), [(-2.0, "helps"), (2.0, "costs"), (0.0, "cannot tell")])
def test_a_decoding_sweep_ends_with_advice(sweep_over: Any, slope: float, verdict: str) -> None:
    from reports.sweep_text import sentences

    def truth(point: Point, part: str, item: str) -> float:
        return 20 + slope * float(point.values[0])

    subject = VOICES / "sarah.pth"
    swept, asked = sweep_over(truth, "set.temperature=0,0.5,1", subject=subject)
    advice = swept.content["advice"]
    assert advice["verdict"] == verdict and advice["unbiased"]
    assert "temperature 0 against temperature" in advice["says"], "the default is the most conservative there is"
    assert advice["says"] in sentences(swept.content)
    assert {part for part, _, _ in asked} == {"dev", "test"}
    assert swept.content["winner"]["file"] is None and "--set" in swept.content["winner"]["options"]
    assert (swept.folder / "settings.toml").read_text().startswith("temperature = ")


def test_conservative_points_are_held_against_the_default(sweep_over: Any) -> None:
    def truth(point: Point, part: str, item: str) -> float:
        return 20 - 3 * float(point.values[0])

    speaking = Speaking(suite="general", settings=("temperature=1",))
    swept, asked = sweep_over(truth, "set.temperature=0.2,0.5,1,1.5", subject=VOICES / "sarah.pth", speaking=speaking)
    advice = swept.content["advice"]
    assert advice["verdict"] == "helps" and "temperature 0.2 against temperature 1" in advice["says"]
    tested = {name for part, name, _ in asked if part == "test"}
    assert {"set.temperature=0.2", "set.temperature=1"} <= tested and "set.temperature=1.5" not in tested


def test_columns_that_are_not_there_are_refused_before_anything_is_spoken(sweep_over: Any, tmp_path: Path) -> None:
    recipe = tmp_path / "other.yaml"
    recipe.write_text(f"base: {VOICES}/base.pth\nmodels:\n  - path: {VOICES}/sarah.pth\n")
    options = Options(out=tmp_path / "runs", metrics=("wada_snr", "pauses"))
    for more, says in [
        ({"primary": "wada_snr"}, "did you mean 'wada_snr_db'"),
        ({"objectives": ("dnsmos_ovrl",)}, "Unknown column 'dnsmos_ovrl'"),
        ({"primary": "longest_pause_s"}, "has no better end"),
    ]:
        with pytest.raises(EvalkitError, match=says):
            sweeping.sweep(Wanted(recipe, ("alpha=0,1",), options=options, **more))  # type: ignore[arg-type]
    assert not (tmp_path / "runs").exists()


def test_another_split_or_suite_is_another_sweep(sweep_over: Any) -> None:
    folders = [
        sweep_over(hill, "alpha=0.4,0.8", "beta=0.5,1.0", **more)[0].folder
        for more in ({}, {"split": 0.4}, {"min_coverage": 0.9}, {})
    ]
    assert len(set(folders)) == 3 and folders[0] == folders[3]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[absolute]]\ncolumn = "wer_corpus"\nmax = 0.5\n', "about the column 'wer_corpus', which is not computed"),
        ('[[coverage]]\nmin = 1.0\ntag = "no:such"\n', "Unknown tag 'no:such'"),
        ('[[item]]\ncolumn = "wada_snr_db"\nitems = ["no-such"]\n', "Unknown item 'no-such'"),
    ],
)
def test_rules_that_no_point_can_be_judged_by_are_refused_before_anything_is_spoken(
    sweep_over: Any, tmp_path: Path, text: str, says: str
) -> None:
    rules = tmp_path / "gate.toml"
    rules.write_text(text)
    with pytest.raises(EvalkitError, match=says):
        sweep_over(hill, "alpha=0.4,0.8", "beta=0.5,1.0", rules=rules)
    assert not (tmp_path / "runs").exists()


def test_an_item_rule_may_name_items_of_either_half(sweep_over: Any, tmp_path: Path) -> None:
    rules = tmp_path / "gate.toml"
    rules.write_text("[[coverage]]\nmin = 0.5\n")
    swept, _ = sweep_over(hill, "alpha=0.4,0.8", "beta=0.5,1.0", rules=rules)
    halves = swept.content["split"]
    rule = '[[item]]\ncolumn = "wada_snr_db"\nmargin = 0.1\nname = "never worse"\nitems = '
    rules.write_text(f'{rule}["{halves["test"][0]}"]\n')
    of_test, _ = sweep_over(hill, "alpha=0.4,0.8", "beta=0.5,1.0", rules=rules)
    assert {point["status"] for point in of_test.content["points"]} == {"ok"}
    rules.write_text(f'{rule}["{halves["test"][0]}", "{halves["dev"][0]}"]\n')
    of_both, _ = sweep_over(hill, "alpha=0.4,0.8", "beta=0.5,1.0", rules=rules)
    assert "blocked" in {point["status"] for point in of_both.content["points"]}


def test_a_point_that_the_rules_cannot_judge_is_not_chosen(sweep_over: Any, tmp_path: Path) -> None:
    rules = tmp_path / "gate.toml"
    rules.write_text('[[relative]]\ncolumn = "wada_snr_db"\nmargin = 50\n')

    def failing(point: Point) -> Sequence[str]:  # other items than the baseline's: none is in both
        items = split_items(load_suite("general").items, 0.5).dev
        return items[:20] if point.values[0] == 0.4 else items[20:]

    swept, _ = sweep_over(hill, "alpha=0.4,0.6", "beta=1.0", rules=rules, failing=failing, min_coverage=0.0)
    (blocked,) = (point for point in swept.content["points"] if point["status"] == "blocked")
    assert "no item has wada_snr_db both in this run and in the baseline" in blocked["why"]
