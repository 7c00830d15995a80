"""What a NeuTTS backbone is asked: the text as it reads it, and the prompt around it.

Source: neutts 1.4.1, neutts/neutts.py:431-482 (token ids for torch) and 504-534 (one string for llama.cpp).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Literal, cast, get_args

from evalkit.errors import EvalkitError

InputFormat = Literal["phonemes", "BPE"]
INPUT_FORMATS: tuple[str, ...] = get_args(InputFormat)
NEUTRAL = "neutral"  # the package's word for no emotion token
END = "<|SPEECH_GENERATION_END|>"
CONTROL = re.compile(r"<\|[A-Za-z0-9_]+\|>")
SPEECH = re.compile(r"<\|speech_(\d+)\|>")
_PHONEME_CHAT = "user: Convert the text to speech:<|TEXT_REPLACE|>\nassistant:<|SPEECH_REPLACE|>"
_BPE_CHAT = "<|TEXT_REPLACE|><|SPEECH_REPLACE|>"
_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"'})


def input_format(config: dict[str, Any], chosen: str = "") -> InputFormat:
    """How a model wants its text: `neuphonic.input_format` of its config.json, unless the user chose one.

    Raises EvalkitError if neither says. The package would take "phonemes" then, and a merged model that was saved
    without the field would be asked wrongly, with no error.
    """
    said = chosen or (config.get("neuphonic") or {}).get("input_format")
    if said not in INPUT_FORMATS:
        what = f"says '{said}'" if said else "does not say"
        raise EvalkitError(
            f"The config.json of this backbone {what} how the model reads text (neuphonic.input_format: phonemes or "
            "BPE): copy the field from the model that it was made of, or give --set input_format=phonemes."
        )
    return cast(InputFormat, said)


def supported_emotions(config: dict[str, Any]) -> tuple[str, ...] | None:
    """`neuphonic.supported_emotions` of a config.json; None where it does not say."""
    named = (config.get("neuphonic") or {}).get("supported_emotions")
    return None if named is None else tuple(str(name) for name in named)


def emotion_refusal(emotion: str, form: InputFormat, supported: Sequence[str] | None) -> str | None:
    """One sentence why a model cannot speak with an emotion, or None. Source: neutts.py:383-394."""
    if emotion == NEUTRAL:
        return None
    if form == "phonemes":
        return f"The emotion '{emotion}' needs a backbone that reads text (NeuTTS-2E); this one reads phonemes."
    if supported is not None and emotion not in supported:
        return f"This backbone has no emotion '{emotion}'; it has: {', '.join(supported)}."
    return None


class FrontEnd:
    """Turns a text into what the backbone reads: phonemes of the package's own espeak-ng, or the text normalised.

    name: what it is, with versions, for a passport. Raises EvalkitError for a language that espeak-ng does not have.
    """

    def __init__(self, form: InputFormat, language: str) -> None:
        self.form = form
        package = f"neutts {version('neutts')}"
        if form == "BPE":
            self.name = f"text in NFKC, {package}"
            self._phonemizer = None
        else:
            self._phonemizer = _phonemizer(language)
            espeak = ".".join(str(part) for part in self._phonemizer.espeak_version)
            self.name = f"espeak-ng {espeak} {language}, phonemizer {version('phonemizer')}, {package}"
        self.read = functools.lru_cache(maxsize=4096)(self._read)

    def _read(self, text: str) -> str:
        """The text as the backbone reads it. Source: neutts.py:425-429 and 47-51."""
        if self._phonemizer is None:
            return unicodedata.normalize("NFKC", text.translate(_QUOTES))
        lines = self._phonemizer.phonemize([text])
        return " ".join(lines[0].split()) if lines else ""


def _phonemizer(language: str) -> Any:
    from neutts.phonemizers import CUSTOM_PHONEMIZERS, BasePhonemizer

    try:
        if language in CUSTOM_PHONEMIZERS:
            return CUSTOM_PHONEMIZERS[language]()
        return BasePhonemizer(language_code=language)
    except RuntimeError as error:
        raise EvalkitError(
            f"The espeak-ng of neutts has no language '{language}': give one that it has, such as --set language=en-us."
        ) from error


def codes_text(codes: Sequence[int]) -> str:
    """Codes as the backbone's tokens spell them."""
    return "".join(f"<|speech_{code}|>" for code in codes)


