"""The page and the table of a sweep."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from reports.sweep_maps import heat_maps
from reports.sweep_page import landscape, render_sweep
from reports.sweep_text import ranked, remark, sentences, terminal_sweep


def axis(name: str, values: list[Any] | None) -> dict[str, Any]:
    ends = None if values else [0.0, 2.0]
    return {"name": name, "kind": "coefficient", "values": values, "ends": ends, "default": 1.0, "own": True}


def point(values: dict[str, Any], mos: float | None, wer: float, **more: Any) -> dict[str, Any]:
    name = " ".join(f"{key}={value}" for key, value in values.items())
    dev = {"wer": {"mean": wer, "ci95": [wer - 0.05, wer + 0.05], "n": 8}}
    if mos is not None:
        dev["dnsmos_ovrl"] = {"mean": mos, "ci95": [mos - 0.1, mos + 0.1], "n": 8}
    flags = {"baseline": False, "swept": True, "alike": False, "best": False, "chosen": False, "front": False}
    return {"name": name, "values": values, "status": "ok", "why": "", "run": "../runs/x y", "coverage": 1.0,
            "dev": dev, **flags, **more}  # fmt: skip


def made(axes: list[dict[str, Any]], points: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    figures = {
        "unbiased": True,
        "items": 8,
        "chosen": {"dnsmos_ovrl": {"mean": 3.5, "ci95": [3.4, 3.6], "n": 8}},
        "baseline": {"dnsmos_ovrl": {"mean": 3.25, "ci95": None, "n": 8}},
        "differences": {
            "dnsmos_ovrl": {
                "difference": 0.25, "ci95": [0.1, 0.4], "pairs": 8, "p_holm": 0.01, "answer": "better",
                "why": "", "better": "higher",
            }
        },
        "references": [{"name": "sarah", "columns": {}}],
        "run": "../runs/w",
        "baseline_run": "../runs/b",
    }  # fmt: skip
    return {
        "evalkit": "0", "created": "2026-11-28T19:51:00+00:00", "name": "recipe-1", "folder": "f",
        "subject": "a/recipe.yaml", "kind": "recipe", "engine": "tinytts",
        "suite": {"name": "smoke", "version": "1", "sha256": "0"}, "search": "grid", "seed": 0, "repeats": 1,
        "axes": axes,
        "objectives": [
            {"column": "dnsmos_ovrl", "unit": "MOS", "better": "higher", "description": ""},
            {"column": "wer", "unit": "", "better": "lower", "description": ""},
        ],
        "split": {"share": 0.5, "dev": ["a", "b"], "test": ["c"]}, "items": 8, "rules": None, "points": points,
        "baseline": "alpha=1", "choice": {"column": "dnsmos_ovrl", "point": points[0]["name"],
        "values": points[0]["values"], "best": points[-1]["name"], "alike": 2, "of": len(points)},
        "figures": figures, "advice": None,
        "winner": {"file": "winner.pth", "recipe": "recipe.yaml", "options": [], "command": "evalkit run w.pth"},
        **more,
    }  # fmt: skip


def grid(*names: str, size: int = 3) -> dict[str, Any]:
    import itertools

    values = [0.5 * n for n in range(size)]
    combinations = list(itertools.product(values, repeat=len(names)))
    points = [
        point(dict(zip(names, one, strict=True)), 3.0 + 0.1 * n, 0.5 - 0.01 * n) for n, one in enumerate(combinations)
    ]
    points[0] |= {"chosen": True, "front": True}
    points[-1] |= {"best": True, "baseline": True}
    return made([axis(name, values) for name in names], points)


@pytest.mark.parametrize("names", [("alpha",), ("alpha", "beta"), ("alpha", "beta", "gamma"), ("a", "b", "c", "d")])
def test_every_number_of_axes_has_a_page(names: tuple[str, ...]) -> None:
    sweep = grid(*names, size=2 if len(names) > 3 else 3)
    html = render_sweep(sweep)
    assert html.count("<h3>dnsmos_ovrl") >= 1 and "chosen" in html
    assert not re.search(r"built-in|object at 0x|None|nan", html), "no stray Python"
    assert "://" not in html.replace("http://www.w3.org", ""), "self-contained"
    drawn = landscape(sweep)
    assert [bool(one["maps"]) for one in drawn][:1] == [len(names) in (2, 3)]


def test_a_map_has_every_cell_in_its_place_and_the_best_is_darkest() -> None:
    sweep = grid("alpha", "beta")
    (found,) = heat_maps(sweep, "dnsmos_ovrl")
    assert (found["across"], found["down"], found["headings"]) == ("alpha", "beta", ["0", "0.5", "1"])
    means = [[cell["mean"] for cell in row["cells"]] for row in found["rows"]]
    assert means == [["3.00", "3.30", "3.60"], ["3.10", "3.40", "3.70"], ["3.20", "3.50", "3.80"]]
    heat = [[cell["heat"] for cell in row["cells"]] for row in found["rows"]]
    assert heat[0][0] == 0 and heat[2][2] == 50
    (errors,) = heat_maps(sweep, "wer")
    assert errors["rows"][2]["cells"][2]["heat"] == 50, "lower is better there, and the last has the lowest"
    assert found["rows"][0]["cells"][0]["marks"] == "chosen" and found["rows"][2]["cells"][2]["marks"] == "default"


def test_a_map_for_each_value_of_the_third_axis() -> None:
    maps = heat_maps(grid("alpha", "beta", "gamma"), "dnsmos_ovrl")
    assert [one["title"] for one in maps] == ["gamma = 0", "gamma = 0.5", "gamma = 1"]
    assert maps[1]["rows"][0]["cells"][0]["mean"] == "3.10"


def test_what_was_not_measured_says_why() -> None:
    sweep = grid("alpha", "beta")
    sweep["points"][4] |= {"status": "failed", "why": "The merge overflows in 'x'.", "dev": {}, "run": None}
    sweep["points"][5] |= {"status": "pruned", "why": "stopped after 2 of 8 items"}
    html = render_sweep(sweep)
    assert "The merge overflows in &#39;x&#39;." in html and "stopped after 2 of 8 items" in html
    assert remark(ranked(sweep)[-1]) == "The merge overflows in 'x'."
    assert {ranked(sweep)[-1]["status"], ranked(sweep)[-2]["status"]} == {"failed", "pruned"}


def test_texts_of_users_are_escaped() -> None:
    sweep = copy.deepcopy(grid("alpha"))
    evil = "<script>alert(1)</script>\x1b[31m"
    sweep |= {"subject": evil, "baseline": evil}
    sweep["axes"][0]["name"] = evil
    for one in sweep["points"]:
        one["values"] = {evil: one["values"]["alpha"]}
        one["why"] = evil
    html = render_sweep(sweep)
    assert "<script" not in html and "\x1b" not in html
    from rich.console import Console

    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(terminal_sweep(sweep))
    assert "\x1b[31m<" not in console.export_text()
    assert not any("\x1b" in sentence for sentence in sentences(sweep))


def test_sentences_name_the_choice_its_figure_and_the_difference() -> None:
    said = sentences(grid("alpha", "beta"))
    assert said[0].startswith(
        "Chosen: alpha=0.0 beta=0.0. The best dnsmos_ovrl of 9 points has alpha=1.0 beta=1.0, but"
    )
    assert "1 other point cannot be told from it" in said[0]
    assert (
        said[1] == "On the 8 test items, which the choice has not seen: dnsmos_ovrl 3.50, 95 % interval [3.40, 3.60]."
    )
    assert said[2] == "Against alpha=1: +0.25, 95 % interval [+0.10, +0.40] over 8 items: better."


def test_nothing_chosen_is_said_with_its_reasons() -> None:
    sweep = grid("alpha")
    for one in sweep["points"]:
        one |= {"status": "short", "chosen": False}
    sweep |= {"choice": None, "figures": None, "winner": None}
    assert sentences(sweep) == ["No point is chosen: 3 coverage short."]
    assert "Nothing is chosen" in render_sweep(sweep)


def test_a_search_draws_a_dot_per_point_and_axis() -> None:
    points = [point({"alpha": 0.1 * n, "voice": "ab"[n % 2]}, 3 + 0.1 * n, 0.5) for n in range(6)]
    points[2] |= {"chosen": True}
    axes = [axis("alpha", None), axis("voice", ["a", "b"])]
    sweep = made(axes, points, search="tpe")
    (one, same) = landscape(sweep)
    assert len(one["plots"]) == 2 and not one["maps"]
    assert same["same"] == "0.500 at every point." and not same["plots"]
    assert "search by TPE" in render_sweep(sweep)
