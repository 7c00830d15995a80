"""From text to Kokoro's phonemes, which is done outside the network: misaki with spaCy's tagger, or espeak-ng."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from importlib import metadata
from types import SimpleNamespace
from typing import NamedTuple

from evalkit.engines.kokoro.readings import join, split
from evalkit.errors import EvalkitError

LANGUAGES = ("en-us", "en-gb", "hi")
TAGGER = "en_core_web_sm"
# espeak-ng says in which language it read a foreign word.
_SWITCH = re.compile(r"\((?:[a-z]{2,3}(?:-[a-z0-9]+)*)\)")


class FrontEnd(NamedTuple):
    """name: what reads, with versions; read: (text, spelling -> phonemes) to phonemes."""

    name: str
    read: Callable[[str, Mapping[str, str]], str]


def make(choice: str, language: str) -> FrontEnd:
    """choice: auto, misaki or espeak. Nothing is downloaded; Hindi is read by espeak-ng, as the package does.

    Raises EvalkitError where the choice cannot work here.
    """
    if choice == "espeak" or language == "hi":
        return _espeak(language, "")
    missing = _missing_for_misaki()
    if not missing:
        return _misaki(language)
    if choice == "misaki":
        raise EvalkitError(f"misaki cannot load: {missing}; install it in this environment, or --set front_end=espeak.")
    return _espeak(language, f" (misaki cannot load: {missing})")


def _missing_for_misaki() -> str:
    """Why misaki's English cannot load; it would download the tagger (misaki 0.9.4, en.py:499)."""
    for package in ("misaki", "spacy", TAGGER):
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            return f"{package} is not installed"
    return ""


def _misaki(language: str) -> FrontEnd:
    from misaki import en, espeak

    british = language == "en-gb"
    try:
        fallback = espeak.EspeakFallback(british=british)
    except (RuntimeError, OSError) as error:
        raise EvalkitError(f"misaki cannot load espeak-ng: {error}; --set front_end=espeak.") from error
    g2p = en.G2P(british=british, fallback=fallback, unk="")  # as kokoro 0.9.4, pipeline.py:116-122

    def read(text: str, phonemes: Mapping[str, str]) -> str:
        # Its own notation for an override; brackets of the text would be taken for one.
        marked = "".join(
            piece.text.replace("[", "(").replace("]", ")")
            if piece.phonemes is None
            else f"[{piece.text}](/{piece.phonemes}/)"
            for piece in split(text, phonemes)
        )
        found: str = g2p(marked)[0]
        return found.strip()

    versions = f"{TAGGER} {metadata.version(TAGGER)}, espeak-ng {_version(fallback.backend)}"
    return FrontEnd(f"misaki {metadata.version('misaki')} {language} ({versions})", read)


def _espeak(language: str, why: str) -> FrontEnd:
    try:
        from misaki import espeak

        backend = espeak.EspeakG2P("hi") if language == "hi" else espeak.EspeakFallback(british=language == "en-gb")
    except (ImportError, RuntimeError, OSError):
        return _program(language, why)

    def speak(text: str) -> str:
        found: str = (backend(text) if language == "hi" else backend(SimpleNamespace(text=text)))[0] or ""
        return _SWITCH.sub("", found)

    name = f"espeak-ng {_version(backend.backend)} {language} by misaki {metadata.version('misaki')}{why}"
    return FrontEnd(name, lambda text, phonemes: join(split(text, phonemes), speak))


def _version(backend: object) -> str:
    found = backend.version()  # type: ignore[attr-defined]
    return ".".join(map(str, found)) if isinstance(found, tuple) else str(found)


# espeak-ng's IPA in Kokoro's symbols; source: misaki's EN_PHONES.md, "From espeak to Misaki", with its later T and ʔ.
_ENGLISH = (
    ("ʔˌn̩", "tᵊn"), ("ʔn̩", "tᵊn"), ("a^ɪ", "I"), ("a^ʊ", "W"), ("d^ʒ", "ʤ"), ("e^ɪ", "A"), ("t^ʃ", "ʧ"), ("ɔ^ɪ", "Y"),
    ("ə^l", "ᵊl"), ("e^ə", "ɛː"), ("o^ʊ", "O"), ("ə^ʊ", "Q"), ("e", "A"), ("ɚ", "əɹ"), ("r", "ɹ"), ("x", "k"),
    ("ç", "k"), ("ɐ", "ə"), ("ɬ", "l"), ("\u0303", ""), ("ʲ", ""), ("ɾ", "T"), ("ʔ", "t"), ("^", ""),
)  # fmt: skip
_AMERICAN = (("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("ɪə", "iə"), ("ː", ""), ("o", "ɔ"))
_HINDI = (("t^ʃ", "ʧ"), ("d^ʒ", "ʤ"), ("^", ""), ("-", ""))
# The program drops punctuation, which Kokoro reads: it is given what stands between.
_PUNCTUATION = re.compile(r"([;:,.!?—…\"“”()]+)")


def _program(language: str, why: str) -> FrontEnd:
    """espeak-ng as a program, where misaki's own copy of it cannot be used."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise EvalkitError("No front end works here: neither misaki's espeak-ng nor a program espeak-ng is installed.")
    table = _HINDI if language == "hi" else _ENGLISH + (_AMERICAN if language == "en-us" else (("iə", "ɪə"),))
    command = [program, "-q", "--ipa", "--tie=^", "-v", language, "--stdin"]

    def phonemes_of(text: str) -> str:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        found = _SWITCH.sub("", " ".join(done.stdout.split()))
        for old, new in table:
            found = found.replace(old, new)
        return re.sub(r"(\S)\u0329", r"ᵊ\1", found).replace("\u0329", "")

    def speak(text: str) -> str:
        pieces = [p for p in _PUNCTUATION.split(text) if p]
        return "".join(p if _PUNCTUATION.fullmatch(p) else _within_blanks(p, phonemes_of) for p in pieces)

    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    version = match[0] if (match := re.search(r"\d+(?:\.\d+)+", said)) else "of unknown version"
    return FrontEnd(f"espeak-ng {version} {language}{why}", lambda text, phonemes: join(split(text, phonemes), speak))


def _within_blanks(text: str, read: Callable[[str], str]) -> str:
    return (
        (" " if text[0].isspace() else "") + (read(text) if text.strip() else "") + (" " if text[-1].isspace() else "")
    )
