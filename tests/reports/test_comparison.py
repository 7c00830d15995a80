"""The page, the terminal table and Markdown of a comparison, from plain data."""

from __future__ import annotations

import io
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from rich.console import Console

from reports.comparison_lines import coverage_lines, group_table, needs, side_lines, tag_lines, verdict_sentences
from reports.comparison_page import render_comparison
from reports.comparison_text import comparison_terminal, render_comparison_markdown

EVIL = "<script>alert('x')</script>|[bold]*"


def side(difference: float, answer: str, **more: Any) -> dict[str, Any]:
    return {
        "difference": difference,
        "ci95": (difference - 0.1, difference + 0.1),
        "ci90": (difference - 0.08, difference + 0.08),
        "mean": 3.0 + difference,
        "baseline_mean": 3.0,
        "percent": 100 * difference / 3,
        "p": 0.0004,
        "p_holm": 0.0008,
        "effect": 1.25,
        "detectable": 0.15,
        "pairs": 24,
        "unpaired": 0,
        "unit": "item",
        "units": 24,
        "method": "Student t",
        "answer": answer,
        "why": "the interval says so.",
        "more_items": None,
        "more_repeats": None,
    } | more


def column(*sides: dict[str, Any] | None, unit: str = "MOS", better: str = "higher", metric: str = "dnsmos") -> Any:
    return {
        "unit": unit,
        "better": better,
        "metric": metric,
        "margin": 0.1 if better != "neither" else None,
        "description": "how good",
        "mean": 3.0,
        "sides": list(sides),
    }


def row(value: float, audio: str | None = "audio/a.flac", **more: Any) -> dict[str, Any]:
    return {
        "utterance": "a.r0", "status": "ok", "reason": None, "text": "Hello Priya", "spoken": "Hello Priya",
        "read": None, "phonemes": None, "audio": audio, "tags": ["kind:person"], "value": value, "heard": "hello pria",
        "entities": [{"spelling": "Priya", "right": False}],
    } | more  # fmt: skip


@pytest.fixture
def result() -> dict[str, Any]:
    names = ("base", "one", EVIL)
    sides = [{"name": n, "run": f"run-{n}", "path": None, "label": n, "facts": {"seed": 0}} for n in names]
    unsure = side(0.05, "cannot tell", more_items=1200, more_repeats=3)
    changed = [
        {"other": other, "column": "dnsmos_ovrl", "item": "a", "difference": -1.0, "text": f"Hello {EVIL}",
         "ours": row(2.0), "theirs": row(3.0)}
        for other in (0, 1)
    ]  # fmt: skip
    figures = {"mean": 3.5, "variance": 0.0082, "members": {"speaker:1": 3.4, "speaker:2": 3.6}}
    share = {"planned": 24, "by_status": {"ok": 24}, "metric_crashed": 0, "ok": 24, "share": 1.0}
    return {
        "baseline": sides[0],
        "others": [{**sides[1], "incomparable": None}, {**sides[2], "incomparable": f"the suites differ {EVIL}"}],
        "level": 0.05,
        "tests": 3,
        "columns": {
            "wer": column(side(0.2, "worse"), unsure, unit="", better="lower", metric="wer"),
            "duration_s": column(side(0.5, "changed"), None, unit="s", better="neither", metric="signal"),
            "wer_corpus": column(side(-0.2, "better"), None, unit="", better="lower", metric="wer"),
            "dnsmos_ovrl": column(side(-2.0, "worse"), side(0.0, "equivalent", unpaired=4)),
        },
        "coverage": [share, {**share, "ok": 20, "share": 20 / 24, "by_status": {"ok": 20, "silent": 4}}, share],
        "failures": [[], [{"utterance": "b.r0", "item": "b", "status": "silent", "reason": EVIL, "text": EVIL}], []],
        "tags": {"kind:person": {"dnsmos_ovrl": [side(-0.5, ""), side(0.0, "")]}},
        "groups": {"unseen": {"dnsmos_ovrl": [figures, {**figures, "mean": 3.803}, None]}},
        "main": ["wer", "dnsmos_ovrl"],
        "changed": changed,
        "notices": [f"Coverage fell: {EVIL}"],
        "passports": {"dnsmos": {"judge": "dnsmos", "version": "1"}},
    }


def printed(result: dict[str, Any], width: int = 200) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(comparison_terminal(result))
    return out.getvalue()


def test_lines_are_in_reading_order_with_signs_and_percent(result: dict[str, Any]) -> None:
    lines = side_lines(result, 0)
    assert [line.column for line in lines] == ["wer", "wer_corpus", "dnsmos_ovrl", "duration_s"]
    wer = lines[0]
    assert wer.cells == (
        "wer", "3.000", "3.200", "+0.200", "[+0.100, +0.300]", "+6.7 %", "< 0.001", "+1.25", "0.150", "worse",
    )  # fmt: skip
    assert [line.column for line in side_lines(result, 1)] == ["wer", "dnsmos_ovrl"], (
        "what it does not have is left out"
    )


