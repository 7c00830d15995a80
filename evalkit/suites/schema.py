"""What may stand in a suite's files. `python -m evalkit.suites` prints it as JSON schemas."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

VOWELS = frozenset(["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"])
CONSONANTS = frozenset(
    [
        "B",
        "CH",
        "D",
        "DH",
        "F",
        "G",
        "HH",
        "JH",
        "K",
        "L",
        "M",
        "N",
        "NG",
        "P",
        "R",
        "S",
        "SH",
        "T",
        "TH",
        "V",
        "W",
        "Y",
        "Z",
        "ZH",
    ]
)
PHONES = CONSONANTS | {vowel + stress for vowel in VOWELS for stress in "012"}


def _arpabet(reading: str) -> str:
    for phone in reading.split(" "):
        if phone in VOWELS:
            raise ValueError(f"the vowel '{phone}' in '{reading}' needs a stress digit, such as {phone}1")
        if phone not in PHONES:
            raise ValueError(
                f"'{phone}' in '{reading}' is not an ARPAbet phone of the CMU dictionary; "
                "write phones in capitals with one blank between them, such as 'S AH1 N'"
            )
    return reading


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty; write something or leave the field out")
    return text


Text = Annotated[str, AfterValidator(_not_blank)]
Reading = Annotated[str, AfterValidator(_arpabet), Field(description="ARPAbet, such as 'S AH1 N'")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Tag = Annotated[str, Field(pattern=r"^[A-Za-z][\w-]*:\S+$", description="name:value, such as 'domain:banking'")]
Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", description="person, place, institution, food, brand, …")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$", description="BCP 47, such as 'ta' or 'en-IN'")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Header(_Strict):
    """`suite.toml`."""

    name: FileName
    version: Text
    description: Text
    language: Language = Field(description="of the sentences")
    licence: Text
    lexicon: Text | None = Field(None, description="path of the lexicon, relative to this folder")


class ItemLine(_Strict):
    """One line of `items.jsonl`."""

    id: FileName = Field(description="unique; becomes the name of the audio file")
    text: Text = Field(description="as written")
    spoken: Text | None = Field(None, description="what should be heard, numbers in words; default: text")
    entities: list[Text] = Field([], description="spellings of the lexicon that stand in `spoken`")
    tags: list[Tag] = []


class LexiconLine(_Strict):
    """One line of `lexicon.jsonl`."""

    spelling: Text
    spellings: list[Text] = Field(
        [], description="other spellings of the same name that a transcript may use, such as 'Laxmi' for 'Lakshmi'"
    )
    language: Language = Field(description="that the name comes from")
    kind: Kind
    native: Text | None = Field(None, description="in the script of its language")
    accepted: list[Reading] = Field(min_length=1, description="right readings, the best first")
    wrong: list[Reading] = Field([], description="known wrong readings, the most usual first")
    ipa_accepted: list[Text] = []
    ipa_wrong: list[Text] = []
    ipa_source: Text | None = Field(None, description="where ipa_accepted comes from")
    difficulty: Literal["easy", "medium", "hard"] | None = None
    fixture: Literal["seen", "unseen"] | None = Field(
        None, description="whether evalkit's own reference voices heard the name in training; leave it out elsewhere"
    )


FILES: dict[str, type[_Strict]] = {"suite.toml": Header, "items.jsonl": ItemLine, "lexicon.jsonl": LexiconLine}


def json_schemas() -> dict[str, object]:
    """JSON schema by file name; of one line where the file is JSONL."""
    return {name: model.model_json_schema() for name, model in FILES.items()}
