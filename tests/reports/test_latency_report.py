"""How timings are shown: percentiles, conditions, warnings, and what is not compared."""

from __future__ import annotations

import re
from typing import Any

import pytest
from rich.console import Console

from reports import render_html, render_markdown, terminal_table
from reports.latency import latency

HOSTILE = """<script>document.title = "owned"</script> & <b onmouseover=alert(1)>"""
BUSY = "Other processes used 40 % of the CPU just before the start (load average 1.4)."
REASON = "the runs were timed with another mode (stream and single)"


def timed(fake_run: Any, **changes: Any) -> dict[str, Any]:
    """The made-up run as if it had been timed, streamed on a busy machine."""
    first = {
        **fake_run.summary["columns"]["duration_s"],
        "unit": "s",
        "better": "lower",
        "metric": "timings",
        "percentiles": {"p50": 0.41, "p90": 0.62, "p95": 0.88, "p99": None},
        "median_ci95": [0.39, 0.44],
    }
    timing = {
        "mode": "stream",
        "warm_up": 5,
        "cpu": "Some Processor",
        "cores": 8,
        "threads": {"torch": 1, "torch_interop": 4, "OMP_NUM_THREADS": "1"},
        "device": "cpu",
        "load": {"first": 0.4, "last": 1.26, "highest": 1.5},
        "others": 0.031,
        "starts": [{}],
        "warnings": [BUSY],
    }
    return {
        **fake_run.summary,
        "columns": {**fake_run.summary["columns"], "total_s": first, "first_chunk_s": first},
        "timing": {**timing, **changes},
        "baseline": {
            **fake_run.summary["baseline"],
            "omitted": {"total_s": REASON, "first_chunk_s": REASON},
            "notices": [],
        },
    }


def printed(summary: dict[str, Any]) -> str:
    console = Console(width=200, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(terminal_table(summary))
    return capture.get()


def test_rows_are_percentiles_in_reading_order(fake_run: Any) -> None:
    found = latency(timed(fake_run))
    assert found is not None and found.title == "Latency: each utterance spoken alone, streamed"
    count = str(fake_run.summary["columns"]["duration_s"]["n"])
    assert [row[0] for row in found.rows] == ["first_chunk_s", "total_s"]
    assert found.rows[0][1:] == ("s", "0.41", "[0.39, 0.44]", "0.62", "0.88", "–", count)


def test_conditions_in_one_sentence(fake_run: Any) -> None:
    found = latency(timed(fake_run))
    assert found is not None and found.conditions == (
        "After a warm-up of 5 utterances, on cpu; Some Processor, 8 cores, 1 torch thread; load average 0.4 at the "
        "first utterance, 1.3 at the last; other processes used 3.1 % of the CPU meanwhile."
    )
    silent = latency(timed(fake_run, load=None, others=None, starts=[{}, {}, {}]))
    assert silent is not None and silent.conditions == (
        "After a warm-up of 5 utterances, on cpu; Some Processor, 8 cores, 1 torch thread; in 3 starts; what other "
        "processes used is not known."
    )


def test_a_run_in_batches_has_no_latency(fake_run: Any) -> None:
    assert latency(fake_run.summary) is None and latency({**fake_run.summary, "timing": None}) is None
    assert "Latency" not in printed(fake_run.summary) and "Latency" not in render_markdown(fake_run.summary)
    assert 'id="latency"' not in render_html(fake_run.manifest, fake_run.summary, fake_run.rows, fake_run.folder)


def test_terminal_shows_percentiles_warnings_and_what_is_left_out(fake_run: Any) -> None:
    text = printed(timed(fake_run))
    assert re.search(r"column +unit +p50 +95 % interval +p90 +p95 +p99 +n", text)
    assert re.search(r"first_chunk_s +s +0\.41 +\[0\.39, 0\.44\] +0\.62 +0\.88 +– +\d+", text)
    assert "ABOUT THE TIMINGS" in text and BUSY in text
    assert f"first_chunk_s, total_s: not compared with the baseline, {REASON}." in text


def test_a_quiet_run_has_no_warning(fake_run: Any) -> None:
    quiet = timed(fake_run, warnings=[])
    assert "ABOUT THE TIMINGS" not in printed(quiet)
    assert "About the timings" not in render_html(fake_run.manifest, quiet, fake_run.rows, fake_run.folder)


def test_page_and_markdown_show_the_same(fake_run: Any) -> None:
    summary = timed(fake_run)
    page = render_html(fake_run.manifest, summary, fake_run.rows, fake_run.folder)
    assert 'href="#latency"' in page and 'id="latency"' in page
    assert BUSY in page and REASON in page
    markdown = render_markdown(summary)
    assert "| `first_chunk_s` | s | 0.41 | [0.39, 0.44] | 0.62 | 0.88 | – |" in markdown
    assert f"> {BUSY}" in markdown and REASON in markdown


def test_a_hostile_processor_name_is_only_a_name(fake_run: Any) -> None:
    summary = timed(fake_run, cpu=HOSTILE, warnings=[f"[red]{HOSTILE}[/]"])
    assert "<script>document" not in render_html(fake_run.manifest, summary, fake_run.rows, fake_run.folder)
    assert "[red]" in printed(summary)
    assert "<script>" not in render_markdown(summary)


@pytest.mark.parametrize("render", ["terminal", "markdown", "page"])
def test_another_way_of_speaking_is_mentioned(fake_run: Any, render: str) -> None:
    summary = timed(fake_run)
    summary["baseline"]["notices"] = ["One of the runs streamed its audio and the other did not."]
    text = {
        "terminal": lambda: printed(summary),
        "markdown": lambda: render_markdown(summary),
        "page": lambda: render_html(fake_run.manifest, summary, fake_run.rows, fake_run.folder),
    }[render]()
    assert "One of the runs streamed its audio and the other did not." in text
