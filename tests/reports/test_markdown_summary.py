import copy
from typing import Any

from reports import render_markdown


def test_table_coverage_and_notices(fake_run: Any) -> None:
    text = render_markdown(fake_run.summary)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1, "every row has every cell"
    assert len(table) == 2 + len(fake_run.summary["columns"]) + len(fake_run.summary["corpus"])
    assert any(line.startswith("| `wer` | ") and "| worse |" in line for line in table)
    assert "Coverage: 55 of 60 utterances are fine (91.7 %)" in text
    assert "evalkit fetch whisper" in text
    assert "`first_chunk_s` is absent: the engine does not stream." in text


def test_text_cannot_break_out(fake_run: Any) -> None:
    summary = copy.deepcopy(fake_run.summary)
    summary["model"] = "a|b\n# c <img src=x>"
    text = render_markdown(summary)
    assert text.splitlines()[0] == "## a\\|b # c &lt;img src=x> on indian-names 1"


def test_without_a_baseline(fake_run: Any) -> None:
    text = render_markdown(fake_run.summary | {"baseline": None, "absent": {}, "judges": {}})
    assert "difference" not in text
    assert "absent" not in text
