"""Suites: versioned sets of sentences to speak, with the names in them and how those are pronounced.

    >>> suite = load_suite("indian-names")        # a registered name, a folder, or a bare .jsonl file
    >>> suite.items[0].spoken
    'Could you please connect me with Subramanian Iyer? The compensation is eighteen lakh rupees per annum.'

How to write a suite
--------------------
A suite is a folder of two or three files; `python -m evalkit.suites` prints their JSON schemas.

`suite.toml` describes it:

    name = "support-calls"
    version = "1"                 # raise it when a change should start new baselines
    description = "What our support line says most."
    language = "en-IN"
    licence = "CC0-1.0"
    lexicon = "lexicon.jsonl"     # only if items name entities; relative to this folder

`items.jsonl` has one item a line:

    {"id": "sc-001", "text": "Mr. Iyer paid Rs.18,00,000.", "spoken": "Mister Iyer paid eighteen lakh rupees.",
     "entities": ["Iyer"], "tags": ["domain:banking"]}

`text` is what a user would write; `spoken` is what should be heard, in words, and may be left out where it is the same.
The id becomes the name of the audio file. An entity is a spelling of the lexicon (letter case is ignored) and stands
in `spoken` as a word. A tag is "name:value"; results are broken down by tag. The tags language, kind, difficulty and
fixture come from the entities' lexicon entries and need not be repeated.

`lexicon.jsonl` has one name or term a line:

    {"spelling": "Iyer", "language": "ta", "kind": "person", "native": "ஐயர்", "accepted": ["AY1 Y AH0 R"],
     "wrong": ["IH1 Y ER0"], "ipa_accepted": ["aɪjʌɾ"], "ipa_wrong": ["ɪjɚ"], "difficulty": "easy"}

Readings are ARPAbet of the CMU dictionary, phones separated by blanks, a stress digit on every vowel. `wrong` lists how
people or engines get it wrong; the more of those are listed, the better a judge can tell. Only spelling, language,
kind and accepted are required.

For sentences alone, a bare `.jsonl` file of items (`id` and `text`) will do. To give a suite a name that
`evalkit run --suite NAME` knows, register its folder (a `pathlib.Path`, or a function that returns one) in your
package's entry points under `evalkit.suites`.
"""

from evalkit.suites.loader import load_suite
from evalkit.suites.model import Item, Suite, SuiteEntity

__all__ = ["Item", "Suite", "SuiteEntity", "load_suite"]
