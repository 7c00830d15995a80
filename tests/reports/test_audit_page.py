"""The page of an audit: plots from figures, self-contained, safe against hostile names."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from reports.audit_charts import Curve, curve_chart, dot_chart
from reports.audit_page import render_audit

HOSTILE = """<script>document.title = "owned"</script> & "quotes" """


def result(verdict: str, says: str, **figures: Any) -> dict[str, Any]:
    return {"verdict": verdict, "says": says, "figures": figures}


@pytest.fixture
def audit() -> dict[str, Any]:
    """Made-up figures of two clips."""
    noise = {"x": [[None, 40.0, 20.0, 0.0]] * 2, "y": [[4.0, 3.9, 3.0, 1.5], [3.6, 3.7, 2.9, 1.4]]}
    correlation = {"r": 0.8, "ci95": [0.6, 0.9]}
    judged = {
        "repeatability": result("fail", "Not repeatable.", values=[[4.0, 4.1, None], [3.6, 3.6, 3.6]]),
        "length": result("undecided", "Length.", x=[[1.0, 1.0, 2.0, 4.0]] * 2, y=[[4, 4.2, 4.1, 4.3], [3, 3, 3, 3]]),
        "level": result("pass", "Independent of level.", x=[[-30.0, 0.0, 6.0]], y=[[4.0, 4.0, 4.0]]),
        "noise": result("pass", "Gets worse with noise.", white=noise, pink=noise),
        "ratings": result("pass", "Agrees.", rating=[1.0, 2.0, 4.0], value=[2.0, 2.5, 4.5], system=correlation),
    }
    silent = {key: result("not applicable", "No clip has a value: it is mute.") for key in judged}
    return {
        "metric": "made-up",
        "judge": HOSTILE,
        "created": "2026-11-21T07:00:00+00:00",
        "evalkit": "0.1.0",
        "seed": 0,
        "device": "cpu",
        "level_dbfs": -26.0,
        "clips": [{"name": HOSTILE, "seconds": 4.6, "sha256": "0" * 64}],
        "thresholds": {
            "repeatability": 1e-4,
            "share_of_noise": 0.1,
            "rank_correlation": 0.9,
            "right_steps": 0.8,
            "agreement": 0.5,
        },
        "overall": "made-up is not repeatable (mos).",
        "columns": {
            "mos": {"unit": "MOS", "better": "higher", "properties": judged},
            "mute": {"unit": "", "better": "higher", "properties": silent},
        },
        "passport": {"metric": "made-up", "judge": HOSTILE, "parameters": {"seed": 0}},
    }


def test_every_verdict_stands_in_the_table_and_beside_its_plot(audit: dict[str, Any]) -> None:
    page = render_audit(audit)
    assert "made-up is not repeatable (mos)." in page
    assert page.count('class="verdict-fail"') == 2 and page.count('class="verdict-undecided"') == 2
    assert page.count('<svg class="audit"') == 5
    for key, found in audit["columns"]["mos"]["properties"].items():
        assert found["says"] in page, key


def test_a_column_without_values_says_so_once(audit: dict[str, Any]) -> None:
    assert render_audit(audit).count("No clip has a value: it is mute.") == 1


def test_the_page_needs_nothing_else_and_runs_nothing(audit: dict[str, Any]) -> None:
    page = render_audit(audit)
    assert "<script" not in page and "&lt;script&gt;" in page
    assert not re.search(r"(?:src|href)=[\"'](?!#)", page)
    assert "script-src" not in page and "default-src 'none'" in page


def test_the_page_is_well_formed(audit: dict[str, Any]) -> None:
    class Checker(HTMLParser):
        open_tags: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in ("meta", "wbr"):
                self.open_tags.append(tag)

        def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert self.open_tags.pop() == tag

    checker = Checker()
    checker.feed(render_audit(audit))
    assert checker.open_tags == []


def numbers(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)]


def test_curves_go_where_the_numbers_go() -> None:
    svg = str(curve_chart([Curve([(0, 1), (10, 3), (20, 2)], "first", "mean")], "x", "spoken"))
    (path,) = re.findall(r'class="curve first" d="M([^"]+)"', svg)
    (x0, y0), (x1, y1), (x2, y2) = numbers(path)
    assert x0 < x1 < x2 and x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y1 < y2 < y0  # larger is higher up
    assert y0 - y2 == pytest.approx((y0 - y1) / 2, abs=0.2)
    assert 'aria-label="spoken"' in svg and ">mean<" in svg


def test_both_halves_of_a_clip_are_one_point(audit: dict[str, Any]) -> None:
    page = render_audit(audit)
    curves = re.findall(r'class="curve (clip|first)" d="M([^"]+)"', page)
    assert {len(numbers(path)) for _, path in curves[:3]} == {3}


def test_runs_that_gave_no_value_have_no_dot(audit: dict[str, Any]) -> None:
    assert render_audit(audit).count('<circle class="dot"') == 5 + 3


def test_a_flat_line_looks_flat() -> None:
    svg = str(curve_chart([Curve([(0, 4.0), (1, 4.0 + 1e-9)], "first")], "x", "spoken"))
    (path,) = re.findall(r'class="curve first" d="M([^"]+)"', svg)
    (_, y0), (_, y1) = numbers(path)
    assert y0 == y1


def test_counts_have_whole_ticks() -> None:
    svg = str(dot_chart([(float(run), 1.0) for run in range(1, 11)], "run", "spoken", whole=True))
    ticks = re.findall(r'class="num mid"[^>]*>([^<]+)<', svg)
    assert ticks and all(tick.isdigit() for tick in ticks)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1200, 390])
def test_nothing_is_wider_than_the_window(audit: dict[str, Any], tmp_path: Path, width: int) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on PATH")
    probe = "<script>document.title = document.documentElement.scrollWidth - window.innerWidth</script></body>"
    page = re.sub(r"<meta http-equiv[^>]*>", "", render_audit(audit)).replace("</body>", probe)
    (tmp_path / "page.html").write_text(page)
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", "--dump-dom"]
    done = subprocess.run(
        [browser, *options, f"file://{tmp_path}/page.html"], capture_output=True, text=True, timeout=120, check=True
    )
    (title,) = re.findall(r"<title>(-?\d+)</title>", done.stdout)
    assert int(title) <= 0
