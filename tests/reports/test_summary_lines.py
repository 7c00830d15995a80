from typing import Any

import pytest

from reports.columns import judgement, main_columns, ordered
from reports.lines import coverage_sentence, judge_notices, summary_lines
from reports.tags import tag_groups


@pytest.mark.parametrize(
    ("bounds", "better", "answer"),
    [
        ([0.01, 0.09], "higher", "better"),
        ([0.01, 0.09], "lower", "worse"),
        ([-0.09, -0.01], "higher", "worse"),
        ([-0.09, -0.01], "lower", "better"),
        ([-0.01, 0.09], "higher", "no clear difference"),
        ([0.0, 0.09], "higher", "no clear difference"),
        ([0.0, 0.0], "higher", "no clear difference"),
        ([0.01, 0.09], "neither", "changed"),
        ([-0.01, 0.09], "neither", "no clear difference"),
        (None, "higher", "no interval"),
    ],
)
def test_only_an_interval_without_zero_says_anything(bounds: list[float] | None, better: str, answer: str) -> None:
    assert judgement({"difference": 0.04, "ci95": bounds, "better": better}) == answer


def test_reading_order() -> None:
    assert ordered(["their_own", "rtf", "dnsmos_ovrl", "wer"]) == ["wer", "dnsmos_ovrl", "rtf", "their_own"]


def test_main_columns(fake_run: Any) -> None:
    assert main_columns(fake_run.summary) == ["pronunciation_accuracy", "wer", "speaker_similarity", "dnsmos_ovrl"]
    columns = {
        "speaker_similarity": {"better": "higher", "metric": "speaker_similarity"},
        "speaker_warmth": {"better": "higher", "metric": "speaker_similarity"},
        "rtf": {"better": "lower", "metric": "signal"},
        "their_level": {"better": "neither", "metric": "theirs"},
        "their_own": {"better": "higher", "metric": "theirs"},
        "their_other": {"better": "higher", "metric": "theirs"},
    }
    assert main_columns({"columns": columns}) == ["speaker_similarity", "their_own"], "a plugin has its main column too"
    assert main_columns({"columns": {"rtf": columns["rtf"]}}) == ["rtf"], "better than nothing"


def test_lines(fake_run: Any) -> None:
    lines = {line.name: line for line in summary_lines(fake_run.summary)}
    names = list(lines)
    assert names.index("wer_corpus") == names.index("wer") + 1
    assert lines["wer"].kind == "mean over utterances"
    assert lines["wer_corpus"].pooled
    assert lines["dnsmos_ovrl"].kind == ""
    assert names[-2:] == ["frontend_accuracy", "first_chunk_s"]
    assert lines["first_chunk_s"].absent == "the engine does not stream."
    assert lines["dnsmos_ovrl"].reference == "2.43"
    assert lines["pronunciation_accuracy"].missing == 0
    assert lines["wer"].missing == 2
    difference = lines["wer"].difference
    assert difference is not None
    assert (difference.value, difference.interval, difference.judgement) == ("+0.021", "[+0.008, +0.034]", "worse")


def test_coverage(fake_run: Any) -> None:
    assert coverage_sentence(fake_run.summary) == (
        "55 of 60 utterances are fine (91.7 %); failed 1, not_finite 1, silent 1, too_long 1, unknown_symbols 1"
    )
    complete = {"coverage": {"planned": 3, "ok": 3, "share": 1.0, "by_status": {"ok": 3, "silent": 0}}}
    assert coverage_sentence(complete) == "3 of 3 utterances are fine (100 %)"
    complete["coverage"]["metric_crashed"] = 2
    assert coverage_sentence(complete).endswith("(100 %); a metric crashed on 2")


def test_only_judges_with_something_to_say_are_named(fake_run: Any) -> None:
    [(metric, sentence)] = judge_notices(fake_run.summary)
    assert (metric, sentence[:10]) == ("wer", ": pocketsp")
    named = {"wer": {"notice": "wer comes from a stand-in."}, "cer": {"notice": None}}
    assert judge_notices({"judges": named}) == [("wer", " comes from a stand-in.")]


def test_seen_and_unseen_names_come_first_in_words(fake_run: Any) -> None:
    groups = tag_groups(fake_run.summary, ["wer", "dnsmos_ovrl"])
    assert [group.name for group in groups] == ["fixture", "difficulty", "kind", "language"]
    assert [line.name for line in groups[0].lines] == ["names the voice was trained on", "names it never saw"]
    assert sum(line.n for line in groups[0].lines) == 60
    seen = fake_run.summary["tags"]["fixture:seen"]["columns"]["wer"]
    assert groups[0].lines[0].cells[0].mean == f"{seen['mean']:.3f}"
    assert groups[0].lines[0].cells[0].n == seen["n"]


def test_a_tag_without_values_or_interval() -> None:
    column = {"unit": "", "min": 0.0, "max": 1.0, "mean": 0.5}
    tags = {
        "lonely": {"n": 1, "columns": {"wer": {"n": 1, "mean": 0.5, "ci95": None}}},
        "kind:x": {"n": 2, "columns": {"wer": {"n": 0, "mean": None, "ci95": None}}},
        "kind:y": {"n": 2, "columns": {}},
    }
    groups = {group.name: group for group in tag_groups({"columns": {"wer": column}, "tags": tags}, ["wer"])}
    assert groups["tag"].lines[0].cells[0].mean == "0.500"
    assert [line.cells[0].mean for line in groups["kind"].lines] == ["–", "–"]
