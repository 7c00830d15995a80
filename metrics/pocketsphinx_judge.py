"""Tasks for pocketsphinx workers: hear a clip, or say which reading of each name in a sentence was spoken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from metrics.phones import IPA, to_ipa
from metrics.pocketsphinx_decoder import BEAM_NATS, Aligner, Path, Phone, PhoneRecognizer, Stretch, Transcriber
from metrics.pronunciation_judge import Failure, Judgement, NameScore, Part
from metrics.pronunciation_words import extra_words, no_reading, spoken

__all__ = ["Answer", "Failure", "Judge", "Judgement", "Part", "Task", "Transcribe", "Worker"]


@dataclass(frozen=True)
class Transcribe:
    """Task: the words heard. pcm: see `pocketsphinx_decoder.to_pcm`. The answer is a string."""

    pcm: bytes


@dataclass(frozen=True)
class Judge:
    """Task: which readings were spoken. The answer is a `Judgement`, or a `Failure` where a word has no reading.

    open_set: also recognise phones freely in the names' places (`NameScore.heard` and `.gop`).
    """

    pcm: bytes
    parts: tuple[Part, ...]
    open_set: bool = False


Task = Transcribe | Judge
Answer = str | Judgement | Failure


class Worker:
    """Answers tasks one after another. Each decoder is made at its first task."""

    @cached_property
    def _transcriber(self) -> Transcriber:
        return Transcriber()

    @cached_property
    def _aligner(self) -> Aligner:
        return Aligner()

    @cached_property
    def _recognizer(self) -> PhoneRecognizer:
        return PhoneRecognizer()

    @cached_property
    def _extra_words(self) -> dict[str, tuple[str, ...]]:
        return extra_words()

    def answer(self, task: Task) -> Answer:
        if isinstance(task, Transcribe):
            return self._transcriber.transcribe(task.pcm)
        slots = [self._readings(part) for part in task.parts]
        if failure := no_reading(task.parts, slots):
            return failure
        judged = [place for place, part in enumerate(task.parts) if part.wrong]
        if sum(len(slot) > 1 for slot in slots) > 1:  # the others keep their likeliest while one name is compared
            path = self._aligner.align(task.pcm, slots)
            if path is None:
                return Judgement(None)
            slots = [(stretch.reading,) for stretch in path.stretches]
        free = self._recognizer.recognize(task.pcm) if task.open_set else None
        names = [self._score(task, slots, place, free) for place in judged]
        return Judgement(tuple(name for name in names if name)) if all(names) else Judgement(None)

    def _score(
        self, task: Judge, slots: Sequence[Sequence[str]], place: int, free: Sequence[Phone] | None
    ) -> NameScore | None:
        """Align with each reading alone; None if no path reaches the end with any."""
        part = task.parts[place]
        accepted = {spoken(reading, part.possessive): reading for reading in part.accepted}
        wrong = {spoken(reading, part.possessive): reading for reading in part.wrong}
        paths: dict[str, Path | None] = {}
        for kind in (accepted, wrong):
            for reading in self._likeliest(task.pcm, slots, place, tuple(kind)):
                paths[reading] = self._aligner.align(task.pcm, _with(slots, place, (reading,)))
        found = {reading: path for reading, path in paths.items() if path}
        if not found:
            return None
        best = max(found, key=lambda reading: found[reading].score)
        path, heard = found[best], found[best].stretches[place]
        around = [*path.stretches[:place], *path.stretches[place + 1 :]]
        right = [found[reading] for reading in found if reading in accepted]
        goodness = max(right, key=lambda path: path.score).stretches[place] if right else None
        # A path that the beams cut off before its end is at least that much less likely.
        lowest = path.score - BEAM_NATS
        return NameScore(
            {(accepted | wrong)[reading]: way.score if way else lowest for reading, way in paths.items()},
            frames=heard.end - heard.start,
            fit=_per_frame([heard]),
            context=_per_frame(around) if around else None,
            heard=None if free is None else _heard(free, heard),
            gop=None if free is None or goodness is None else _goodness(free, goodness),
        )

    def _likeliest(
        self, pcm: bytes, slots: Sequence[Sequence[str]], place: int, readings: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Readings of one kind that are worth an alignment of their own: both of two; of more the likeliest.

        The decoder takes the words after alternatives for a little less likely than after one reading (up to 20 nats),
        so alternatives in one alignment are compared with each other only.
        """
        if len(readings) <= 2:
            return readings
        path = self._aligner.align(pcm, _with(slots, place, readings))
        return (path.stretches[place].reading,) if path else readings[:1]

    def _readings(self, part: Part) -> tuple[str, ...]:
        """Readings of a part as the aligner wants them; () if there are none."""
        own = part.accepted + part.wrong
        known = own or self._aligner.pronunciations(part.word) or self._extra_words.get(part.word, ())
        return tuple(dict.fromkeys(spoken(reading, part.possessive) for reading in known))


def _with(slots: Sequence[Sequence[str]], place: int, readings: tuple[str, ...]) -> list[Sequence[str]]:
    return [*slots[:place], readings, *slots[place + 1 :]]


def _per_frame(stretches: Sequence[Stretch]) -> float:
    """Nats per frame."""
    return sum(stretch.score for stretch in stretches) / sum(stretch.end - stretch.start for stretch in stretches)


def _heard(free: Sequence[Phone], stretch: Stretch) -> str:
    """IPA of the phones whose middle lies in a stretch."""
    inside = [phone.name for phone in free if stretch.start <= (phone.start + phone.end) / 2 < stretch.end]
    return to_ipa(" ".join(name for name in inside if name in IPA))


def _goodness(free: Sequence[Phone], stretch: Stretch) -> float:
    """Goodness of pronunciation (Witt and Young 2000): a stretch against free phones in its place, nats per frame."""
    loop = 0.0
    for phone in free:
        shared = min(phone.end, stretch.end) - max(phone.start, stretch.start)
        loop += phone.score * max(shared, 0) / (phone.end - phone.start)
    return (stretch.score - loop) / (stretch.end - stretch.start)
