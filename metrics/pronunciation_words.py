"""How the plain words of a sentence and the endings of its names are pronounced, for every judge alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metrics.packages import package_file
from metrics.phones import bare
from metrics.pocketsphinx_decoder import DICTIONARY
from metrics.pronunciation_judge import Failure, Part

EXTRA_WORDS = "data/extra_words.dict"
_VOICELESS = frozenset({"P", "T", "K", "F", "TH"})
_SIBILANT = frozenset({"S", "Z", "SH", "ZH", "CH", "JH"})


def extra_words() -> dict[str, tuple[str, ...]]:
    """Words of Indian English that the CMU dictionary lacks -> readings without stress."""
    return _read(package_file("metrics", EXTRA_WORDS).read_text(encoding="ascii"))


def dictionary() -> Mapping[str, tuple[str, ...]]:
    """Lower-case words of the CMU dictionary in the pocketsphinx wheel and of `extra_words` -> their readings."""
    return extra_words() | _read(package_file("pocketsphinx", DICTIONARY).read_text(encoding="utf-8"))


def _read(lines: str) -> dict[str, tuple[str, ...]]:
    """Lines "word PHONES" and "word(2) PHONES"; "#" begins a comment."""
    words: dict[str, tuple[str, ...]] = {}
    for line in lines.splitlines():
        if not line.startswith("#"):
            entry, phones = line.split(maxsplit=1)
            word = entry.partition("(")[0]
            words[word] = (*words.get(word, ()), phones.strip())
    return words


def spoken(reading: str, possessive: bool) -> str:
    """A reading without stress, and with the ending that the possessive takes after its last phone."""
    phones = bare(reading)
    if not possessive:
        return phones
    last = phones.split()[-1]
    return f"{phones} {'AH Z' if last in _SIBILANT else 'S' if last in _VOICELESS else 'Z'}"


def no_reading(parts: Sequence[Part], readings: Sequence[Sequence[str]]) -> Failure | None:
    """The failure of a sentence with words that nothing says how to pronounce."""
    unknown = sorted({part.word for part, known in zip(parts, readings, strict=True) if not known})
    return Failure(f"the judge has no pronunciation for {', '.join(map(repr, unknown))}") if unknown else None
