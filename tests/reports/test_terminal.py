import copy
from typing import Any

from rich.console import Console

from reports import terminal_table


def printed(summary: dict[str, Any], width: int = 110) -> str:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(terminal_table(summary))
    return capture.get()


def test_a_row_for_every_column(fake_run: Any) -> None:
    lines = printed(fake_run.summary).splitlines()
    for name, column in fake_run.summary["columns"].items():
        row = next(line for line in lines if line.split()[:1] == [name])
        assert column["unit"] in row
    for name in ("wer_corpus", "cer_corpus", "frontend_accuracy", "first_chunk_s"):
        assert any(line.split()[:1] == [name] for line in lines)


def test_numbers_of_a_row(fake_run: Any) -> None:
    column = fake_run.summary["columns"]["dnsmos_ovrl"]
    row = next(line for line in printed(fake_run.summary).splitlines() if line.startswith(" dnsmos_ovrl"))
    low, high = column["ci95"]
    reference = f"{fake_run.summary['reference']['dnsmos_ovrl']:.2f}"
    numbers = [f"{column['mean']:.2f}", "MOS", f"[{low:.2f},", f"{high:.2f}]", reference, "55/60"]
    assert row.split()[:7] == ["dnsmos_ovrl", *numbers]
    assert column["worst"][0] in row


def test_differences_are_judged_by_their_interval(fake_run: Any) -> None:
    text = printed(fake_run.summary)
    comparison = text[text.index("sarah.pth") :].splitlines()
    for name, judged in [("wer", "worse"), ("dnsmos_ovrl", "better"), ("speaker_similarity", "no clear difference")]:
        row = next(line for line in comparison if line.split()[:1] == [name])
        assert row.rstrip().endswith(judged)
    assert "55 pairs" in text
    assert "diff." not in printed(fake_run.summary | {"baseline": None})


def test_notices_are_loud(fake_run: Any) -> None:
    text = printed(fake_run.summary)
    assert "ABOUT THE JUDGES" in text
    assert "evalkit fetch whisper" in text
    assert "first_chunk_s is absent: the engine does not stream." in text
    assert "Coverage: 55 of 60 utterances are fine (91.7 %)" in text


def test_eighty_columns_hold_every_number(fake_run: Any) -> None:
    text = printed(fake_run.summary, width=80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "pronunciation_accuracy   0.817" in text
    assert "[+0.200, +0.420]" in text


def test_brackets_in_a_run_are_not_markup(fake_run: Any) -> None:
    summary = copy.deepcopy(fake_run.summary)
    summary["model"] = "[red]model[/red]"
    summary["absent"]["first_chunk_s"] = "see [/usr] and [bold]"
    text = printed(summary)
    assert "[red]model[/red]" in text
    assert "see [/usr] and [bold]" in text