def prompt_text(
    form: InputFormat, voice_reading: str, reading: str, codes: Sequence[int], emotion: str = NEUTRAL
) -> str:
    """The prompt as one string, for a tokenizer that reads control tokens in it (llama.cpp, special=True).

    voice_reading and reading: what FrontEnd.read made of the voice's text and of the text to speak.
    """
    between = " " if emotion == NEUTRAL else f"<|{emotion.upper()}|>"
    text = f"<|TEXT_PROMPT_START|>{voice_reading}{between}{reading}<|TEXT_PROMPT_END|>"
    speech = f"<|SPEECH_GENERATION_START|>{codes_text(codes)}"
    if form == "phonemes":
        return f"user: Convert the text to speech:{text}\nassistant:{speech}"
    return text + speech


class Prompter:
    """Builds prompts as token ids with a Hugging Face tokenizer, in the package's order of calls.

    end: id of the token that ends speech. Raises EvalkitError for a tokenizer that lacks a control token.
    """

    def __init__(self, tokenizer: Any, form: InputFormat) -> None:
        self._tokenizer, self._form = tokenizer, form
        names = ("SPEECH_REPLACE", "SPEECH_GENERATION_START", "TEXT_REPLACE", "TEXT_PROMPT_START", "TEXT_PROMPT_END")
        found = {name: self.token(f"<|{name}|>") for name in names} | {"END": self.token(END)}
        if missing := [name for name, index in found.items() if index is None]:
            raise EvalkitError(
                f"The tokenizer beside this backbone lacks NeuTTS' control tokens ({', '.join(missing)}): put the "
                "tokenizer files of the NeuTTS model that it was made of into its folder."
            )
        ids = cast(dict[str, int], found)
        self.end = ids["END"]
        chat: list[int] = tokenizer.encode(_PHONEME_CHAT if form == "phonemes" else _BPE_CHAT)
        text_at, speech_at = chat.index(ids["TEXT_REPLACE"]), chat.index(ids["SPEECH_REPLACE"])
        self._head = [*chat[:text_at], ids["TEXT_PROMPT_START"]]
        self._middle = [ids["TEXT_PROMPT_END"], *chat[text_at + 1 : speech_at], ids["SPEECH_GENERATION_START"]]

    def token(self, text: str) -> int | None:
        """The id of a token, None where the vocabulary lacks it."""
        found: int | None = self._tokenizer.convert_tokens_to_ids(text)
        return None if found is None or found == self._tokenizer.unk_token_id else found

    def codes(self, vocabulary: int) -> list[int]:
        """Which code each token id below `vocabulary` speaks, -1 for none."""
        result = [-1] * vocabulary
        for token, index in self._tokenizer.get_vocab().items():
            if index < vocabulary and (match := SPEECH.fullmatch(token)):
                result[index] = int(match[1])
        return result

    def ids(self, voice_reading: str, reading: str, codes: Sequence[int], emotion: str = NEUTRAL) -> list[int]:
        """The prompt, up to and with the voice's codes. Raises EvalkitError for an emotion without a token."""
        speech = self._encode(codes_text(codes))
        return [*self._head, *self._text(voice_reading, reading, emotion), *self._middle, *speech]

    def _text(self, voice_reading: str, reading: str, emotion: str) -> list[int]:
        if emotion == NEUTRAL:  # in one piece, so that BPE may join letters across the boundary
            return self._encode(f"{voice_reading} {reading}")
        token = self.token(f"<|{emotion.upper()}|>")
        if token is None:
            raise EvalkitError(f"This backbone's vocabulary has no token for the emotion '{emotion}'.")
        return [*self._encode(voice_reading), token, *self._encode(reading)]

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids
