"""What a number is to be judged by: the judge's own accuracy, and what the speaker's own clips reach."""

import copy
from typing import Any

from rich.console import Console

from reports import render_html, render_markdown, terminal_table


def test_the_mark_stands_beside_the_column_in_every_output(fake_run: Any) -> None:
    summary = copy.deepcopy(fake_run.summary)
    summary["columns"]["pronunciation_accuracy"]["unreliable"] = "this judge is right on 87% of its calibration clips"
    console = Console(width=160, color_system=None)
    with console.capture() as capture:
        console.print(terminal_table(summary))
    assert "pronunciation_accuracy (unreliable)" in capture.get() and capture.get().count("(unreliable)") <= 2
    markdown = render_markdown(summary)
    assert "`pronunciation_accuracy` (unreliable)" in markdown and markdown.count("(unreliable)") == 1
    page = render_html(fake_run.manifest, summary, fake_run.rows, fake_run.folder)
    assert page.count("right on 87% of its calibration clips") >= 2, "in the headline and in the table"
    assert "unreliable</strong>" not in render_html(fake_run.manifest, fake_run.summary, fake_run.rows, fake_run.folder)


def test_the_spread_among_the_reference_clips_is_printed(fake_run: Any) -> None:
    sentence = "The 8 reference clips among themselves: speaker_cosine 0.956, from 0.948 to 0.962."
    summary = copy.deepcopy(fake_run.summary)
    summary["reference"]["speaker_cosine"] = 0.956
    summary["reference_spread"] = {"clips": 8, "range": {"speaker_cosine": [0.948, 0.962], "wer": [0.1, 0.2]}}
    console = Console(width=160, color_system=None)
    with console.capture() as capture:
        console.print(terminal_table(summary))
    assert sentence in capture.get()
    assert sentence in render_markdown(summary)
    assert sentence in render_html(fake_run.manifest, summary, fake_run.rows, fake_run.folder)
    summary["reference_spread"]["clips"] = 1
    assert "among themselves" not in render_markdown(summary), "one clip has no others"
