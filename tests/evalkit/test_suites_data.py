"""What the built-in suites promise: size, spelling, readings, and that no training text is in them."""

from __future__ import annotations

import hashlib
import json
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from evalkit.suites import Item, load_suite
from metrics import Entity
from metrics.text import normalize
from metrics.text_entities import places

ROOT = Path(__file__).parents[2]
SUITES = ROOT / "evalkit" / "suites"
SCRIPTS = ROOT / "fixtures" / "suites"
VOICES = ROOT / "fixtures" / "voices"
NAMES = ("smoke", "general", "indian-names")
NOT_IN_CMUDICT = {"lakh", "crore"}
SCRIPT_OF = {  # the Unicode block of each language's script
    "hi": "\u0900-\u097f",
    "mr": "\u0900-\u097f",
    "bn": "\u0980-\u09ff",
    "pa": "\u0a00-\u0a7f",
    "gu": "\u0a80-\u0aff",
    "or": "\u0b00-\u0b7f",
    "ta": "\u0b80-\u0bff",
    "te": "\u0c00-\u0c7f",
    "kn": "\u0c80-\u0cff",
    "ml": "\u0d00-\u0d7f",
    "ur": "\u0600-\u06ff",
}
IPA = re.compile(r"[abdefhijklmnopqstuvwzæðŋɐɑɔɖəɚɛɝɡɪɭɲɳɹɻɽɾʂʃʈʊʋʌʒʰːθ\u0303]+")

LEXICON = [json.loads(line) for line in (SUITES / "indian_names" / "lexicon.jsonl").read_text("utf-8").splitlines()]
READINGS_SHA256 = "7f7fafaf6b00462d6990138c5bfc3bdd34bb5a8a2c5a3c59d192eeb356ca1863"  # as calibrated
BY_SPELLING = {entry["spelling"].casefold(): entry for entry in LEXICON}


def all_items() -> list[Item]:
    return [item for name in NAMES for item in load_suite(name).items]


def words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z']+", text)


def bare(sentence: str, names: list[str]) -> str:
    """A sentence as a recogniser would see it, without these names."""
    said = [word for word in words(sentence.casefold()) if word not in {name.casefold() for name in names}]
    return " ".join(said)


@pytest.fixture(scope="module")
def cmudict() -> dict[str, str]:
    pocketsphinx = pytest.importorskip("pocketsphinx")
    path = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))
    return dict(line.split(" ", 1) for line in path.read_text("utf-8").splitlines())


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Makes the scripts importable by each other, and forgets them afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield SCRIPTS
    for name in set(sys.modules) - before:
        if name in {path.stem for path in SCRIPTS.glob("*.py")}:
            del sys.modules[name]


def test_counts() -> None:
    assert len(LEXICON) == 208
    assert Counter(entry["kind"] for entry in LEXICON) == {
        "person": 91,
        "place": 62,
        "food": 22,
        "institution": 18,
        "brand": 15,
    }
    assert Counter(entry["language"] for entry in LEXICON) == {
        "hi": 57,
        "ta": 33,
        "te": 16,
        "bn": 16,
        "kn": 15,
        "mr": 14,
        "ml": 13,
        "gu": 13,
        "pa": 11,
        "ur": 11,
        "or": 9,
    }
    assert Counter(entry["fixture"] for entry in LEXICON) == {"seen": 175, "unseen": 33}
    unseen = [entry for entry in LEXICON if entry["fixture"] == "unseen"]
    assert {entry["language"] for entry in unseen} == set(SCRIPT_OF)
    assert {entry["kind"] for entry in unseen} == {"person", "place", "food", "institution", "brand"}


def test_every_name_is_spoken_and_the_contents_are_there() -> None:
    items = load_suite("indian-names").items
    assert {entity.spelling.casefold() for item in items for entity in item.entities} == set(BY_SPELLING)
    assert all(1 <= len(item.entities) <= 3 for item in items)
    tags = Counter(tag for item in items for tag in item.tags)
    for content, least in {"amount": 15, "date": 10, "time": 8, "pin-code": 5, "initials": 4, "phone": 3}.items():
        assert tags[f"content:{content}"] >= least, content
    assert not any(item.entities for item in load_suite("general").items)


