"""Word and character errors between what should be heard and what was heard."""

from __future__ import annotations

from dataclasses import dataclass

from metrics.text import normalize


@dataclass(frozen=True)
class ErrorCounts:
    """Edit distances of one clip; a corpus figure is the sum of errors over the sum of lengths.

    Both sides are normalised first. Characters include the blanks between words.
    """

    wer_errors: int
    wer_words: int
    cer_errors: int
    cer_chars: int

    @property
    def wer(self) -> float:
        """Errors per reference word; above 1 where more was heard than should be."""
        return self.wer_errors / self.wer_words

    @property
    def cer(self) -> float:
        return self.cer_errors / self.cer_chars


def count_errors(reference: str, heard: str) -> ErrorCounts:
    """Count by jiwer, after `metrics.text.normalize` of both sides.

    Raises ValueError if no word of the reference is left: an error rate has no denominator then.
    """
    import jiwer

    wanted, got = normalize(reference), normalize(heard)
    if not wanted:
        raise ValueError(f"the text {reference!r} has no words to compare with")
    words = jiwer.process_words(wanted, got)
    characters = jiwer.process_characters(wanted, got)
    return ErrorCounts(
        wer_errors=words.substitutions + words.deletions + words.insertions,
        wer_words=words.hits + words.substitutions + words.deletions,
        cer_errors=characters.substitutions + characters.deletions + characters.insertions,
        cer_chars=characters.hits + characters.substitutions + characters.deletions,
    )
