"""The page, the table and the terminal's text of a selection, and of ranked reference clips."""

from __future__ import annotations

import copy
from html.parser import HTMLParser
from typing import Any

import pytest

from reports.references_page import render_references, terminal_references
from reports.selection_lines import lines
from reports.selection_page import render_selection
from reports.selection_text import terminal_selection

HOSTILE = "<img src=x onerror=alert(1)>"


def checkpoint(name: str, step: int, mean: float | None, **more: Any) -> dict[str, Any]:
    means = (
        {} if mean is None else {c: {"mean": mean, "ci95": [mean - 0.1, mean + 0.1], "n": 9} for c in ("mos", "wer")}
    )
    plain: dict[str, Any] = {
        "name": name,
        "path": name,
        "step": step,
        "state": "finished",
        "reason": None,
        "run": f"run-{name}",
        "items": 9,
        "coverage": None,
        "means": means,
        "stopped": None,
        "gate": None,
        "rank": None,
        "to_best": None,
        "front": False,
        "losses": {"train": 1 / step},
    }
    return plain | more


def result(**more: Any) -> dict[str, Any]:
    away = {"difference": -0.3, "ci95": [-0.4, -0.2], "answer": "worse"}
    plain: dict[str, Any] = {
        "evalkit": "0",
        "created": "2026-11-28T03:30:00+00:00",
        "suite": {"name": "general"},
        "items": 9,
        "repeats": 1,
        "seed": 0,
        "unit": "step",
        "keep": 0.5,
        "rules": None,
        "baseline": None,
        "notices": [],
        "primary": {"column": "mos", "better": "higher", "unit": "MOS", "margin": 0.1},
        "columns": [
            {"column": "mos", "better": "higher", "unit": "MOS"},
            {"column": "wer", "better": "lower", "unit": ""},
        ],
        "stages": [{"items": 4}, {"items": 9}],
        "ranking": ["b", "a"],
        "best": "b",
        "chosen": "b",
        "front": ["b"],
        "indistinguishable": [],
        "advice": ["Choose b: mos 3.00, 0.1 above -2."],
        "losses": [{"name": "train", "role": "training", "points": [[n, 1 / n] for n in range(1, 1001)]}],
        "divergence": {
            "answer": "found",
            "says": "Found: it falls.",
            "sure": "sure: it does.",
            "best": {"name": "b", "step": 100},
            "start": {"name": "c", "step": 1000},
            "later": [
                {"name": "c", "step": 1000, "difference": -0.4, "ci95": [-0.5, -0.3], "course": "falls", "why": "w"}
            ],
            "losses": [
                {"name": "train", "start": 0.1, "end": 0.01, "percent": -90.0, "logged": 9, "p": 0.01, "falls": True}
            ],
        },
        "checkpoints": [
            checkpoint("a", 10, 2.7, rank=2, to_best=away),
            checkpoint("b", 100, 3.0, rank=1, front=True),
            checkpoint("c", 1000, 2.6, state="stopped", items=4, stopped={"than": "a", "difference": -1, "ci95": None}),
            checkpoint("d", 2000, None, state="failed", reason="cut short", run=None),
        ],
    }
    return plain | more


def test_the_page_has_the_advice_first_then_the_curves_the_ranking_and_the_front() -> None:
    page = render_selection(result(), {"b": "../../run-b/report.html"})
    places = [page.index(text) for text in ("Choose b", 'id="curves"', 'id="ranking"', 'id="front"')]
    assert places == sorted(places)
    assert 'href="../../run-b/report.html"' in page
    assert "the loss misleads from here" in page
    assert "0.1 above −2." in page
    assert "http://" not in page and "https://" not in page


def test_lines_are_ranked_ones_then_those_that_stopped_then_those_that_failed_and_say_why() -> None:
    table = lines(result())
    assert [line.name for line in table] == ["b", "a", "c", "d"]
    assert [line.rank for line in table] == ["1", "2", "–", "–"]
    assert table[0].chosen
    assert table[1].difference == "-0.30 [-0.40, -0.20]"
    assert table[2].says == "stopped after 4 of 9 items: clearly worse than a"
    assert (table[3].primary, table[3].says) == ("–", "cut short")


