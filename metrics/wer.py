"""Word and character errors between what should be heard and what was heard, in the whole text and in its names.

Both sides are normalised (`metrics.text`) and aligned by jiwer; of several alignments with the fewest errors, its one
counts. The entity word error rate is the share of the names' words that are wrong or missing in that alignment; words
heard between two words of a name count too, words heard beside it do not: they belong to its neighbours.

A name may be heard in any of its accepted spellings (`Entity.spellings`), with its blanks anywhere ("Rama Krishnan").
What was heard counts as the name, in every rate, only where the alignment puts it in the name's place; elsewhere the
same word is an error. So the number of words that errors are divided by is the same whatever was heard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any, Literal

from metrics.base import ClipInfo, Column, Entity, Need, Scores
from metrics.text import normalize
from metrics.text_entities import Place, places, spelled_at

NO_TEXT = "no text was given to compare with what was heard"

Kind = Literal["=", "~", "s", "d", "i"]
ERRORS: tuple[Kind, ...] = ("s", "d", "i")


def wer_columns(note: str = "") -> tuple[Column, ...]:
    """The columns of every judge of word errors: wer, cer and entity_wer.

    note: what to know about the judge; it is appended to the descriptions.
    """
    descriptions = {
        "wer": "words wrong, missing or added, per word of the text",
        "cer": "characters wrong, missing or added, per character of the text, blanks included",
        "entity_wer": "words of names wrong or missing, and words added inside them, per word of a name",
    }
    tail = f"; {note}" if note else ""
    needs: dict[str, frozenset[Need]] = {"entity_wer": frozenset({"entities"})}
    return tuple(
        Column(name, "", "lower", (0.0, math.inf), description + tail, 1.0, needs.get(name, frozenset()))
        for name, description in descriptions.items()
    )


def no_reference(info: ClipInfo) -> str | None:
    """Why a clip has nothing to compare with, so that hearing it is in vain; None if it has."""
    if not (info.text or "").strip():
        return NO_TEXT
    return None if normalize(info.text or "") else f"the text {info.text!r} has no words to compare with"


def applying(info: ClipInfo) -> frozenset[str]:
    """Which of the columns a clip with this text and these entities has a value in, whatever is heard."""
    if no_reference(info):
        return frozenset()
    text = info.text or ""
    named = places(text, normalize(text).split(), info.entities)
    return frozenset({"wer", "cer", "entity_wer"} if named else {"wer", "cer"})


def record_heard(scores: Scores, index: int, info: ClipInfo, heard: str) -> None:
    """Compare `heard` with `info.text` and write columns and details of clip `index` into `scores`.

    A clip without reference text is refused. A text without entities leaves only entity_wer missing. Details: `heard`
    (as given), the counts that corpus figures are made of (`wer_errors`, `wer_words`, `substitutions`, `deletions`,
    `insertions`, `cer_errors`, `cer_chars`, `entity_errors`, `entity_words`), `entities_heard`, one per occurrence
    (spelling, heard, errors, words), and `alignment`, see `Comparison.alignment`.
    """
    if reason := no_reference(info):
        scores.refuse(index, reason)
        return
    comparison = compare(info.text or "", heard, info.entities)
    details = {"heard": heard, **comparison.counts(), "alignment": comparison.alignment()}
    scores["wer"][index] = details["wer_errors"] / details["wer_words"]
    scores["cer"][index] = details["cer_errors"] / details["cer_chars"]
    if comparison.places:
        entities = comparison.entities()
        details["entity_errors"] = sum(entity["errors"] for entity in entities)
        details["entity_words"] = sum(entity["words"] for entity in entities)
        details["entities_heard"] = entities
        scores["entity_wer"][index] = details["entity_errors"] / details["entity_words"]
    else:
        scores["entity_wer"][index] = math.nan
        scores.reasons[index]["entity_wer"] = _no_entity(info.entities)
    scores.details[index] = details


def _no_entity(entities: Sequence[Entity]) -> str:
    names = ", ".join(repr(entity.spelling) for entity in entities)
    return f"the text does not contain {names}" if names else "the text has no entities"


def compare(reference: str, heard: str, entities: Sequence[Entity] = ()) -> Comparison:
    """Align what was heard with the reference, both normalised, an accepted spelling counting as its entity.

    Raises ValueError if no word of the reference is left: an error rate has no denominator then.
    """
    wanted = normalize(reference).split()
    if not wanted:
        raise ValueError(f"the text {reference!r} has no words to compare with")
    said = tuple(Said(word, word) for word in normalize(heard).split())
    comparison = Comparison(tuple(wanted), said, tuple(places(reference, wanted, entities)))
    for place in comparison.places:
        comparison = comparison.accepting(place)
    return comparison


@dataclass(frozen=True)
class Said:
    """A word that was heard. word: what it counts as; heard: how the judge wrote it ("" if a word before holds it)."""

    word: str
    heard: str


@dataclass(frozen=True)
class Step:
    """One step of an alignment: places in the reference and in what was heard, None where one side has no word."""

    wanted: int | None
    said: int | None


@dataclass(frozen=True)
class Comparison:
    """A reference aligned with what was heard, by least word errors."""

    wanted: tuple[str, ...]
    said: tuple[Said, ...]
    places: tuple[Place, ...]

    @cached_property
    def steps(self) -> list[Step]:
        return _align(self.wanted, self.said)

    @property
    def errors(self) -> int:
        return sum(self._kind(step) in ERRORS for step in self.steps)

    def accepting(self, place: Place) -> Comparison:
        """Let an accepted spelling count as the entity, if it stands where the reference has the entity."""
        own = self.wanted[place.start : place.end]
        for start, end in spelled_at(place, [one.word for one in self.said]):
            heard = " ".join(one.heard for one in self.said[start:end])
            counted = tuple(Said(word, "" if number else heard) for number, word in enumerate(own))
            changed = replace(self, said=(*self.said[:start], *counted, *self.said[end:]))
            there = {Step(place.start + number, start + number) for number in range(len(own))}
            if heard != " ".join(own) and there <= set(changed.steps) and changed.errors <= self.errors:
                return changed
        return self

    def counts(self) -> dict[str, Any]:
        """Word errors in all and by kind, and character errors; characters include the blanks between words."""
        import jiwer

        kinds = [self._kind(step) for step in self.steps]
        substitutions, deletions, insertions = (kinds.count(kind) for kind in ERRORS)
        characters = jiwer.process_characters(" ".join(self.wanted), " ".join(said.word for said in self.said))
        return {
            "wer_errors": substitutions + deletions + insertions,
            "wer_words": len(self.wanted),
            "substitutions": substitutions,
            "deletions": deletions,
            "insertions": insertions,
            "cer_errors": characters.substitutions + characters.deletions + characters.insertions,
            "cer_chars": len(" ".join(self.wanted)),
        }

    def alignment(self) -> list[list[str]]:
        """Runs of `[kind, words wanted, words heard]`.

        Kinds: "=" equal (given once), "~" an accepted spelling, "s" substituted, "d" deleted (wanted only),
        "i" inserted (heard only).
        """
        runs = []
        for kind, group in groupby(self.steps, self._kind):
            steps = list(group)
            wanted = " ".join(self.wanted[step.wanted] for step in steps if step.wanted is not None)
            heard = " ".join(filter(None, (self.said[step.said].heard for step in steps if step.said is not None)))
            runs.append([kind, *{"=": [wanted], "d": [wanted], "i": [heard]}.get(kind, [wanted, heard])])
        return runs

    def entities(self) -> list[dict[str, Any]]:
        """What became of each occurrence of an entity: how it was heard, its errors and its number of words."""
        return [self._entity(place) for place in self.places]

    def _entity(self, place: Place) -> dict[str, Any]:
        at = [number for number, step in enumerate(self.steps) if step.wanted in range(place.start, place.end)]
        steps = self.steps[at[0] : at[-1] + 1]
        heard = (self.said[step.said].heard for step in steps if step.said is not None)
        return {
            "spelling": place.entity.spelling,
            "heard": " ".join(filter(None, heard)),
            "errors": sum(self._kind(step) in ERRORS for step in steps),
            "words": place.end - place.start,
        }

    def _kind(self, step: Step) -> Kind:
        if step.said is None:
            return "d"
        said = self.said[step.said]
        if step.wanted is None:
            return "i"
        if said.word != self.wanted[step.wanted]:
            return "s"
        return "=" if said.heard == said.word else "~"


def _align(wanted: Sequence[str], said: Sequence[Said]) -> list[Step]:
    """jiwer's alignment, word by word."""
    import jiwer

    steps: list[Step] = []
    for chunk in jiwer.process_words(" ".join(wanted), " ".join(one.word for one in said)).alignments[0]:
        ours = range(chunk.ref_start_idx, chunk.ref_end_idx)
        theirs = range(chunk.hyp_start_idx, chunk.hyp_end_idx)
        for number in range(max(len(ours), len(theirs))):
            steps.append(Step(ours[number] if ours else None, theirs[number] if theirs else None))
    return steps
