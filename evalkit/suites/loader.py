"""Find a suite by name or path, check it, and resolve its entities."""

from __future__ import annotations

import os
import re
from pathlib import Path

from evalkit.errors import EvalkitError
from evalkit.registry import SUITES, unknown
from evalkit.suites.model import Item, Suite, SuiteEntity, content_sha256
from evalkit.suites.reading import read_header, read_lines
from evalkit.suites.schema import ItemLine, LexiconLine

Lexicon = dict[str, LexiconLine]  # by case-folded spelling
DIFFICULTIES = ("easy", "medium", "hard")


def load_suite(name_or_path: str) -> Suite:
    """Load a suite by registered name, or by the path of a folder or of a bare `.jsonl` file of items.

    A registered name wins over a folder of the same name in the working directory; "./name" means the folder.
    Raises EvalkitError, one sentence, on an unknown name and on any fault in the files.
    """
    registered = SUITES.names()
    if name_or_path in registered:
        return _load_folder(_registered_folder(name_or_path))
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return _load_folder(path)
    if path.suffix == ".jsonl":
        # The name goes into names of folders, so it gets the letters that a suite.toml would allow.
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem)
        return _suite(name, "0", f"Items of {path.name}.", _items(path, {}))
    if path.exists():
        raise EvalkitError(f"{path} is not a suite; give a folder with suite.toml, or a .jsonl file of items.")
    if os.sep in name_or_path:
        raise EvalkitError(
            f"There is no suite at {path}; give a folder, a .jsonl file, or one of {', '.join(registered)}."
        )
    raise EvalkitError(unknown("suite", name_or_path, registered))


def _registered_folder(name: str) -> Path:
    target = SUITES.load(name)
    folder = target() if callable(target) else target
    if not isinstance(folder, Path):
        raise EvalkitError(
            f"The suite '{name}' is registered as {type(folder).__name__}; its plugin must register a pathlib.Path "
            "of the suite's folder, or a function without arguments that returns one."
        )
    return folder


def _load_folder(folder: Path) -> Suite:
    header = read_header(folder / "suite.toml")
    lexicon = _lexicon(folder / header.lexicon) if header.lexicon else {}
    return _suite(header.name, header.version, header.description, _items(folder / "items.jsonl", lexicon))


def _suite(name: str, version: str, description: str, items: tuple[Item, ...]) -> Suite:
    return Suite(name, version, description, items, content_sha256(items))


def _lexicon(path: Path) -> Lexicon:
    lexicon: Lexicon = {}
    for place, line in read_lines(path, LexiconLine):
        if line.spelling.casefold() in lexicon:
            raise EvalkitError(f"{place}: '{line.spelling}' is in the lexicon already; keep one of the two lines.")
        if both := set(line.accepted) & set(line.wrong):
            raise EvalkitError(
                f"{place}: the reading '{both.pop()}' is accepted and wrong at once; keep it in one list."
            )
        lexicon[line.spelling.casefold()] = line
    for line in lexicon.values():
        for spelling in line.spellings:
            if spelling.casefold() in lexicon:
                raise EvalkitError(
                    f"{path}: '{spelling}', another spelling of '{line.spelling}', is an entry of the lexicon itself; "
                    "two names cannot be one: take it out of spellings."
                )
    return lexicon


def _items(path: Path, lexicon: Lexicon) -> tuple[Item, ...]:
    items: dict[str, Item] = {}
    for place, line in read_lines(path, ItemLine):
        # Case-folded, because audio files of two ids that differ in case would be one file on some systems.
        if line.id.casefold() in items:
            raise EvalkitError(f"{place}: the id '{line.id}' is used already; ids are unique, letter case aside.")
        items[line.id.casefold()] = _item(line, lexicon, place)
    if not items:
        raise EvalkitError(f"{path} has no items; write one JSON object a line, with id and text.")
    return tuple(items.values())


def _item(line: ItemLine, lexicon: Lexicon, place: str) -> Item:
    spoken = line.spoken or line.text
    found = [_entry(spelling, lexicon, place) for spelling in line.entities]
    entities = tuple(_entity(entry, spoken, place) for entry in found)
    if len({entry.spelling for entry in found}) < len(found):
        raise EvalkitError(f"{place}: an entity is listed twice; list each once, however often it is said.")
    tags = tuple(dict.fromkeys([*line.tags, *_derived_tags(found)]))
    return Item(line.id, line.text, spoken, entities, tags)


def _entry(spelling: str, lexicon: Lexicon, place: str) -> LexiconLine:
    if not lexicon:
        raise EvalkitError(
            f"{place}: the entity '{spelling}' needs a lexicon; put one beside suite.toml and name it there."
        )
    if spelling.casefold() not in lexicon:
        known = [entry.spelling for entry in lexicon.values()]
        raise EvalkitError(f"{place}: {unknown('entity', spelling, known)}")
    return lexicon[spelling.casefold()]


def _entity(entry: LexiconLine, spoken: str, place: str) -> SuiteEntity:
    match = re.search(rf"(?<!\w){re.escape(entry.spelling)}(?!\w)", spoken, re.IGNORECASE)
    if match is None:
        raise EvalkitError(
            f"{place}: the entity '{entry.spelling}' is no word of the spoken text {spoken!r}; "
            "take it out of entities or mend the text."
        )
    return SuiteEntity(
        spelling=match[0],
        language=entry.language,
        kind=entry.kind,
        native=entry.native,
        accepted=tuple(entry.accepted),
        wrong=tuple(entry.wrong),
        ipa_accepted=tuple(entry.ipa_accepted),
        ipa_wrong=tuple(entry.ipa_wrong),
        spellings=tuple(entry.spellings),
    )


def _derived_tags(entries: list[LexiconLine]) -> list[str]:
    """Languages and kinds of all entities, the greatest difficulty, and unseen if any entity is."""
    tags = [f"language:{entry.language}" for entry in entries] + [f"kind:{entry.kind}" for entry in entries]
    if difficulties := [entry.difficulty for entry in entries if entry.difficulty]:
        tags.append(f"difficulty:{max(difficulties, key=DIFFICULTIES.index)}")
    if fixtures := {entry.fixture for entry in entries if entry.fixture}:
        tags.append("fixture:unseen" if "unseen" in fixtures else "fixture:seen")
    return tags
