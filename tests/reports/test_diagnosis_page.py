"""The page of a diagnosis, made from invented speakers. Nothing here is a measurement."""

from __future__ import annotations

import re
from typing import Any

import pytest
from diagnoses import PUBLISHED, extras, make_diagnosis, make_speaker, nothing_measured, several

from reports.clips import Clip
from reports.diagnosis_findings import BUDGET, PLAYED, telling, to_hear
from reports.diagnosis_lines import how_sure, rule_sentences, typeset
from reports.diagnosis_page import render_diagnosis

HOSTILE = """<script>alert(1)</script> "a" 'b' & <b onmouseover=alert(1)>"""


def render(diagnosis: dict[str, Any], players: dict[str, Clip] | None = None, **clips: Any) -> str:
    return render_diagnosis(diagnosis, PUBLISHED, players or {}, clips.get("clips"))


def visible(page: str) -> str:
    """The page's text, a space for each piece of markup."""
    body = page[page.index("<body>") :]
    return " ".join(re.sub(r"<[^>]*>", " ", body).replace("\N{NO-BREAK SPACE}", " ").split())


def test_the_answer_stands_first_and_the_worst_speakers_before_the_others() -> None:
    page = render(make_diagnosis(several(4)))
    text = visible(page)
    assert text.index("4 speakers (collapse expected: 1, at risk: 1, cannot tell: 1, gain expected: 1)") < 120
    cards = re.findall(r'<article class="expected[^"]*" id="speaker-(\d)">', page)
    assert cards == ["2", "3", "4", "1"]
    assert text.index("What to expect") < text.index("Speakers side by side") < text.index("Where the speakers lie")


def test_the_outcome_is_not_said_twice_in_a_row() -> None:
    text = visible(render(make_diagnosis([make_speaker("Ada", "risk"), make_speaker("Bo", "cannot tell")])))
    assert "Ada at risk An energy spread of 11.4 dB lies between" in text
    assert "Bo cannot tell Energy sd 12.80 dB" in text


def test_a_sentence_that_only_looks_like_an_outcome_stays_whole() -> None:
    speaker = make_speaker("Ada", "risk")
    speaker["verdict"]["says"] = "Gain expected: no, but this is what was said."
    assert "Gain expected: no, but" in visible(render(make_diagnosis([speaker])))


def test_how_sure_gives_the_share_of_each_zone() -> None:
    assert how_sure(make_speaker("Ada", "risk")) == (
        "Energy sd when the clips are drawn again: 1 % at about 13 dB or more, 93 % between 10 and about 13 dB, "
        "6 % below 10 dB."
    )
    unsure = make_speaker("Ada")
    unsure["verdict"]["probability"] = None
    assert how_sure(unsure) is None
    assert "drawn again:" not in visible(render(make_diagnosis([unsure])))


def test_the_rule_says_how_few_speakers_it_rests_on_and_where_each_of_them_lay() -> None:
    said = " ".join(rule_sentences(PUBLISHED)).replace("\N{NO-BREAK SPACE}", " ")
    assert "It rests on six published speakers" in said
    assert "at about 13 dB or more and their gain in DNS-MOS: 2 +0.424, 11614 +0.138, 1 +0.029." in said
    assert "between 10 and about 13 dB and their gain in DNS-MOS: 1401 −0.274." in said
    assert "below 10 dB and their gain in DNS-MOS: 1259 −0.001, 1212 −0.414." in said


def test_the_table_has_the_published_columns_and_all_speakers_at_its_end() -> None:
    speakers = several(2)
    page = render(make_diagnosis(speakers))
    lines = re.findall(r"<tr(?: class=\"all\")?><th scope=\"row\".*?</tr>", page)
    cells = [re.findall(r'<td class="num">(.*?)</td>', line) for line in lines]
    names = [re.sub(r"<[^>]*>", "", re.findall(r"<th.*?</th>", line)[0]) for line in lines]
    assert names == ["speaker-01", "speaker-02", "all speakers", *[one["name"] for one in PUBLISHED]]
    energy = speakers[0]["energy"]
    assert cells[0][5:8] == [
        "−29.40",
        f"{energy['std_db']:.2f}",
        f"[{energy['std_ci95'][0]:.2f}, {energy['std_ci95'][1]:.2f}]",
    ]
    assert cells[0][3:5] == ["360", "9.4"]
    assert len(cells[0]) == page.count('<th scope="col" class="num">') - 3, "the table of published ones has three"


