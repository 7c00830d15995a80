"""Loading suites: what comes out, and the sentence for every fault."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from evalkit import registry
from evalkit.errors import EvalkitError
from evalkit.suites import load_suite

HEADER = 'name = "mine"\nversion = "3"\ndescription = "Two."\nlanguage = "en-IN"\nlicence = "CC0-1.0"\n'
IYER = {
    "spelling": "Iyer",
    "language": "ta",
    "kind": "person",
    "native": "ஐயர்",
    "accepted": ["AY1 Y AH0 R"],
    "wrong": ["IH1 Y ER0"],
    "ipa_accepted": ["aɪjʌɾ"],
    "ipa_wrong": ["ɪjɚ"],
    "difficulty": "hard",
    "fixture": "seen",
}
DOSA = {"spelling": "Dosa", "language": "kn", "kind": "food", "accepted": ["D OW1 S AA0"], "difficulty": "easy"}
ITEMS = [
    {
        "id": "a",
        "text": "Mr. Iyer ate 2 dosas.",
        "spoken": "Mister Iyer ate a dosa.",
        "entities": ["Iyer", "dosa"],
        "tags": ["domain:food"],
    },
    {"id": "b", "text": "Nothing here."},
]


def lines(records: list[dict[str, object]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


class Folder:
    """A suite on disk whose files a test spoils one by one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header(HEADER + 'lexicon = "lexicon.jsonl"\n')
        self.items(ITEMS)
        self.lexicon([IYER, DOSA])

    def header(self, text: str) -> None:
        (self.path / "suite.toml").write_text(text, encoding="utf-8")

    def items(self, records: list[dict[str, object]] | str) -> None:
        text = records if isinstance(records, str) else lines(records)
        (self.path / "items.jsonl").write_text(text, encoding="utf-8")

    def item(self, **changes: object) -> None:
        self.items([{**ITEMS[0], **changes}])

    def lexicon(self, records: list[dict[str, object]]) -> None:
        (self.path / "lexicon.jsonl").write_text(lines(records), encoding="utf-8")

    def entry(self, **changes: object) -> None:
        self.lexicon([{**IYER, **changes}, DOSA])

    def sha256(self) -> str:
        return load_suite(str(self.path)).sha256

    def error(self) -> str:
        with pytest.raises(EvalkitError) as caught:
            load_suite(str(self.path))
        message = str(caught.value)
        assert "\n" not in message
        return message


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_suite_is_loaded_with_its_entities_and_tags(folder: Folder) -> None:
    suite = load_suite(str(folder.path))
    assert (suite.name, suite.version, suite.description, len(suite.items)) == ("mine", "3", "Two.", 2)
    first, second = suite.items
    assert first.spoken == "Mister Iyer ate a dosa."
    assert [entity.spelling for entity in first.entities] == ["Iyer", "dosa"]  # as they stand in `spoken`
    iyer = first.entities[0]
    assert (iyer.language, iyer.kind, iyer.native) == ("ta", "person", "ஐயர்")
    assert (iyer.accepted, iyer.wrong) == (("AY1 Y AH0 R",), ("IH1 Y ER0",))
    assert (iyer.ipa_accepted, iyer.ipa_wrong) == (("aɪjʌɾ",), ("ɪjɚ",))
    assert first.tags == (
        "domain:food",
        "language:ta",
        "language:kn",
        "kind:person",
        "kind:food",
        "difficulty:hard",
        "fixture:seen",
    )
    assert (second.spoken, second.entities, second.tags) == ("Nothing here.", (), ())


def test_other_spellings_of_a_name_are_loaded_and_change_the_hash(folder: Folder) -> None:
    before = folder.sha256()
    assert load_suite(str(folder.path)).items[0].entities[0].spellings == ()
    folder.entry(spellings=["Aiyar", "Ayyar"])
    assert load_suite(str(folder.path)).items[0].entities[0].spellings == ("Aiyar", "Ayyar")
    assert folder.sha256() != before


def test_one_spelling_cannot_stand_for_two_names(folder: Folder) -> None:
    folder.entry(spellings=["Aiyar", "DOSA"])
    assert "'DOSA', another spelling of 'Iyer', is an entry of the lexicon itself" in folder.error()
    folder.entry(spellings=["iyer"])
    assert "'iyer', another spelling of 'Iyer'" in folder.error()
    folder.entry(spellings=[" "])
    assert "field 'spellings', entry 1: it is empty" in folder.error()


