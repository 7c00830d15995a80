"""ARPAbet readings of the CMU dictionary in Kokoro's own symbols."""

from __future__ import annotations

from collections.abc import Mapping

# Source: misaki's EN_PHONES.md ("Misaki English Phonemes") and, for what it leaves open (AH0, ER, length in British
# English), the entries of its us_gold.json and gb_gold.json.
CONSONANTS: Mapping[str, str] = {
    "B": "b", "CH": "ʧ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "ʤ", "K": "k", "L": "l", "M": "m",
    "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j",
    "Z": "z", "ZH": "ʒ",
}  # fmt: skip
AMERICAN: Mapping[str, str] = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "W", "AY": "I", "EH": "ɛ", "ER": "ɜɹ", "EY": "A", "IH": "ɪ",
    "IY": "i", "OW": "O", "OY": "Y", "UH": "ʊ", "UW": "u",
}  # fmt: skip
# The vowels differ; an R is said wherever the reading has one.
BRITISH: Mapping[str, str] = {
    **AMERICAN, "AA": "ɑː", "AE": "a", "AO": "ɔː", "ER": "ɜːɹ", "IY": "iː", "OW": "Q", "UW": "uː",
}  # fmt: skip
REDUCED = {"AH": "ə", "ER": "əɹ"}  # without stress
_STRESS = {"0": "", "1": "ˈ", "2": "ˌ"}


def to_kokoro(reading: str, british: bool = False) -> str:
    """ "S AH1 N" to "sˈʌn": the mark of stress stands before the vowel, as misaki has it.

    Raises ValueError naming a phone that is not of ARPAbet; a vowel without a digit has no stress.
    """
    vowels = BRITISH if british else AMERICAN
    return "".join(_symbol(phone, vowels, british) for phone in reading.split())


def _symbol(phone: str, vowels: Mapping[str, str], british: bool) -> str:
    if phone in CONSONANTS:
        return CONSONANTS[phone]
    name, stress = (phone[:-1], phone[-1]) if phone[-1:] in _STRESS else (phone, "0")
    if name not in vowels:
        raise ValueError(f"'{phone}' is no phone of ARPAbet")
    if stress != "0":
        return _STRESS[stress] + vowels[name]
    if name in REDUCED:
        return REDUCED[name]
    return vowels[name].rstrip("ː") if british and name in ("IY", "UW") else vowels[name]