def test_what_all_speakers_of_an_outcome_share_is_told_once_and_for_whom() -> None:
    speakers = [*several(3), make_speaker("again", "risk", seed=8)]
    for place in (2, 3):
        speakers[place]["verdict"]["advice"] += ["Both at risk.", "Also the first."]
    speakers[0]["verdict"]["advice"].append("Also the first.")
    speakers[0]["verdict"]["evidence"].append("Of one alone.")
    speakers[1]["verdict"]["evidence"].append("Of one of two alike.")
    speakers.append(make_speaker("like it", "collapse", seed=9))
    speakers.append(make_speaker("third", "risk", seed=10))
    speakers[5]["verdict"]["advice"] += ["Both at risk.", "Also the first."]
    for place in (2, 3):
        speakers[place]["verdict"]["evidence"].append("Of two of three.")
    text = visible(render(make_diagnosis(speakers)))
    assert text.count("Six speakers stand behind the rule.") == 1
    assert "For all speakers What to do Choose the checkpoint by what it sounds like" in text
    assert "Where a speaker is at risk What to do Both at risk." in text
    assert "Where a speaker is at risk or a gain is expected What to do Also the first." in text
    assert text.count("Of two of three.") == 2, "it would be wrong to say it of the third"
    assert text.count("Of one alone.") == text.count("Of one of two alike.") == 1
    assert text.index("Of one of two alike.") < text.index("Where a speaker is at risk") > text.index("Of one alone.")


def test_of_one_speaker_everything_stands_at_its_verdict() -> None:
    page = render(make_diagnosis([make_speaker("Ada")]))
    assert page.count('<article class="expected') == 1
    assert visible(page).count("Six speakers stand behind the rule.") == 1


def test_texts_from_the_set_cannot_become_markup() -> None:
    speaker = make_speaker(HOSTILE)
    speaker["verdict"]["says"] = speaker["verdict"]["advice"][0] = speaker["verdict"]["evidence"][0] = HOSTILE
    diagnosis = make_diagnosis([speaker, make_speaker(f"{HOSTILE}2")], flagged=1, unreadable=1, path=f"x/{HOSTILE}")
    diagnosis["data"]["problems"][0] = {"id": HOSTILE, "where": f"{HOSTILE}.wav", "problem": HOSTILE}
    diagnosis["flags"]["noisy"]["clips"] = [HOSTILE]
    diagnosis["flags"][HOSTILE] = {"count": 1, "hours": 0.1, "says": HOSTILE, "clips": [HOSTILE]}
    diagnosis["notices"] = [HOSTILE]
    row = {"speaker": HOSTILE, "text": HOSTILE, "wada_snr_db": 3.0}
    page = render(diagnosis, {HOSTILE: Clip(problem=HOSTILE)}, clips={HOSTILE: row})
    assert "<script" not in page
    assert "<b " not in page
    assert page.count("&lt;script&gt;") > 12


def test_no_unreadable_clip_is_lost_silently() -> None:
    page = render(make_diagnosis(several(1), unreadable=24))
    assert all(f"broken/{n:05d}" in page for n in range(24))
    assert "24 of 144 clips could not be read and count in no figure but the number of clips." in visible(page)
    many = render(make_diagnosis(several(1), unreadable=2300))
    assert "broken/00999" in many
    assert "the first 1,000 are listed, clips.parquet in the diagnosis folder names all of them" in visible(many)


def test_a_set_without_a_readable_clip_says_so_and_draws_nothing() -> None:
    page = render(make_diagnosis([], unreadable=3))
    text = visible(page)
    assert "Nothing could be measured" in text
    assert "broken/00002" in text
    assert "<svg" not in page
    empty = visible(render(make_diagnosis([])))
    assert "The set holds no clip." in empty


def test_a_speaker_of_whom_nothing_was_read_keeps_its_place() -> None:
    page = render(make_diagnosis([make_speaker("Ada"), nothing_measured("mute")]))
    text = visible(page)
    assert "mute no verdict Nothing that a verdict could rest on was measured." in text
    assert "Not drawn, because energy or DNS-MOS is missing: mute." in text
    assert not re.search(r"\b(None|nan)\b", text)


def test_without_texts_there_are_dashes_and_no_phonemes() -> None:
    page = render(make_diagnosis(several(2, texts=False)))
    text = visible(page)
    assert "Phonemes that" not in text
    assert "Speaking rate" not in text
    cells = re.findall(r'<td class="num">(.*?)</td>', page.split("<tbody>")[1])
    assert cells[3:5] == ["–", "–"]
    with_texts = visible(render(make_diagnosis(several(2))))
    assert "Phonemes that are missing or rare" in with_texts
    assert "missing: ZH ; rare: OY TH" in with_texts