def test_verdicts_say_the_worst_first(result: dict[str, Any]) -> None:
    first, second = verdict_sentences(result)
    assert first == (
        "one against base: worse in wer (+0.200), dnsmos_ovrl (-2.00); better in wer_corpus (-0.200); "
        "changed in duration_s (+0.50)."
    )
    assert second.startswith("NOT COMPARABLE (the suites differ")
    assert "equivalent in dnsmos_ovrl (4 items left out); cannot tell in wer (+0.050)." in second


def test_what_it_takes_to_tell() -> None:
    assert needs(side(0, "better", more_items=3)) == ""
    assert needs(side(0, "cannot tell", more_items=1)) == "1 more item would probably tell."
    said = needs(side(0, "cannot tell", more_items=1200, more_repeats=3))
    assert said == "1,200 more items, or 3 more repeats of each, would probably tell."
    assert "more speakers" in needs(side(0, "cannot tell", unit="speaker"))
    assert "more than 10,000" in needs(side(0, "cannot tell", more_items=20_000))


def test_coverage_groups_and_tags(result: dict[str, Any]) -> None:
    assert coverage_lines(result)[1] == "one: 20 of 24 utterances are fine (83.3 %); silent 4"
    headings, rows = group_table(result)
    assert headings[2:4] == ("base", "variance")
    assert rows == [("unseen", "dnsmos_ovrl", "3.500", "0.008", "3.803", "0.008", "–", "–")]
    (line,) = tag_lines(result, 0, ["dnsmos_ovrl"])
    assert (line.difference, line.judgement, line.apart) == ("-0.50", "worse", True)
    assert tag_lines(result, 1, ["dnsmos_ovrl"])[0].judgement == ""


def test_terminal(result: dict[str, Any]) -> None:
    text = printed(result)
    assert text.index("silent 4") < text.index("one against base"), "coverage first"
    for words in ("NOT COMPARABLE", "1,200 more items", "kind:person", "3.803", "Coverage fell", EVIL):
        assert words in text, words


def test_markdown_cannot_be_broken_by_text(result: dict[str, Any]) -> None:
    text = render_comparison_markdown(result)
    assert "<script" not in text and "NOT COMPARABLE" in text
    tables = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(tables) == 6
    assert {line.replace("\\|", "").count("|") for line in tables} == {11}


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    found = []
    for place, name in enumerate(("base", "one", "two")):
        (tmp_path / "runs" / name / "audio").mkdir(parents=True)
        tone = 0.3 * np.sin(np.linspace(0, 1000 * (place + 1), 8000)).astype(np.float32)
        soundfile.write(tmp_path / "runs" / name / "audio" / "a.flac", tone, 16000)
        found.append(tmp_path / "runs" / name)
    return found


def test_page_has_both_audios_of_an_item_and_escapes_everything(result: dict[str, Any], folders: list[Path]) -> None:
    text = render_comparison(result, folders, folders[-1])
    page = _Page(text)
    audios = page.all("audio")
    assert len(audios) == 4 and all(str(one["src"]).startswith("data:audio/flac") for one in audios)
    assert len({one["src"] for one in audios}) == 3, "each side's own audio; the baseline's stands in both cards"
    assert len(page.all("script")) == 1 and "alert('x')" not in text
    assert "<del>Priya</del>" in text and "<ins>pria</ins>" in text
    assert 'href="http' not in text and 'src="http' not in text
    assert text.count("Not comparable") == 1 and "Coverage" in text
    assert text.index("silent 4") < text.index('id="differences"'), "verdict and coverage first"
    assert "1,200 more items" in text


def test_page_draws_differences_in_margins(result: dict[str, Any], folders: list[Path]) -> None:
    page = _Page(render_comparison(result, folders, folders[-1]))
    charts = [one["aria-label"] for one in page.all("svg") if one.get("class") == "difference"]
    assert "wer: +2.0 margins, worse" in charts and "dnsmos_ovrl: -20.0 margins, worse" in charts
    assert len(charts) == 5, "duration_s has no margin and no chart"
    assert len(page.all("polygon")) == 1, "what lies far outside is an arrow"
    circles = [one for one in page.all("circle") if one["class"] == "dot worse"]
    assert float(str(circles[0]["cx"])) < 100, "more errors are worse, and worse is on the left"


def test_audio_that_is_not_embedded_is_linked_from_where_the_page_lies(
    result: dict[str, Any], folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.comparison_page.BUDGET", 10)
    page = _Page(render_comparison(result, folders, folders[-1]))
    assert {"../base/audio/a.flac", "../one/audio/a.flac", "./audio/a.flac"} <= {one["href"] for one in page.all("a")}


def test_missing_audio_is_said_in_its_place(result: dict[str, Any], folders: list[Path]) -> None:
    (folders[1] / "audio" / "a.flac").unlink()
    result["changed"][1]["ours"]["audio"] = None
    text = render_comparison(result, folders, folders[-1])
    assert "audio/a.flac is missing" in text and "There is no audio of this utterance" in text


def test_tables_have_no_cards(result: dict[str, Any], tmp_path: Path) -> None:
    text = render_comparison(result, [None, None, None], tmp_path)
    assert "<audio" not in text and "3.00 → 2.00" in text and "no audio" not in text