def test_one_that_stopped_early_stands_beside_the_line_of_the_others() -> None:
    page = render_selection(result(), {})
    assert "stopped early" in page
    assert "stopped early" not in render_selection(result(checkpoints=result()["checkpoints"][:2]), {})


def test_without_losses_other_columns_or_a_choice_the_page_still_stands() -> None:
    none = {
        "answer": "none",
        "says": "None found.",
        "sure": None,
        "best": None,
        "start": None,
        "later": [],
        "losses": [],
    }
    bare = result(losses=[], divergence=none, columns=result()["columns"][:1], chosen=None, best=None, ranking=[])
    for one in bare["checkpoints"]:
        one.update(losses={}, rank=None, to_best=None)
    page = render_selection(bare, {})
    assert "No checkpoint" in page
    assert 'id="front"' not in page
    assert "Loss and quality" not in page
    alone = render_selection(result(checkpoints=result()["checkpoints"][1:2]), {})
    assert 'id="curves"' not in alone


def test_a_long_log_of_losses_stays_a_small_picture() -> None:
    long = result()
    long["losses"][0]["points"] = [[n, 1 / n] for n in range(1, 100_001)]
    assert len(render_selection(long, {})) < 400_000


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)


def test_names_and_reasons_from_outside_are_escaped() -> None:
    bad = copy.deepcopy(result())
    bad["checkpoints"][3] |= {"name": HOSTILE, "reason": HOSTILE}
    bad["checkpoints"][1] |= {"name": HOSTILE + "b"}
    bad |= {"chosen": HOSTILE + "b", "advice": [HOSTILE], "notices": [HOSTILE], "suite": {"name": HOSTILE}}
    bad["losses"][0]["name"] = HOSTILE
    for one in bad["checkpoints"]:
        one["losses"] = {HOSTILE: 1.0}
    page = render_selection(bad, {HOSTILE + "b": 'x"><img>'})
    tags = Tags()
    tags.feed(page)
    assert "img" not in tags.seen


def printed(parts: list[Any]) -> str:
    from rich.console import Console

    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for part in parts:
        console.print(part)
    return console.export_text()


def test_the_terminal_says_the_advice_first_and_a_line_per_checkpoint() -> None:
    text = printed(terminal_selection(result()))
    assert text.startswith("Choose b")
    assert "Found: it falls. sure: it does." in text
    for word in ("chosen", "cut short", "stopped after 4 of 9"):
        assert word in text


@pytest.fixture
def clips() -> dict[str, Any]:
    values = {
        "dnsmos_ovrl": 3.6,
        "wada_snr_db": 30.0,
        "duration_s": 8.0,
        "bandwidth_hz": 7900.0,
        "speaker_similarity": None,
    }
    fault = {"what": "splice", "weight": "serious", "says": f"not one recording {HOSTILE}"}
    return {
        "created": "2026-11-28T03:30:00+00:00",
        "folder": "clips",
        "run": "r",
        "best": "a",
        "advice": ["Clone from a."],
        "notices": ["No judge."],
        "limits": [{"column": "duration_s", "wrong": "above", "minor": 15.0, "serious": None}],
        "clips": [
            {"rank": 1, "name": "a", "verdict": "good", "faults": [], "values": values},
            {"rank": 2, "name": HOSTILE, "verdict": "avoid", "faults": [fault], "values": dict.fromkeys(values)},
        ],
    }


def test_reference_clips_have_their_reasons_and_links(clips: dict[str, Any]) -> None:
    page = render_references(clips, {"a": "clips/a.wav", HOSTILE: "clips/b.wav"})
    tags = Tags()
    tags.feed(page)
    assert "img" not in tags.seen
    assert page.index("Clone from a.") < page.index("clips/a.wav") < page.index("(serious)")
    text = printed(terminal_references(clips))
    assert text.startswith("Clone from a.")
    assert "3.60" in text and "No judge." in text
