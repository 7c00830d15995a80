"""What a front end read, without audio."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from evalkit.engines.base import Request
from evalkit.pipeline.engine_setup import load_engine
from evalkit.suites import load_suite
from metrics.base import ClipBatch, ClipInfo, Entity, Metric, Scores
from metrics.frontend import FrontendAccuracy
from metrics.phones import heard_phones
from metrics.phones_alignment import Slot, align

VOICES = Path(__file__).resolve().parents[2] / "fixtures" / "voices"
LAKSHMI = Entity("Lakshmi", ("L AH1 K SH M IY0",), ("L AE1 K SH M IY0",))
RAM = Entity("Ram", ("R AA1 M",), ("R AE1 M",))
IYER = Entity("Iyer", ("AY1 Y AH0 R",), ("AY0 ER0 Z",))
SILENCE = torch.zeros(0)  # no audio is used


@pytest.fixture(scope="module")
def metric() -> FrontendAccuracy:
    if sentence := FrontendAccuracy.unavailable():
        pytest.skip(f"FrontendAccuracy {sentence}")
    return FrontendAccuracy()


def score(metric: FrontendAccuracy, *infos: ClipInfo) -> Scores:
    return metric.score(ClipBatch.of([SILENCE] * len(infos), 24000, infos))


READ = [
    ("We met Lakshmi there.", (LAKSHMI,), "w iy m eh t l ax k sh m iy dh eh r", [True]),
    ("We met Lakshmi there.", (LAKSHMI,), "w iy m eh t l ae k sh m iy dh eh r", [False]),
    ("We met Lakshmi there.", (LAKSHMI,), "wiː mˈɛt lˈʌkʃmi ðˈɛɹ", [True]),
    ("We met Lakshmi there.", (LAKSHMI,), "wi mˌɛt lˈækʃmi ðˈɛɹ", [False]),
    # a misread plain word is not the name's fault, nor is one that nobody knows
    ("We met Lakshmi there.", (LAKSHMI,), "w ay m iy s l ax k sh m iy z eh", [True]),
    ("We grok Lakshmi xyzzy.", (LAKSHMI,), "w iy g r aa k l ax k sh m iy z ih z iy", [True]),
    # what is added to a name makes it another one, at its end too
    ("We met Ram there.", (RAM,), "w iy m eh t r aa m dh eh r", [True]),
    ("We met Ram there.", (RAM,), "w iy m eh t r aa m ax dh eh r", [False]),
    ("We met Ram there.", (RAM,), "wiː mɛt ɹɑːmə ðɛɹ", [False]),
    # length is not: a doubled phone, or the glide that a vowel ends in
    ("We met Ram there.", (RAM,), "w iy m eh t r aa m m dh eh r", [True]),
    ("Ask Iyer now.", (IYER,), "ˈæsk ˈaɪjəɹ nˈaʊ", [True]),
    ("My yen for Ram may melt.", (RAM,), "m ay y eh n f ao r r aa m m ey m eh l t", [True]),
    # but what is added to the word before it, where words are marked, does not
    ("We met Ram there.", (RAM,), "wiː mɛts ɹɑːm ðɛɹ", [True]),
    ("We met Ram there.", (RAM,), "w iy m eh t dh eh r", [False]),
    ("Ram's here.", (RAM,), "r aa m z hh iy r", [True]),
    ("Ram's here.", (RAM,), "r aa m hh iy r", [False]),
    # two names side by side, and one that comes twice
    ("Lakshmi Iyer", (LAKSHMI, IYER), "l ax k sh m iy ay er", [True, True]),
    ("Lakshmi Iyer", (LAKSHMI, IYER), "l ae k sh m iy ay y ax r", [False, True]),
    ("Ram or Ram", (RAM,), "r ae m ao r r aa m", [False, True]),
]


@pytest.mark.parametrize(("text", "entities", "phonemes", "rights"), READ, ids=[row[2] for row in READ])
def test_decisions(
    metric: FrontendAccuracy, text: str, entities: tuple[Entity, ...], phonemes: str, rights: list[bool]
) -> None:
    scores = score(metric, ClipInfo("a", text=text, entities=entities, phonemes=phonemes))
    assert [decision["right"] for decision in scores.details[0]["frontend_entities"]] == rights
    assert scores["frontend_accuracy"] == [sum(rights) / len(rights)]
    json.dumps(scores.details)


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (ClipInfo("a", text="Ram", entities=(RAM,)), "does not tell the phonemes"),
        (ClipInfo("a", text="Ram", entities=(RAM,), phonemes=" "), "does not tell the phonemes"),
        (ClipInfo("a", text=None, entities=(RAM,), phonemes="r"), "no text was given"),
        (ClipInfo("a", text="Rama", entities=(RAM,), phonemes="r"), "no names whose readings are known"),
        (ClipInfo("a", text="Ram", entities=(Entity("Ram", ()),), phonemes="r"), "no names whose readings are known"),
    ],
)
def test_refusals_say_why(metric: FrontendAccuracy, info: ClipInfo, reason: str) -> None:
    scores = score(metric, info)
    assert math.isnan(scores["frontend_accuracy"][0]) and reason in scores.reasons[0]["frontend_accuracy"]


def test_a_clip_is_scored_alike_alone_and_in_any_order(metric: FrontendAccuracy) -> None:
    infos = [
        ClipInfo(str(number), text=text, entities=names, phonemes=phonemes)
        for number, (text, names, phonemes, _) in enumerate(READ)
    ]
    together = score(metric, *infos)
    assert score(metric, *infos[::-1])["frontend_accuracy"] == together["frontend_accuracy"][::-1]
    assert [score(metric, info)["frontend_accuracy"][0] for info in infos] == together["frontend_accuracy"]
    assert score(metric) == {"frontend_accuracy": []}


def test_an_accepted_reading_is_found_wherever_edits_are_fewest() -> None:
    slots = [Slot((("AH",),)), Slot((("R", "AA", "M"),), name=True), Slot((), words=2)]
    assert align(heard_phones("ax r aa m b ih g t r iy"), slots) == (True,)
    assert align(heard_phones("ɐ ɹɑːm bɪɡ tɹiː"), slots) == (True,)
    assert align((), [Slot((("R",),), name=True)]) == (False,)
    assert align((), []) == ()


def test_on_what_tinytts_really_says(metric: FrontendAccuracy) -> None:
    """Judged by eye: what the reference voice reads, against the lexicon of `indian-names`."""
    expected = {
        "in-001": {"Subramanian": False, "Iyer": True},  # s uw b r ax m aa n iy ax n, ay er
        "in-008": {"Raghunathan": False},  # r ae g hh uw n ax th ax n
        "in-010": {"Meenakshi": False},  # n iy n ax k sh iy
    }
    items = [item for item in load_suite("indian-names").items if item.id in expected]
    engine = load_engine(VOICES / "sarah.pth", None, "cpu", []).engine
    spoken = engine.synthesize([Request(item.id, item.spoken, seed=0) for item in items])
    infos = [
        ClipInfo(
            item.id,
            text=item.spoken,
            entities=tuple(Entity(e.spelling, tuple(e.accepted), tuple(e.wrong)) for e in item.entities),
            phonemes=speech.phonemes,
        )
        for item, speech in zip(items, spoken, strict=True)
    ]
    scores = score(metric, *infos)
    found = {
        info.id: {decision["spelling"]: decision["right"] for decision in details["frontend_entities"]}
        for info, details in zip(infos, scores.details, strict=True)
    }
    assert found == expected
    assert not any(scores.reasons)


def test_passport_and_protocol(metric: FrontendAccuracy) -> None:
    assert isinstance(metric, Metric)
    passport = metric.passport()
    assert passport == FrontendAccuracy().passport() and not passport.weights_sha256
    json.dumps([dict(passport.parameters), dict(passport.packages)])
