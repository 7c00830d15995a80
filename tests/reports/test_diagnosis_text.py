"""A diagnosis in the terminal and as Markdown."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from diagnoses import extras, make_diagnosis, make_speaker, nothing_measured, several
from rich.console import Console

from reports.diagnosis_lines import duration, hours, share, squeezed
from reports.diagnosis_text import diagnosis_table, render_diagnosis_markdown


def printed(diagnosis: dict[str, Any], width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(diagnosis_table(diagnosis))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def flat(text: str) -> str:
    return " ".join(text.split())


def test_verdicts_come_first_then_the_table_then_findings() -> None:
    said = flat(printed(make_diagnosis(several(2), flagged=2, unreadable=7)))
    places = [
        said.index(words)
        for words in (
            "2 speakers (collapse expected: 1, gain expected: 1)",
            "speaker-02: collapse expected. An energy spread of 8.7 dB",
            "99.6 % below 10 dB",
            "→ Drop",
            "speaker-01: gain expected.",
            "Energy and DNS-MOS of each speaker",
            "Findings",
            "7 of 287 clips could not be read",
            "DNS-MOS was measured on the first 10 s of 4 clips.",
        )
    ]
    assert places == sorted(places)
    assert "and 2 more, all in the report" in said


@pytest.mark.parametrize("count", [1, 3, 12])
def test_no_number_is_cut_in_a_terminal_of_80_columns(count: int) -> None:
    speakers = several(count)
    speakers[0]["name"] = "a-very-long-name-of-a-speaker/of-a-corpus"
    said = printed(make_diagnosis(speakers, flagged=2))
    assert max(map(len, said.splitlines())) <= 80
    for speaker in speakers:
        energy = speaker["energy"]
        assert f"[{energy['std_ci95'][0]:.2f}, {energy['std_ci95'][1]:.2f}]" in said
        assert f"{speaker['dnsmos']['sd']:.3f}" in said
    assert said.count("38/39") == count + (count > 1)
    assert "a-very-…corpus" in said


def test_a_long_path_in_a_finding_is_folded_and_not_cut() -> None:
    diagnosis = make_diagnosis(several(1), flagged=1)
    diagnosis["flags"]["noisy"]["says"] = path = "/corpus/" + "folder/" * 12
    assert path in re.sub(r"\s", "", printed(diagnosis))


def test_many_speakers_get_a_line_each_and_advice_is_left_to_the_page() -> None:
    said = flat(printed(make_diagnosis(several(8))))
    assert said.count("expected.") == 4
    assert "→" not in said
    assert "The report says what to do about each speaker." in said


def test_names_are_never_read_as_markup() -> None:
    speaker = make_speaker("[red]Ada[/red]")
    speaker["verdict"]["says"] = "[bold]x[/bold] [/nothing]"
    diagnosis = make_diagnosis([speaker], flagged=1)
    diagnosis["flags"]["noisy"]["says"] = "[link=x]"
    diagnosis["notices"] = ["[/]"]
    said = printed(diagnosis)
    assert "[red]Ada[/red]: gain expected" in said
    assert "[bold]x[/bold]" in said
    assert "[link=x]" in said
    assert "[/]" in said


def test_nothing_readable() -> None:
    diagnosis = make_diagnosis([], unreadable=3)
    said = flat(printed(diagnosis))
    assert "No speaker could be measured" in said
    assert "0 of 3 clips measured" in said
    assert "broken/00002: The file ends inside its header." in said
    assert "No speaker could be measured" in render_diagnosis_markdown(diagnosis)


def test_a_speaker_without_any_number_shows_dashes() -> None:
    said = printed(make_diagnosis([make_speaker("Ada"), nothing_measured("mute")]))
    assert "mute: no verdict. Nothing that a verdict could rest on was measured." in flat(said)
    assert not re.search(r"\b(None|nan)\b", said)


def test_markdown_has_verdicts_table_findings_and_what_could_not_be_read() -> None:
    diagnosis = make_diagnosis(several(2), flagged=2, unreadable=24)
    said = render_diagnosis_markdown(diagnosis)
    assert "**2 speakers (collapse expected: 1, gain expected: 1)**" in said
    assert "- **speaker-02: collapse expected.** An energy spread" in said
    table = [line for line in said.splitlines() if line.startswith("| ")]
    assert len(table) == 5
    assert len({line.count(" | ") for line in table}) == 1
    assert "- **Wrong speaker**: 2 clips, 28.8 s." in said
    assert said.count("broken/") == 20
    assert "- and 4 more, all in the report" in said
    assert diagnosis["data"]["energy_definition"] in said


def test_markdown_says_what_was_made_on_request() -> None:
    said = render_diagnosis_markdown(make_diagnosis(several(2)) | extras("<b>"))
    assert "- Kept 1,110 of 1,120 clips (1.50 h) in clean.jsonl" in said
    assert "- The mix: gain expected. An energy spread of 13.6 dB" in said
    assert "- References of Ada: good/1, good/2, good/3, good/4" in said
    assert "<b>" not in said


def test_markdown_keeps_texts_inert() -> None:
    diagnosis = make_diagnosis([make_speaker("a|b*<img src=x>"), make_speaker("Bo")], unreadable=1)
    diagnosis["data"]["problems"][0] = {"id": "`x`\n# heading", "where": "x", "problem": "<script>"}
    said = render_diagnosis_markdown(diagnosis)
    assert "<img" not in said
    assert "<script" not in said
    assert "a\\|b\\*" in said
    assert "\n# heading" not in said
    assert "- `'x' # heading`: &lt;script>" in said


def test_amounts_in_the_unit_people_would_choose() -> None:
    assert [duration(value) for value in (0.001, 0.05, 3.5234, 412.34, None)] == [
        "3.6 s",
        "3.0 min",
        "3.52 h",
        "412.3 h",
        "–",
    ]
    assert [hours(value) for value in (0.0521, 17.59, 120.04)] == ["0.052", "17.59", "120.0"]
    assert [share(value) for value in (0, 0.00002, 0.0123, None)] == ["0 %", "<0.1 %", "1.2 %", "–"]


def test_a_long_name_keeps_its_beginning_and_its_end() -> None:
    assert squeezed("speaker-000017", 9) == "spea…0017"
    assert squeezed("speaker", 9) == "speaker"