def test_one_unseen_entity_makes_the_item_unseen(folder: Folder) -> None:
    folder.lexicon([IYER, {**DOSA, "fixture": "unseen"}])
    assert "fixture:unseen" in load_suite(str(folder.path)).items[0].tags
    assert "fixture:seen" not in load_suite(str(folder.path)).items[0].tags


def test_the_built_in_suites_load_by_name() -> None:
    suites = [load_suite(name) for name in ("smoke", "general", "indian-names")]
    assert [(suite.name, len(suite.items)) for suite in suites] == [
        ("smoke", 10),
        ("general", 60),
        ("indian-names", 190),
    ]
    assert {"smoke", "general", "indian-names"} <= set(registry.SUITES.names())


def test_a_bare_file_of_items_is_a_suite(tmp_path: Path) -> None:
    path = tmp_path / "my own.jsonl"
    path.write_text('{"id": "x", "text": "Hello."}\n\n{"id": "y", "text": "Bye."}\n', encoding="utf-8")
    suite = load_suite(str(path))
    assert suite.name == "my-own"
    assert [(item.id, item.spoken) for item in suite.items] == [("x", "Hello."), ("y", "Bye.")]


def test_the_hash_is_of_the_content(folder: Folder) -> None:
    before = folder.sha256()
    spread = "\n".join(json.dumps(dict(reversed(item.items())), ensure_ascii=False) for item in ITEMS[::-1])
    folder.items("\n" + spread.replace('": ', '" :  '))
    folder.header(HEADER.replace("Two.", "Other words.") + '# a comment\nlexicon="./lexicon.jsonl"')
    assert folder.sha256() == before

    folder.item(spoken="Mister Iyer ate the dosa.")
    folder.items([json.loads((folder.path / "items.jsonl").read_text()), ITEMS[1]])
    assert folder.sha256() != before

    folder.items(ITEMS)
    assert folder.sha256() == before
    folder.entry(wrong=["IH1 Y AH0 R"])
    assert folder.sha256() != before


def test_a_plugin_registers_a_folder_or_a_function(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = types.ModuleType("suite_plugin")
    plugin.folder = folder.path  # type: ignore[attr-defined]
    plugin.function = lambda: folder.path  # type: ignore[attr-defined]
    plugin.number = 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "suite_plugin", plugin)
    found = [EntryPoint(name, f"suite_plugin:{name}", "evalkit.suites") for name in ("folder", "function", "number")]
    monkeypatch.setattr(registry, "entry_points", lambda group: found)
    assert load_suite("folder") == load_suite("function") == load_suite(str(folder.path))
    with pytest.raises(EvalkitError, match=r"suite 'number' is registered as int; .* pathlib\.Path"):
        load_suite("number")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": "a/b"}, "line 1: field 'id': 'a/b' does not make a file name"),
        ({"id": ".hidden"}, "line 1: field 'id': '.hidden' does not make a file name"),
        ({"text": " "}, "line 1: field 'text': it is empty"),
        ({"txt": "x"}, "line 1: unknown field 'txt': did you mean 'text'?"),
        ({"zzz": "x"}, "line 1: unknown field 'zzz': take it out (known: id, text, spoken, entities, tags)"),
        ({"text": 5}, "line 1: field 'text': input should be a valid string, not 5"),
        ({"entities": ["Iyre"]}, "line 1: Unknown entity 'Iyre': did you mean 'Iyer'?"),
        ({"entities": ["Iyer", "iyer"]}, "line 1: an entity is listed twice"),
        ({"spoken": "Mister Iyerson ate a dosa."}, "line 1: the entity 'Iyer' is no word of the spoken text"),
        ({"tags": ["food"]}, "line 1: field 'tags', entry 1: 'food' is not a tag; write name:value"),
    ],
)
def test_faulty_items(folder: Folder, changes: dict[str, object], says: str) -> None:
    folder.item(**changes)
    message = folder.error()
    assert says in message
    assert message.startswith(str(folder.path / "items.jsonl"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"accepted": ["AY1 QQ"]}, "line 1: field 'accepted', entry 1: 'QQ' in 'AY1 QQ' is not an ARPAbet phone"),
        ({"accepted": ["ay1 r"]}, "'ay1' in 'ay1 r' is not an ARPAbet phone of the CMU dictionary; write phones"),
        ({"accepted": ["AY R"]}, "the vowel 'AY' in 'AY R' needs a stress digit, such as AY1"),
        ({"accepted": ["R1"]}, "'R1' in 'R1' is not an ARPAbet phone"),
        ({"accepted": []}, "field 'accepted': it is empty; at least one entry is needed"),
        ({"wrong": ["AY1 Y AH0 R"]}, "line 1: the reading 'AY1 Y AH0 R' is accepted and wrong at once"),
        ({"spelling": "dosa"}, "line 2: 'Dosa' is in the lexicon already"),
        ({"language": "Tamil"}, "field 'language': 'Tamil' is not a language code"),
        ({"kind": "A Person"}, "field 'kind': 'A Person' is not a kind"),
        ({"difficulty": "harsh"}, "field 'difficulty': input should be 'easy', 'medium' or 'hard', not 'harsh'"),
    ],
)
def test_faulty_lexicon(folder: Folder, changes: dict[str, object], says: str) -> None:
    folder.entry(**changes)
    message = folder.error()
    assert says in message
    assert message.startswith(str(folder.path / "lexicon.jsonl"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "items.jsonl has no items; write one JSON object a line"),
        (lines([ITEMS[1], ITEMS[1]]), "line 2: the id 'b' is used already"),
        (lines([ITEMS[1], {**ITEMS[1], "id": "B"}]), "line 2: the id 'B' is used already"),
        ('{"id": "a", "text": "x"}\n{"id": "b",\n', "line 2: not valid JSON ("),
        ("[1]\n", 'line 1: a JSON object is expected; a line looks like {"id": …, "text": …}.'),
        ('{"text": "x"}\n', "line 1: the field 'id' is missing; every item needs id, text."),
    ],
)
def test_faulty_lines(folder: Folder, text: str, says: str) -> None:
    folder.items(text)
    assert says in folder.error()


