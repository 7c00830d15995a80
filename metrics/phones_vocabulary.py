"""From readings in ARPAbet to the symbols of a recogniser whose vocabulary is IPA, as espeak-ng writes it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from metrics.phones import IPA, IPA_PAIRS, bare

BLANK = 0  # index of the CTC blank among the classes


class PhoneClasses:
    """Classes of vocabulary symbols: the blank, each ARPAbet phone, and each pair of phones that has a symbol.

    A phone's probability in a frame is the sum over the symbols that stand for it (`metrics.phones.IPA`): readings in
    ARPAbet leave open which of ɹ, ɾ and r an r is, and whether a t is dental, retroflex or aspirated. A symbol may
    stand for several phones, so classes do not sum to one; likelihoods of readings stay comparable with each other.
    """

    def __init__(self, vocabulary: Mapping[str, int], blank: int) -> None:
        """vocabulary: symbol -> index in the recogniser's output; blank: the index of its CTC blank.

        Raises ValueError naming the phones that have no symbol in the vocabulary.
        """
        symbols = {unicodedata.normalize("NFD", symbol): index for symbol, index in vocabulary.items()}
        tables: list[tuple[tuple[str, ...], tuple[str, ...]]] = [((phone,), written) for phone, written in IPA.items()]
        tables += [(pair, written) for pair, written in IPA_PAIRS.items()]
        self._symbols = [[blank]]
        self._classes: dict[tuple[str, ...], int] = {}
        for phones, written in tables:
            found = [symbols[form] for text in written if (form := unicodedata.normalize("NFD", text)) in symbols]
            if found:
                self._classes[phones] = len(self._symbols)
                self._symbols.append(sorted(set(found)))
        absent = [f"{phone} ({' '.join(IPA[phone])})" for phone in IPA if (phone,) not in self._classes]
        if absent:
            raise ValueError(
                f"The vocabulary has no symbol for {', '.join(absent)}: the judge needs a model of espeak-ng's IPA "
                "phones, such as wav2vec2-lv-60-espeak-cv-ft."
            )

    def __len__(self) -> int:
        return len(self._symbols)

    def log_probs(self, symbols: Tensor) -> Tensor:
        """Log probabilities of the vocabulary [..., symbols] -> of the classes [..., classes]."""
        return torch.stack([symbols[..., columns].logsumexp(dim=-1) for columns in self._symbols], dim=-1)

    def spellings(self, reading: str) -> tuple[tuple[int, ...], ...]:
        """The ways to write a reading in classes: with pairs taken as one symbol, left to right, and phone by phone."""
        phones = bare(reading).split()
        single = tuple(self._classes[(phone,)] for phone in phones)
        return tuple(dict.fromkeys((self._merged(phones), single)))

    def _merged(self, phones: Sequence[str]) -> tuple[int, ...]:
        classes: list[int] = []
        place = 0
        while place < len(phones):
            pair = self._classes.get(tuple(phones[place : place + 2]))
            if pair is not None and place + 1 < len(phones):
                classes.append(pair)
                place += 2
            else:
                classes.append(self._classes[(phones[place],)])
                place += 1
        return tuple(classes)
