"""The pages of the nights, from made-up nights: order, words, trends that break, and no text that becomes markup."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from reports.nightly_page import duration, render_index, render_night
from reports.nightly_parts import badge, changed, counts, figures, sparkline, stretches
from reports.nightly_text import night_table, render_night_markdown
from reports.nightly_trends import render_trends

HOSTILE = "<script>alert(1)</script>"


def column(mean: float = 3.0, metric: str = "dnsmos", **rest: Any) -> dict[str, Any]:
    said = {"unit": "MOS", "better": "higher", "metric": metric, "min": 2.0, "max": 4.0, "n": 24}
    return {"mean": mean, "ci95": [mean - 0.1, mean + 0.1], **said, **rest}


def side(**columns: tuple[float, str]) -> dict[str, Any]:
    """A comparison: column -> difference and answer."""
    return {
        **{"run": "run-0", "model": "old.pth", "same": False, "incomparable": None, "items": [], "page": None},
        "columns": {
            name: {"difference": difference, "ci95": [difference - 0.1, difference + 0.1], "answer": said, "why": "so"}
            for name, (difference, said) in columns.items()
        },
    }


def job(label: str = "sarah", status: str = "pass", new: bool = False, **rest: Any) -> dict[str, Any]:
    rule = {"name": "DNS-MOS holds", "kind": "relative", "column": "dnsmos_ovrl", "says": "it fell.", "why": "noise"}
    stops = {**rule, "result": "blocked", "blocks": True, "items": ["s-004", "s-017"]}
    rules = [stops] if status == "blocked" else [{**stops, "result": "pass", "blocks": False, "items": []}]
    return {
        **{"key": f"{label}-x", "label": label, "suite": "smoke", "engine": "tinytts", "state": "done", "run": "run-1"},
        **{"model": "sarah.pth", "status": status, "new": new, "new_rules": ["DNS-MOS holds"] if new else []},
        **{"coverage": {"share": 1.0}, "short": None, "problem": None, "unchanged_since": None, "judges": {}},
        "columns": {
            "dnsmos_ovrl": column(),
            "wer": column(0.2, "wer", unit="", better="lower"),
            "rtf": column(0.1, "t"),
        },
        "gate": {"rules": rules, "sentence": "A sentence.", "notices": [], "undecided": 0},
        **{"baseline": None, "last": None, "notices": [], "points": {}},
        **rest,
    }


def failed(label: str = "broken", new: bool = True) -> dict[str, Any]:
    said = {"state": "failed", "status": "failed", "reason": "The checkpoint is broken.", "new": new, "points": {}}
    return {"key": f"{label}-x", "label": label, "suite": "smoke", "engine": "", **said}


def night(*jobs: dict[str, Any], **rest: Any) -> dict[str, Any]:
    times = {"started": "2026-11-28T02:00:00+00:00", "ended": "2026-11-28T04:05:00+00:00"}
    return {"night": "2026-11-28", "title": "Voices", **times, "notices": [], "pruned": None, "cards": jobs, **rest}


def index(*jobs: dict[str, Any], **rest: Any) -> str:
    listed = {"night": "2026-11-28", "began": "2026-11-28T02:00", "jobs": len(jobs), "failed": 0, "blocked": 1}
    return render_index(
        {"title": "Voices", "night": night(*jobs), "cards": jobs, "nights": [listed], "older": 0, **rest}
    )


def words(page: str) -> str:
    return " ".join(re.sub(r"<(style|svg).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL).split())


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ([job(), job("b")], "all 2 passed"),
        ([job()], "passed"),
        ([job(status="blocked"), job("b")], "1 of 2 blocked"),
        ([job(status="blocked"), failed(), job("b", "short")], "1 of 3 blocked, 1 failed, 1 short of coverage"),
        ([failed(), job("b", "undecided")], "1 of 2 failed"),
        ([job(), job("b", "no rules")], "1 of 2 passed, the others have no rules"),
    ],
)
def test_a_night_in_a_few_words(jobs: list[dict[str, Any]], said: str) -> None:
    assert counts(jobs) == said


def test_what_is_new_comes_first_and_what_is_not_is_not_called_so() -> None:
    page = words(index(job(status="blocked", new=True), failed(), failed("old", new=False), job("fine")))
    news = page[page.index("New ") : page.index("tinytts")]
    assert "sarah on smoke is blocked: DNS-MOS holds" in news
    assert "broken on smoke failed: The checkpoint is broken." in news and "old on smoke" not in news
    assert badge(job(status="blocked", new=True)) == "blocked, new" and badge(failed(new=False)) == "failed"
    assert "DNS-MOS holds it fell. Items: s-004 , s-017 . noise" in page
    assert "Nothing fails that did not fail before" in words(render_night(night(job(status="blocked"))))


def test_changes_are_said_on_the_side_that_they_are_of() -> None:
    one = job(baseline=side(dnsmos_ovrl=(-0.4, "worse")), last=side(dnsmos_ovrl=(0.02, "equivalent")))
    (found,) = (figure for figure in figures(one, True) if figure.name == "dnsmos_ovrl")
    assert found.baseline and (found.baseline.value, found.baseline.word, found.baseline.kind) == (
        "-0.40",
        "worse",
        "worse",
    )
    assert found.last and (found.last.value, found.last.word, found.last.kind) == ("+0.02", "equivalent", "quiet")
    last = {**side(), "same": True, "night": "2026-11-27"}
    same = job(last=last, baseline={**side(), "incomparable": "the suites differ"})
    (first, *_) = figures(same, True)
    assert first.last and first.last.word == "same run" and first.baseline is None
    assert "Not comparable with the baseline: the suites differ." in words(render_night(night(same)))


def test_a_column_that_a_rule_blocks_is_shown_though_it_is_not_a_main_one() -> None:
    rule = {**job(status="blocked")["gate"]["rules"][0], "column": "rtf"}
    one = job(status="blocked", gate={"rules": [rule], "sentence": "", "notices": [], "undecided": 0})
    assert [(figure.name, figure.blocked) for figure in figures(one, True)][-1] == ("rtf", True)
    assert "rtf" not in [figure.name for figure in figures(job(), True)]
    assert "rtf" in [figure.name for figure in figures(job(), False)]


def test_items_are_those_of_the_columns_that_are_blocked() -> None:
    items = [
        {"item": f"s-{n}", "column": c, "difference": n, "text": "x"} for n, c in enumerate(("wer", "dnsmos_ovrl"))
    ]
    blocked = job(status="blocked", baseline={**side(), "items": items})
    assert [one["item"] for one in changed(blocked)] == ["s-1"]
    assert len(changed(job(baseline={**side(), "items": items}))) == 2


def points(*passports: str) -> list[dict[str, Any]]:
    return [
        {"night": f"n{n}", "run": f"r{n}", "mean": n, "low": n - 1, "high": n + 1, "passport": p, "verdict": "pass"}
        for n, p in enumerate(passports)
    ]


def test_a_trend_breaks_where_the_passport_changes() -> None:
    assert stretches(points("a", "a", "b", "a")) == [[0, 1], [2], [3]]
    drawn = str(sparkline(points("a", "a", "b", "b"), "label"))
    assert drawn.count("<polyline") == 2 and drawn.count("<polygon") == 2
    assert str(sparkline(points("a", "a", "a", "a"), "label")).count("<polyline") == 1


def test_a_trend_of_one_night_or_of_equal_values_is_drawn_and_of_none_is_not() -> None:
    assert sparkline([], "label") is None
    assert sparkline([{**points("a")[0], "mean": None}], "label") is None
    for values in (points("a"), [{**one, "mean": 3.0, "low": None, "high": None} for one in points("a", "a", "a")]):
        drawn = str(sparkline(values, "label"))
        assert "nan" not in drawn and "inf" not in drawn and "<circle" in drawn


def row(number: int, passport: str = "a", **rest: Any) -> dict[str, Any]:
    said = {"column": "dnsmos_ovrl", "unit": "MOS", "better": "higher", "metric": "dnsmos", "verdict": "pass"}
    figures = {"mean": 3 + number / 100, "low": 2.9, "high": 3.2, "passport": passport}
    return {"night": f"2026-11-{number:02d}", "run": f"run-{number}", **said, **figures, **rest}


def test_the_trends_mark_baselines_and_say_where_figures_stop_being_comparable() -> None:
    rows = [row(1), row(2), row(3, "b"), row(4, "b")]
    page = render_trends("Voices", job(), rows, {"run-2"})
    assert "passport changed" in page and "The passport changed once" in page and ">baseline<" in page
    assert "4 nights, 2026-11-01 to 2026-11-04" in words(page) and "nan" not in page.split("</style>")[1]
    plain = render_trends("Voices", job(), [row(1), row(2)], set())
    assert "passport changed" not in plain and ">baseline<" not in plain
    assert "0 nights" in words(render_trends("Voices", job(), [], set()))


def test_every_text_is_escaped(tmp_path: Path) -> None:
    one = job(HOSTILE, status="blocked", new=True, notices=[HOSTILE], unchanged_since=HOSTILE, engine=HOSTILE)
    one["gate"]["rules"][0] |= {"says": HOSTILE, "items": [HOSTILE], "why": HOSTILE, "name": HOSTILE}
    one["baseline"] = {**side(), "incomparable": HOSTILE}
    for page in (
        index(one, {**failed(HOSTILE), "reason": HOSTILE}),
        render_night(night(one, title=HOSTILE, notices=[HOSTILE])),
        render_trends(HOSTILE, one, [row(1, night=HOSTILE)], set()),
    ):
        assert "<script" not in page and "&lt;script" in page
    assert "<script" not in render_night_markdown(night(one, notices=[HOSTILE]), [])


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ("2026-11-28T02:00:20+00:00", "less than a minute"),
        ("2026-11-28T02:12:00+00:00", "12 min"),
        ("2026-11-28T05:05:00+02:00", "1 h 5 min"),
        (None, None),
    ],
)
def test_how_long_a_night_took(ended: str | None, said: str | None) -> None:
    assert duration("2026-11-28T02:00:00+00:00", ended) == said


def test_the_terminal_and_markdown_say_what_stops_a_job() -> None:
    from rich.console import Console

    jobs = (job(status="blocked", new=True), failed(), job("fine", baseline=side(dnsmos_ovrl=(0.3, "better"))))
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(night_table(night(*jobs)))
    text = console.export_text()
    assert "1 of 3 blocked, 1 failed" in text and "DNS-MOS holds (s-004, s-017)" in text
    assert "The checkpoint is broken." in text and "dnsmos_ovrl better (+0.30)" in text
    markdown = render_night_markdown(night(*jobs), [])
    assert "| sarah | smoke | blocked, new | DNS-MOS holds (s-004, s-017) |" in markdown


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium on PATH")
def test_nothing_reaches_over_the_edge_of_a_phone(tmp_path: Path) -> None:
    long = job("a-checkpoint-with-a-very-long-name-that-has-no-blank-in-it-step-000160000", status="blocked", new=True)
    long["columns"]["pronunciation_accuracy"] = column(0.5, "pronunciation", unit="")
    items = [{"item": "s-004", "column": "dnsmos_ovrl", "difference": -0.5, "text": "A sentence of some length. " * 3}]
    long["baseline"] = {**side(dnsmos_ovrl=(-0.4, "worse")), "items": items}
    pages = {
        "index": index(long, job("fine", points={"dnsmos_ovrl": points("a", "a", "b")})),
        "night": render_night(night(long, failed())),
        "trends": render_trends("Voices", long, [row(n) for n in range(1, 25)], {"run-3"}),
    }
    for name, page in pages.items():
        inner = tmp_path / f"{name}.html"
        inner.write_text(page)
        shell = tmp_path / f"{name}-shell.html"
        frame = f'<iframe src="{name}.html" width="390" height="2000" id="f"></iframe>'
        measure = 'document.getElementById("f").contentDocument.documentElement.scrollWidth'
        shell.write_text(f"{frame}<script>onload = () => {{ document.title = `width ${{{measure}}}`; }};</script>")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"]
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        command = ["chromium", *flags, profile, "--virtual-time-budget=5000", shell.as_uri()]
        dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
        found = re.search(r"<title>width (\d+)</title>", dom)
        assert found and int(found[1]) <= 390, f"{name}: {found and found[1]}"
