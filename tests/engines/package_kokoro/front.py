"""What the front ends read in the environment. Prints one JSON object."""

from __future__ import annotations

import json
import sys
from importlib import metadata

import spacy

from evalkit.engines.kokoro import front_end
from evalkit.errors import EvalkitError

TEXT = "Hello world, this is Sundaresan."
READINGS = {"Sundaresan": "sˈʊndəɹˌAʃən"}


def main() -> None:
    found = {}
    for language in front_end.LANGUAGES:
        made = front_end.make("espeak", language)
        text = "नमस्ते, आप कैसे हैं?" if language == "hi" else TEXT
        found[language] = {"name": made.name, "plain": made.read(text, {}), "read": made.read(text, READINGS)}
    program = front_end._program("en-us", "")
    found["program"] = {"name": program.name, "plain": program.read(TEXT, {}), "read": program.read(TEXT, READINGS)}
    try:
        found["misaki"] = {"name": front_end.make("misaki", "en-us").name}
    except EvalkitError as error:
        found["misaki"] = {"refused": str(error)}
    found["auto"] = {"name": front_end.make("auto", "en-us").name}
    found["tagged"] = with_a_blank_tagger()
    print(json.dumps(found))


def with_a_blank_tagger() -> dict[str, str]:
    """misaki itself, its lexicon and its overrides, on a tokenizer that tags nothing."""
    real = metadata.version
    metadata.version = lambda name: "0" if name == front_end.TAGGER else real(name)
    spacy.util.is_package = lambda name: True
    spacy.load = lambda name, enable: spacy.blank("en")
    made = front_end.make("auto", "en-us")
    text = "Does Anna Nagar [sic] like Sundaresan's tea?"
    readings = {"Anna Nagar": "ˈʌnə nˈʌɡəɹ", **READINGS}
    return {"name": made.name, "plain": made.read(TEXT, {}), "read": made.read(text, readings)}


if __name__ == "__main__":
    sys.exit(main())