def test_faulty_headers(folder: Folder) -> None:
    folder.header(HEADER)
    assert "the entity 'Iyer' needs a lexicon; put one beside suite.toml and name it there." in folder.error()
    folder.header(HEADER + 'lexicon = "elsewhere.jsonl"\n')
    assert "elsewhere.jsonl does not exist" in folder.error()
    folder.header(HEADER + "version = 4\n")
    assert "suite.toml is not valid TOML" in folder.error()
    folder.header(HEADER.replace('"3"', "3"))
    assert "suite.toml: field 'version': input should be a valid string, not 3." in folder.error()
    folder.header(HEADER.replace("licence", "license"))
    assert "suite.toml" in folder.error() and "licen" in folder.error()
    (folder.path / "suite.toml").unlink()
    assert "suite.toml does not exist; a suite needs it." in folder.error()


def test_bytes_that_are_no_text(folder: Folder) -> None:
    (folder.path / "items.jsonl").write_bytes(b'{"id": "a", "text": "\xff"}')
    assert "items.jsonl is not UTF-8 at byte 21; save it as UTF-8." in folder.error()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("indian-name", "Unknown suite 'indian-name': did you mean 'indian-names'?"),
        ("nowhere/suite", "There is no suite at nowhere/suite; give a folder"),
        ("nowhere.jsonl", "nowhere.jsonl does not exist"),
        (__file__, "is not a suite; give a folder with suite.toml, or a .jsonl file"),
    ],
)
def test_unknown_suites(name: str, says: str) -> None:
    with pytest.raises(EvalkitError) as caught:
        load_suite(name)
    assert says in str(caught.value)


def test_the_json_schemas_can_be_printed() -> None:
    printed = subprocess.run([sys.executable, "-m", "evalkit.suites"], capture_output=True, text=True, check=True)
    assert printed.stderr == ""
    schemas = json.loads(printed.stdout)
    assert set(schemas) == {"suite.toml", "items.jsonl", "lexicon.jsonl"}
    assert schemas["items.jsonl"]["additionalProperties"] is False
    assert schemas["lexicon.jsonl"]["required"] == ["spelling", "language", "kind", "accepted"]


@pytest.mark.parametrize("line", [r'{"id": "a", "text": "x \ud83d"}', r'{"id": "a", "text": "x", "\udc00": 1}'])
def test_half_a_character_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "items.jsonl").write_text(line)
    with pytest.raises(EvalkitError, match=r"items\.jsonl, line 1: \\ud[8c][03][0d] is half of a character"):
        load_suite(str(tmp_path / "items.jsonl"))
