"""Which files and folders a command names: they decide what is heard, so their content is part of the system."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evalkit.checkpoints.safe_keys import shown
from evalkit.engines.command.template import Template, Word
from evalkit.engines.setting_up import content_digest
from evalkit.errors import EvalkitError


def named_contents(template: Template, values: Mapping[str, str], needed: str = "") -> dict[str, str]:
    """ "sha256 of WORD" -> the digest of the file or folder that it stands for, of every word that names one.

    A word names a path as a whole, or behind its first "=" (`--model={cwd}/model`). values: of the placeholders that
    are known; words with others are left out. needed: only words with this placeholder. Raises EvalkitError for a word
    with {cwd} that names nothing that is there, since what it means could change unseen, and for {cwd} itself, in
    which the runs may lie.
    """
    found: dict[str, str] = {}
    for word in template.words[1:]:
        used = {name for _, name in word if name}
        if not used <= values.keys() or (needed and needed not in used):
            continue
        for place in (word, _behind_equals(word)):
            path = Path(_filled(place, values))
            if not path.is_absolute() or not _there(path):
                continue
            if "cwd" in used and _holds(path, Path(values["cwd"])):
                raise EvalkitError(
                    f"The command names the whole folder {path} ('{_shown(word)}'): name the files and folders in it "
                    "that the program reads, {cwd}/model."
                )
            if path.is_file() or not _holds(path, Path(values["cwd"])):
                found[f"sha256 of {_text(place)}"] = _digest(path)
            break
        else:
            if used == {"cwd"}:
                raise EvalkitError(
                    f"The command's word '{_shown(word)}' names no file and no folder that is there: write a path that "
                    "begins with {cwd}, as a word of its own or behind a '='."
                )
    return found


def _behind_equals(word: Word) -> Word:
    """The part behind the first "=" of a word, all of it if there is none."""
    for number, (literal, name) in enumerate(word):
        _, equals, behind = literal.partition("=")
        if equals:
            return ((behind, name), *word[number + 1 :])
    return word


def _filled(word: Word, values: Mapping[str, str]) -> str:
    return "".join(literal + (values[name] if name else "") for literal, name in word)


def _text(word: Word) -> str:
    return "".join(literal + (f"{{{name}}}" if name else "") for literal, name in word)


def _shown(word: Word) -> str:
    return shown(_text(word))


def _there(path: Path) -> bool:
    try:
        return path.is_file() or path.is_dir()
    except OSError:  # a name that is too long, a folder that may not be looked into
        return False


def _holds(path: Path, folder: Path) -> bool:
    return folder.resolve().is_relative_to(path.resolve())


def _digest(path: Path) -> str:
    try:
        return content_digest(path)
    except OSError as error:
        raise EvalkitError(f"The command names {path}, which cannot be read ({error.strerror}).") from error
