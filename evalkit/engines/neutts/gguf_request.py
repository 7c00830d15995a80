"""One request to a backbone in a GGUF file: what it is asked, the codes that it draws, and how that went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing

from evalkit.engines.base import Request, Status
from evalkit.engines.neutts.gguf_model import GgufModel, Sampling
from evalkit.engines.neutts.prompt import CONTROL, FrontEnd
from evalkit.engines.neutts.voices import VoiceCodes
from metrics.options import Value


class RefusedError(Exception):
    """A request that cannot be spoken. The message is one sentence."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status: Status = status


def read(request: Request, front_end: FrontEnd) -> str:
    """A request's text as the backbone reads it, or its phonemes. Raises RefusedError."""
    if request.phonemes is not None and front_end.form != "phonemes":
        raise RefusedError("failed", "This backbone reads text and takes no phonemes; leave them out.")
    reading = front_end.read(request.text) if request.phonemes is None else request.phonemes
    if not any(symbol.isalnum() for symbol in reading):
        raise RefusedError("empty_text", "There is nothing to read in this text.")
    if mark := CONTROL.search(reading):
        raise RefusedError("unknown_symbols", f"The text has the control token {mark[0]} in it; take it out.")
    return reading


class Spoken:
    """The codes of one request as they are drawn, once. drawn: tokens, of which some may speak no code."""

    def __init__(
        self,
        model: GgufModel,
        voice: VoiceCodes,
        reading: str,
        tokens: list[int],
        seed: int,
        options: Mapping[str, Value],
    ) -> None:
        """tokens: the prompt. Raises RefusedError for one that leaves no room to speak."""
        self.voice, self.reading, self.tokens = voice, reading, tokens
        self.drawn = self._codes = 0
        self._model, self._seed = model, seed
        self._sampling = Sampling(
            temperature=float(options["temperature"]),
            top_k=int(options["top_k"]),
            top_p=float(options["top_p"]),
            min_p=float(options["min_p"]),
            min_new_tokens=int(options["min_new_tokens"]),
        )
        self._limit = int(options["max_length"]) - len(tokens)
        if self._limit <= self._sampling.min_new_tokens:
            raise RefusedError(
                "too_long",
                f"Text and voice take {len(tokens)} of the backbone's {options['max_length']} tokens, which leaves no "
                "room for speech: split the text or take a shorter voice.",
            )

    def __iter__(self) -> Iterator[int]:
        with closing(self._model.generate(self.tokens, self._seed, self._sampling)) as drawn:
            for token in drawn:
                self.drawn += 1
                if (code := self._model.codes.get(token)) is not None:  # the package leaves other tokens out too
                    self._codes += 1
                    yield code
                if self._is_full:
                    return

    def messages(self) -> Iterator[int | None]:
        """The codes, and None for each message without a code with which llama-cpp-python ends its stream.

        Those are two where it meets the end of speech as text (llama.py, _create_completion), one at other ends.
        """
        yield from self
        yield from [None] * (2 if self._model.writes_end and not self._is_full else 1)

    def check(self) -> None:
        """Raises RefusedError, when all has been drawn, unless the speech came to an end and has codes."""
        if self._is_full:
            raise RefusedError("truncated", f"The backbone had not ended its speech after {self._limit} tokens.")
        if not self._codes:
            raise RefusedError("failed", "The backbone said no speech tokens.")

    @property
    def _is_full(self) -> bool:
        return self.drawn >= self._limit