@pytest.mark.parametrize("count", [40, 300])
def test_many_speakers_make_no_huge_page_and_none_is_missing(count: int) -> None:
    page = render(make_diagnosis(several(count), flagged=150, unreadable=500))
    assert len(page) < 3_000_000
    assert all(f'title="speaker-{n + 1:02d}"' in page for n in range(count))
    assert f"{count:,} speakers (collapse expected: {count // 4}," in visible(page)
    anchors = set(re.findall(r'id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= anchors, "every link leads somewhere"


def test_the_worst_of_every_kind_is_asked_for_before_the_second_of_any() -> None:
    diagnosis = make_diagnosis(several(1), flagged=3)
    asked = to_hear(diagnosis)
    kinds = [id.split("/")[0] for id in asked]
    assert kinds[:11] == list(dict.fromkeys(kinds))
    assert {id.split("/")[1] for id in asked[:11]} == {"0000"}
    assert max(kinds.count(kind) for kind in kinds) == PLAYED
    assert not any(id.startswith("copy/") for id in asked), "two copies sound the same"


def test_players_are_embedded_until_the_page_is_full_and_the_rest_says_why() -> None:
    diagnosis = make_diagnosis(several(1), flagged=4)
    sound = "data:audio/flac;base64," + "A" * (BUDGET // 3)
    players = {id: Clip(audio=sound, seconds=2.0) for id in to_hear(diagnosis)}
    page = render(diagnosis, players)
    assert page.count("<audio") == 2
    assert page.count("Not embedded, to keep this page small.") == len(players) - 2
    embedded = re.findall(r'aria-label="([^"]+)"></audio>', page)
    assert embedded == to_hear(diagnosis)[:2]


def test_what_was_made_on_request_is_shown_and_can_be_heard() -> None:
    diagnosis = make_diagnosis(several(2)) | extras(HOSTILE)
    assert to_hear(diagnosis) == ["good/1", "good/2", "good/3"]
    page = render(diagnosis, {"good/2": Clip(audio="data:audio/flac;base64,AAAA")})
    text = visible(page)
    assert "Kept 1,110 of 1,120 clips (1.50 h) in clean.jsonl; the 10 others (36.0 s), and why, are in" in text
    assert "Flags that dropped clips: noisy 7, copy 3; a clip may have several. 3 clips lie in tars." in text
    assert "The mix gain expected An energy spread of 13.6 dB" in text
    assert "Ada 2.00 2.00 1,200 −28.10 11.90 –" in text
    assert ">the mix<" in page, "it is a dot of the outcome chart"
    assert "4 of 80 clips fit." in text
    assert page.count("<audio") == 1
    assert all(f"good-{rank}.wav" in text for rank in (1, 2, 3, 4))
    assert "<script" not in page
    assert "Made of it" not in visible(render(make_diagnosis(several(2))))


def test_a_clip_that_cannot_be_played_says_why() -> None:
    diagnosis = make_diagnosis(several(1), flagged=1)
    page = render(diagnosis, {"noisy/0000": Clip(problem="The file ends too early.")})
    assert "noisy/0000 The file ends too early." in visible(page)


def test_a_clip_of_two_kinds_is_embedded_once() -> None:
    diagnosis = make_diagnosis(several(1), flagged=1)
    diagnosis["flags"]["noisy"]["clips"] = diagnosis["flags"]["clipped"]["clips"] = ["both"]
    clips = {"both": {"speaker": "Ada", "wada_snr_db": 3.04, "clipping_ratio": 0.02}}
    page = render(diagnosis, {"both": Clip(audio="data:audio/flac;base64,AAAA")}, clips=clips)
    assert page.count("data:audio/flac") == 1
    text = visible(page)
    assert "both Ada: WADA-SNR 3.0 dB" in text
    assert "both Ada: 2 % of the samples clipped is shown above" in text


def test_what_is_not_shown_of_a_finding_is_counted() -> None:
    diagnosis = make_diagnosis(several(1), flagged=250)
    text = visible(render(diagnosis))
    assert "Wrong speaker 250 clips, 1.00 h" in text
    assert f"{200 - PLAYED} more, of 250 in all; checks.parquet names every one" in text
    few = visible(render(make_diagnosis(several(1), flagged=10)))
    assert f"{10 - PLAYED} more wrong-speaker" in few


def test_what_made_a_clip_a_finding() -> None:
    row = {
        "speaker": "Ada",
        "speaker_cosine": 0.314,
        "nearest_speaker": "Bo",
        "bandwidth_hz": 3900.0,
        "sample_rate": 24000,
        "seconds": 0.4,
        "near_copy_of": "a – b",
        "transcript": None,
        "silence_ratio": 0.612,
        "leading_silence_s": 0.25,
        "longest_pause_s": 3.21,
        "trailing_silence_s": None,
    }
    assert telling("wrong speaker", row) == "Ada: cosine to the speaker’s other clips 0.31, nearest to Bo"
    assert telling("upsampled", row) == "Ada: speech up to 3.9 kHz at a rate of 24.0 kHz"
    assert telling("too short", row) == "Ada: 0.40 s"
    assert telling("near copy", row) == "Ada: sounds like a – b"
    assert telling("silence", row) == "Ada: 61.2 % silence: 0.2 s before the speech, 3.2 s in it"
    assert telling("transcript", {"transcript": "No words."}) == "No words."
    assert telling("transcript", row) == telling("unheard of", row) == telling("noisy", {}) == ""


def test_numbers_keep_their_sign_and_unit_and_words_their_hyphen() -> None:
    assert typeset("DNS-MOS -0.3 in fine-tune 2026-11-28, 1e-3 [-1, 2]") == (
        "DNS-MOS −0.3 in fine-tune 2026-11-28, 1e-3 [−1, 2]"
    )
    assert typeset("95 % of 3 h, 2 horses") == "95\N{NO-BREAK SPACE}% of 3\N{NO-BREAK SPACE}h, 2 horses"
