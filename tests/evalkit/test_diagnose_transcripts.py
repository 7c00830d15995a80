"""Texts that are not what is said: found by rate alone, and by what a judge hears of a sample."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from diagnose_tables import write_table

from evalkit.diagnostics.corpus.clip import Clip, File
from evalkit.diagnostics.training.hearing import hear, sample
from evalkit.diagnostics.training.transcripts import Heard, Mismatch, letters, mismatches, notices, usual_wers
from evalkit.pipeline.judges import Choice
from metrics import ClipBatch, Column, MetricSpec, Passport, Scores

SENTENCE = "He had consented to a plan which she thought neither wise nor kind"


def rows(clips: int = 30, speaker: str = "one", rate: float = 14.0, seed: int = 0) -> list[dict[str, Any]]:
    """Clips whose texts fit: letters per second of speech around `rate`, more spread for short texts."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(clips):
        text = " ".join(SENTENCE.split()[: int(rng.integers(2, 14))])
        speech_s = letters(text) / (rate * np.exp(rng.normal(0, 0.12)))
        made.append(
            {
                "id": f"{speaker}{number}",
                "speaker": speaker,
                "text": text,
                "speech_s": speech_s,
                "seconds": speech_s + 0.3,
            }
        )
    return made


def found(tmp_path: Path, table: Sequence[dict[str, Any]], heard: dict[str, Heard] | None = None) -> list[Mismatch]:
    return list(mismatches(write_table(tmp_path / "clips.parquet", table), heard))


def test_texts_that_fit_are_left_alone(tmp_path: Path) -> None:
    assert found(tmp_path, [*rows(200), *rows(200, "slow", rate=7.0, seed=1)]) == []


def test_a_text_that_nobody_could_speak_in_the_time(tmp_path: Path) -> None:
    table = rows(3)
    table[1] |= {"text": " ".join(["information"] * 20), "seconds": 1.0, "speech_s": 0.9}
    table[2] |= {"text": "No.", "seconds": 9.0, "speech_s": 8.0}
    fast, slow = found(tmp_path, table)
    assert fast.id == "one1" and "220 letters of text in 1.0 s" in fast.says
    assert slow.id == "one2" and "8.0 s of speech" in slow.says


def test_a_rate_far_from_the_speakers_own_is_found_though_somebody_else_speaks_so(tmp_path: Path) -> None:
    table = [*rows(60), *rows(60, "slow", rate=7.0, seed=1)]
    table[5] |= {"text": SENTENCE, "speech_s": letters(SENTENCE) / 7.0, "seconds": 9.0}
    table[8] |= {"text": SENTENCE, "speech_s": letters(SENTENCE) / 28.0, "seconds": 9.0}
    answers = found(tmp_path, table)
    assert [one.id for one in answers] == ["one5", "one8"]
    assert "7.0 letters per second" in answers[0].says
    assert found(tmp_path, table[:12]) == []  # of so few clips nobody knows what is usual


def test_a_short_text_may_be_spoken_at_any_speed(tmp_path: Path) -> None:
    table = rows(60)
    table[5] |= {"text": SENTENCE, "speech_s": letters(SENTENCE) / 32.0, "seconds": 4.0}
    table[6] |= {"text": "Yes", "speech_s": letters("Yes") / 32.0, "seconds": 0.9}
    assert [one.id for one in found(tmp_path, table)] == ["one5"]


def test_a_clip_without_text_is_one_only_where_the_others_have_one(tmp_path: Path) -> None:
    table = rows(6)
    table[2]["text"] = "  "
    table[4]["text"] = None
    untold = [{**row, "speaker": "untold", "id": f"u{row['id']}", "text": None} for row in rows(6)]
    unread = {"id": "unread", "speaker": "one", "problem": "cannot be read", "text": None}
    assert [one.id for one in found(tmp_path, [*table, *untold, unread])] == ["one2", "one4"]


def test_digits_are_spoken_as_words() -> None:
    assert letters("In 1984, at 7.") == 4 + 16 + 4
    assert letters("नमस्ते") > 0


def test_what_a_judge_hears_otherwise_stands_out_against_the_usual(tmp_path: Path) -> None:
    table = rows(10)
    heard = {row["id"]: Heard(0.25, 0.15, row["text"]) for row in table}
    heard["one3"] = Heard(0.95, 0.8, "quite other words")
    heard["one4"] = Heard(1.0, 0.4, "could mourning")  # wrong words, but the same sounds
    (only,) = found(tmp_path, table, heard)
    assert only.id == "one3" and "quite other words" in only.says and "0.95" in only.says
    assert found(tmp_path, table, {name: heard[name] for name in ("one3", "one4")}) == []  # what is usual?


def test_a_wrong_text_is_found_however_much_the_usual_word_errors_vary(tmp_path: Path) -> None:
    """Six clips of a synthetic voice, as pocketsphinx heard them; the third has the text of another."""
    table = rows(6)
    wers, cers = (0.0, 0.0, 1.0, 0.33, 0.11, 0.63), (0.0, 0.0, 0.82, 0.2, 0.1, 0.4)
    heard = {row["id"]: Heard(wer, cer, "x") for row, wer, cer in zip(table, wers, cers, strict=True)}
    assert [one.id for one in found(tmp_path, table, heard)] == ["one2"]