def test_names_are_single_words_with_readings_in_both_alphabets() -> None:
    for entry in LEXICON:
        assert re.fullmatch(r"[A-Z][a-z]+", entry["spelling"])
        assert re.fullmatch(f"[{SCRIPT_OF[entry['language']]}\u200c\u200d ]+", entry["native"]), entry
        assert entry["ipa_accepted"] and len(entry["ipa_wrong"]) == len(entry["wrong"])
        for ipa in entry["ipa_accepted"] + entry["ipa_wrong"]:
            assert IPA.fullmatch(ipa), entry
        assert re.fullmatch(r"reviewed|espeak-ng 1\.51 " + entry["language"], entry["ipa_source"])
        assert all(sum(phone.endswith("1") for phone in reading.split()) == 1 for reading in entry["accepted"]), entry


def test_wrong_readings_differ_by_more_than_stress() -> None:
    for entry in LEXICON:
        readings = [re.sub(r"\d", "", reading) for reading in entry["accepted"] + entry["wrong"]]
        assert len(set(readings)) == len(readings), entry
    without = {entry["spelling"] for entry in LEXICON if not entry["wrong"]}
    assert without == {"Jaipur", "Nagpur", "Banerjee"}
    assert all(BY_SPELLING[name.casefold()]["difficulty"] == "easy" for name in without)


def test_other_spellings_are_of_one_name_each() -> None:
    """A transcript that has one of them is right where its name belongs, so no spelling may stand for two names."""
    others = [other.casefold() for entry in LEXICON for other in entry.get("spellings", [])]
    assert len(others) == 317
    assert len(set(others)) == len(others)
    assert not set(others) & set(BY_SPELLING)
    assert all(re.fullmatch(r"[a-z]+", other) for other in others)
    # Older English names of places, and other names: they are said differently.
    other_names = (
        "bangalore mysore mangalore calcutta poona calicut trivandrum trichur alleppey pondicherry vizag baroda"
    )
    assert not set(others) & {*other_names.split(), "mukhopadhyay", "amravati", "mahendra", "sarma", "hrishikesh"}


def consonants(name: str) -> str:
    """What transliterations of one name share: no vowels and no h, single consonants, v for w, t for d."""
    name = re.sub("ow(?![aeiou])", "o", name.casefold()).replace("x", "ks").replace("q", "k")
    name = name.replace("w", "v").replace("d", "t")
    return re.sub(r"(.)\1+", r"\1", re.sub("[aeiouhy]", "", name))


def test_other_spellings_have_the_consonants_of_the_name() -> None:
    # A final n or m, r or ṛ, b or v, and a nasal vowel, as the name is said and written in its language.
    both_ways = {"Subramanian", "Khichdi", "Jadavpur", "Ahmedabad", "Paratha"}
    differ = {
        entry["spelling"]
        for entry in LEXICON
        for other in entry.get("spellings", [])
        if consonants(other) != consonants(entry["spelling"])
    }
    assert differ == both_ways


def test_written_and_spoken_forms_are_one_to_the_normaliser() -> None:
    for item in all_items():
        assert normalize(item.text) == normalize(item.spoken)
        for entity in item.entities:
            assert normalize(entity.spelling) == entity.spelling.casefold()
            words = normalize(item.spoken).split()
            assert places(item.spoken, words, [Entity(entity.spelling, ())]), entity.spelling


def test_the_readings_are_those_that_the_judge_was_calibrated_on() -> None:
    readings = [[entry["spelling"], entry["accepted"], entry["wrong"]] for entry in LEXICON]
    digest = hashlib.sha256(json.dumps(readings).encode()).hexdigest()
    assert digest == READINGS_SHA256, "the readings changed: calibrate the pronunciation judges again"


