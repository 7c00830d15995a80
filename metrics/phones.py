"""Phones in two alphabets: ARPAbet of the CMU dictionary, in which readings are written, and espeak-ng's IPA.

One table serves every use: which symbols of a phoneme recogniser stand for a phone, which phones an engine's IPA may
mean, and how a reading is written for an articulatory distance.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

# ARPAbet -> the IPA symbols that stand for it, the usual one of American English first. What the languages of India
# have beside it is counted in: readings in ARPAbet cannot tell dental, retroflex and aspirated consonants from plain
# ones. espeak-ng writes the tap of American "water" and the r of Hindi with the same symbol, and Indian English has one
# sound for v and w, so these symbols stand for several phones.
# fmt: off
IPA: Mapping[str, tuple[str, ...]] = {
    "AA": ("ɑː", "ɑ", "aː", "ɑ̃", "ɒ"), "AE": ("æ",), "AH": ("ə", "ʌ", "ɐ", "a", "ə̃", "ʌ̃", "ɤ"),
    "AO": ("ɔː", "ɔ", "ɔ̃", "ɒ"), "AW": ("aʊ", "au", "ʌʊ"), "AY": ("aɪ", "ai", "ʌɪ"),
    "B": ("b", "bʰ", "bʱ", "bː"), "CH": ("tʃ", "tʃʰ", "tʃː", "c", "cʰ", "tɕ", "tɕʰ"),
    "D": ("d", "d̪", "ɖ", "dʰ", "dʱ", "d̪ʰ", "d̪ʱ", "ɖʰ", "ɖʱ", "ɽ", "ɾ", "dː"), "DH": ("ð",),
    "EH": ("ɛ", "e"), "ER": ("ɚ", "ɜː", "ɝ", "ɜ"), "EY": ("eɪ", "eː", "ei", "ẽ"),
    "F": ("f", "ɸ"), "G": ("ɡ", "ɡʰ", "ɡʱ", "ɣ", "ɡː"), "HH": ("h", "ɦ", "x"), "IH": ("ɪ", "i", "ᵻ", "ɪ̃", "ɨ"),
    "IY": ("iː", "i", "ĩ"), "JH": ("dʒ", "dʒʰ", "dʒʱ", "dʒː", "ɟ", "ɟʰ", "dʑ"), "K": ("k", "kʰ", "q", "kː"),
    "L": ("l", "ɭ", "ɫ", "lː"), "M": ("m", "mː"), "N": ("n", "ɳ", "n̪", "ɲ", "nː"), "NG": ("ŋ",),
    "OW": ("oʊ", "oː", "o", "əʊ", "õ"), "OY": ("ɔɪ", "ɔi", "oɪ"), "P": ("p", "pʰ", "pː"),
    "R": ("ɹ", "ɾ", "r", "ɻ", "ɽ", "rː"), "S": ("s", "sː"), "SH": ("ʃ", "ʂ", "ɕ", "ʃː"),
    "T": ("t", "t̪", "ʈ", "tʰ", "t̪ʰ", "ʈʰ", "ɾ", "tː"), "TH": ("θ",),
    "UH": ("ʊ", "u", "ʊ̃"), "UW": ("uː", "u", "ũ", "ʉ"), "V": ("v", "ʋ", "β"), "W": ("w", "ʋ"), "Y": ("j",),
    "Z": ("z",), "ZH": ("ʒ", "ʐ"),
}
# fmt: on
VOWELS = frozenset({"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"})

# Two phones that espeak-ng writes, and its recognisers hear, as one symbol.
IPA_PAIRS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("AA", "R"): ("ɑːɹ",), ("AO", "R"): ("ɔːɹ", "oːɹ"), ("EH", "R"): ("ɛɹ",), ("IH", "R"): ("ɪɹ",),
    ("IY", "R"): ("ɪɹ",), ("UH", "R"): ("ʊɹ",), ("UW", "R"): ("ʊɹ",), ("AY", "ER"): ("aɪɚ",),
    ("AY", "AH"): ("aɪə",), ("IY", "AH"): ("iə",), ("AH", "L"): ("əl",),
}  # fmt: skip

# What English front ends and espeak-ng write beside that: letters of misaki, ligatures, ASCII g.
_OTHER_IPA: Mapping[str, tuple[frozenset[str], ...]] = {
    symbol: tuple(frozenset(phones.split("/")) for phones in meaning.split())
    for symbol, meaning in {
        "A": "EY", "I": "AY", "O": "OW", "W": "AW", "Y": "OY", "Q": "OW", "ʤ": "JH", "ʧ": "CH", "T": "T/D", "ᵊ": "AH",
        "g": "G", "ɚ": "AH R", "ɝ": "AH R", "ɜ": "AH R", "ɬ": "L", "ʔ": "",
    }.items()
}  # fmt: skip

# Phones that a recogniser of English phones hardly tells apart; `fold` takes them for one.
_NEAR = {"UH": "AH", "AO": "AA", "IY": "IH", "AX": "AH"}
_BEFORE_GLIDE = frozenset({"IH", "AY", "EY", "OY"})
_PAUSES = frozenset({"PAU", "SIL", "SP", "SSIL"})
_MARKS = re.compile("[ˈˌˑ͜͡.‿]")
_SEPARATORS = re.compile(r"[\s_|,;:!?—…\"“”()-]+")

# PanPhon has features for these; what it would drop or take for far apart is written otherwise first.
_EQUIVALENT = (
    ("ʱ", "ʰ"), ("ʋ", "v"), ("ɾ", "ɹ"), ("r", "ɹ"), ("ɚ", "əɹ"), ("ɝ", "əɹ"), ("ʌ", "ə"), ("ɐ", "ə"), ("ᵻ", "ɪ"),
    ("g", "ɡ"),
)  # fmt: skip

Phones = frozenset[str]  # the ARPAbet phones that a symbol may stand for
BOUNDARY: Phones = frozenset({"|"})  # between words


def bare(reading: str) -> str:
    """A reading without stress, which no judge hears: "AH1 N" -> "AH N"."""
    return " ".join(phone.rstrip("012") for phone in reading.split())


def fold(reading: str) -> tuple[str, ...]:
    """A reading as it is compared: without stress; AH/UH, AA/AO and IH/IY taken for one, ER for AH R; a doubled phone
    single, and no Y after IY, AY, EY or OY. Two readings that fold alike are the same reading."""
    folded: list[Phones] = []
    for phone in _merged(frozenset({phone}) for phone in bare(reading).split()):
        if not folded or not adds_nothing(phone, folded[-1]):
            folded.append(phone)
    return tuple(min(phones) for phones in folded)


def adds_nothing(phone: Phones, before: Phones) -> bool:
    """Whether a phone is no more than the length of the one before it, or the glide that it ends in."""
    return phone == before or (phone == {"Y"} and bool(before & _BEFORE_GLIDE))


def heard_phones(phonemes: str) -> tuple[Phones, ...]:
    """What an engine's phoneme string may mean, with `BOUNDARY` between words where it marks them.

    Phones are taken for one as `fold` does; doubled phones and glides stay, since they may belong to two words.

    phonemes: ARPAbet in any case with or without stress and pauses ("w iy m eh t"), or IPA as espeak-ng or misaki
    write it. A symbol that is in neither alphabet stands for itself and matches no phone.
    """
    written = phonemes.split()
    arpabet = [token.upper().rstrip("012") for token in written]
    if all(token in IPA or token in _PAUSES or token == "AX" for token in arpabet):
        return tuple(_merged(frozenset({token}) for token in arpabet if token not in _PAUSES))
    words = [_from_ipa(word) for word in _SEPARATORS.split(unicodedata.normalize("NFD", phonemes)) if word]
    joined: list[Phones] = []
    for word in words:
        joined += [*word, BOUNDARY]
    return tuple(_merged(joined[:-1]))


def to_ipa(reading: str) -> str:
    """A reading in IPA, one segment after another, without stress: "L AH1 K SH M IY0" -> "ləkʃmiː"."""
    return "".join(IPA[phone][0] for phone in bare(reading).split())


def equivalent(ipa: str) -> str:
    """IPA with the differences taken out that do not count: ʋ is v; ɾ and r are ɹ; ʌ and ɐ are ə; ʱ is ʰ; length."""
    ipa = _MARKS.sub("", unicodedata.normalize("NFD", ipa)).replace("ː", "")
    for symbol, same in _EQUIVALENT:
        ipa = ipa.replace(symbol, same)
    return ipa


@lru_cache(maxsize=1)
def _panphon() -> object:
    import panphon.distance

    return panphon.distance.Distance()


def distance(heard: str, readings: Sequence[str]) -> float:
    """PanPhon's feature edit distance from what was heard (IPA) to the nearest reading (ARPAbet), over the longer's
    number of segments: 0 is the same, 1 that nothing agrees. Differences that `equivalent` takes out do not count.

    Source: Mortensen et al. 2016, PanPhon, `feature_edit_distance_div_maxlen` of panphon 0.22.2. Takes seconds at the
    first call, under a millisecond later. Raises ValueError without a reading.
    """
    if not readings:
        raise ValueError("A distance needs at least one reading to measure from.")
    source = equivalent(heard)
    measure = _panphon().feature_edit_distance_div_maxlen  # type: ignore[attr-defined]
    return min(float(measure(source, equivalent(to_ipa(reading)))) for reading in readings)


def _merged(phones: Iterable[Phones]) -> Iterator[Phones]:
    """Each phone with those that count as the same taken for one, and ER as two phones."""
    for options in phones:
        for part in (frozenset({"AH"}), frozenset({"R"})) if options == {"ER"} else (options,):
            yield frozenset(_NEAR.get(phone, phone) for phone in part)


@lru_cache(maxsize=1)
def _symbols() -> Mapping[str, tuple[Phones, ...]]:
    """IPA symbol -> the phones it stands for, one after another."""
    meanings: dict[str, set[str]] = {}
    for phone, symbols in IPA.items():
        for symbol in symbols:
            meanings.setdefault(unicodedata.normalize("NFD", symbol), set()).add(phone)
    table: dict[str, tuple[Phones, ...]] = {symbol: (frozenset(phones),) for symbol, phones in meanings.items()}
    return {**table, **_OTHER_IPA}


def _from_ipa(word: str) -> list[Phones]:
    """The longest symbols of the table that the word can be cut into."""
    table = _symbols()
    longest = max(map(len, table))
    word = _MARKS.sub("", word)
    phones: list[Phones] = []
    place = 0
    while place < len(word):
        lengths = range(min(longest, len(word) - place), 0, -1)
        length = next((length for length in lengths if word[place : place + length] in table), 0)
        if length:
            phones += table[word[place : place + length]]
        elif not _is_diacritic(word[place]):
            phones.append(frozenset({word[place]}))
        place += length or 1
    return phones


def _is_diacritic(sign: str) -> bool:
    return unicodedata.combining(sign) != 0 or unicodedata.category(sign) in {"Lm", "Sk"}