def test_a_list_that_slipped_by_a_line_is_said_of_the_speaker_and_not_of_every_clip(tmp_path: Path) -> None:
    table = rows(10)
    heard = {row["id"]: Heard(0.95, 0.8, "x") for row in table} | {"one1": Heard(4.0, 3.0, "a long story")}
    assert found(tmp_path, table, heard) == []
    (notice,) = notices(usual_wers(tmp_path / "clips.parquet", heard))
    assert "slipped by a line" in notice and notice.startswith("one:")
    fine = {name: replace(one, wer=0.2) for name, one in heard.items()}
    assert notices(usual_wers(tmp_path / "clips.parquet", fine)) == []


# ---- the sample, and hearing it ----


class Echo:
    """A judge that hears by length: clips of a second say their text, others something else."""

    spec = MetricSpec(
        "wer",
        "1",
        tuple(Column(name, "", "lower", (0.0, np.inf), "") for name in ("wer", "cer")),
        16000,
        frozenset({"text"}),
        "none",
        "this test",
    )

    def __init__(self, version: str = "1") -> None:
        self.version = version
        self.heard: list[str] = []

    def score(self, batch: ClipBatch) -> Scores:
        scores = Scores(self.spec, len(batch))
        for index, info in enumerate(batch.info):
            self.heard.append(info.id)
            wrong = 0.0 if int(batch.lengths[index]) == 16000 else 1.0
            scores["wer"][index] = scores["cer"][index] = wrong
            scores.details[index] = {"heard": info.text if not wrong else "else"}
        return scores

    def passport(self) -> Passport:
        return Passport("wer", self.version, "none")

    @classmethod
    def unavailable(cls) -> str | None:
        return None


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    made = []
    for number in range(8):
        path, rate = tmp_path / f"{number}.wav", 16000 if number % 2 else 24000
        length = rate if number != 5 else 2 * rate
        soundfile.write(path, 0.1 * np.random.default_rng(number).standard_normal(length), rate)
        made.append(Clip(f"c{number}", f"s{number % 2}", None if number == 7 else f"text {number}", File(path)))
    (tmp_path / "3.wav").write_bytes(b"no audio")
    return made


def test_a_sample_is_drawn_per_speaker_by_the_seed(clips: list[Clip]) -> None:
    many = [Clip(f"{n}", f"s{n % 3}", "text", File(Path("x"))) for n in range(300)]
    drawn = sample(many, 10, seed=1)
    assert len(drawn) == 30 and all(sum(int(name) % 3 == one for name in drawn) == 10 for one in range(3))
    assert drawn == sample(reversed(many), 10, seed=1) != sample(many, 10, seed=2)
    assert len(drawn & sample([*many, Clip("new", "s0", "text", File(Path("x")))], 10, seed=1)) >= 29
    assert "c7" not in sample(clips, None) and len(sample(clips, None)) == 7
    assert sample(clips, 0) == frozenset()


def test_the_sample_is_heard_in_parts_of_both_rates_and_only_once(tmp_path: Path, clips: list[Clip]) -> None:
    log, judge = tmp_path / "heard.jsonl", Echo()
    wanted = frozenset({"c0", "c1", "c2", "c3", "c5"})
    done: list[int] = []
    answers = hear(clips, wanted, Choice("wer", judge), log, progress=done.append)
    assert answers == {
        "c0": Heard(0.0, 0.0, "text 0"),
        "c1": Heard(0.0, 0.0, "text 1"),
        "c2": Heard(0.0, 0.0, "text 2"),
        "c5": Heard(1.0, 1.0, "else"),
    }
    assert sum(done) == 5 and sorted(judge.heard) == ["c0", "c1", "c2", "c5"]
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"key": "cut sho')  # by a kill
    again = Echo()
    assert hear(clips, wanted | {"c4"}, Choice("wer", again), log).keys() == {*answers, "c4"}
    assert again.heard == ["c4"]
    assert len([json.loads(line) for line in log.read_text().splitlines()]) == 5
    other = Echo(version="2")
    hear(clips, wanted, Choice("wer", other), log)
    assert len(other.heard) == 4


def test_another_text_of_the_same_audio_is_heard_against_that_text(tmp_path: Path, clips: list[Clip]) -> None:
    log, judge = tmp_path / "heard.jsonl", Echo()
    hear(clips, frozenset({"c0"}), Choice("wer", judge), log)
    corrected = [replace(clips[0], text="another text")]
    assert hear(corrected, frozenset({"c0"}), Choice("wer", judge), log)["c0"].words == "another text"


def test_without_a_judge_nothing_is_heard(tmp_path: Path, clips: list[Clip]) -> None:
    assert hear(clips, frozenset({"c0"}), Choice("wer", None, absent="none here"), tmp_path / "heard.jsonl") == {}