def test_spoken_forms_are_plain_english_of_fair_length(cmudict: dict[str, str]) -> None:
    for item in all_items():
        assert re.fullmatch(r"[A-Za-z ,.?'-]+", item.spoken), item
        said = words(item.spoken)
        assert 5 <= len(said) <= 16, item
        names = {entity.spelling for entity in item.entities}
        unknown = {word.casefold() for word in said if word not in names} - set(cmudict) - NOT_IN_CMUDICT
        assert not unknown, item


def test_general_covers_every_phone(cmudict: dict[str, str]) -> None:
    phones = Counter(
        phone
        for item in load_suite("general").items
        for word in words(item.spoken)
        for phone in cmudict[word.casefold()].split()
    )
    assert len(phones) == 39
    assert min(phones.values()) >= 10, phones.most_common()[-3:]


def test_no_two_sentences_are_alike() -> None:
    sentences = Counter(bare(item.spoken, [entity.spelling for entity in item.entities]) for item in all_items())
    assert [sentence for sentence, count in sentences.items() if count > 1] == []


@pytest.mark.skipif(not VOICES.is_dir(), reason="the scripts of the reference voices are not here")
def test_the_reference_voices_were_not_trained_on_these_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(VOICES))
    carriers = runpy.run_path(str(VOICES / "carriers.py"))
    trained = {bare(carrier.replace("{}", ""), []) for carrier in carriers["CARRIERS"] + carriers["HELD_OUT_CARRIERS"]}
    trained |= {bare(sentence, []) for sentence in runpy.run_path(str(VOICES / "sentences.py"))["all_sentences"]()}
    assert len(trained) > 100
    heard = {word for sentence in trained for word in sentence.split()}
    assert [entry["spelling"] for entry in LEXICON if entry["spelling"].casefold() in heard] == []
    spoken = {bare(item.spoken, [entity.spelling for entity in item.entities]): item.id for item in all_items()}
    assert [spoken[sentence] for sentence in spoken.keys() & trained] == []


def test_the_items_are_what_the_script_writes(scripts: Path) -> None:
    import build_items

    for folder in build_items.PREFIXES:
        assert (SUITES / folder / "items.jsonl").read_text("utf-8") == build_items.items(folder), folder


@pytest.mark.skipif(shutil.which("flite") is None, reason="needs Debian's flite")
def test_the_wrong_readings_are_what_the_script_derives(scripts: Path, cmudict: dict[str, str]) -> None:
    import derive_wrong

    dictionary = derive_wrong.cmudict()
    table = [line for line in derive_wrong.TABLE.read_text("utf-8").splitlines() if not line.startswith("#")]
    rows = [derive_wrong.entry(line, dictionary) for line in table]
    kept = [{name: value for name, value in entry.items() if not name.startswith("ipa")} for entry in LEXICON]
    assert kept == rows


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs Debian's espeak-ng")
def test_the_ipa_is_what_the_script_derives(scripts: Path) -> None:
    import derive_ipa

    by_hand = derive_ipa.reviewed()
    assert {spelling.casefold() for spelling in by_hand} <= set(BY_SPELLING)
    version = derive_ipa.espeak_version()
    if version != "1.51":
        pytest.skip(f"the IPA was derived with espeak-ng 1.51, here is {version}")
    for entry in LEXICON:
        derived = [derive_ipa.espeak_ipa(entry["native"], entry["language"])]
        assert entry["ipa_accepted"] == by_hand.get(entry["spelling"], derived)
        assert entry["ipa_wrong"] == [derive_ipa.arpabet_ipa(reading) for reading in entry["wrong"]]


def test_the_package_ships_the_data() -> None:
    package_data = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-data"]
    shipped = {path for pattern in package_data["evalkit"] for path in (ROOT / "evalkit").glob(pattern)}
    data = {path for path in SUITES.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}}
    assert data and data <= shipped


def test_listing_schemas_loads_nothing_heavy() -> None:
    code = "import sys, evalkit.suites; print([m for m in ('torch', 'pocketsphinx', 'pyarrow') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
