"""Every check can fail: toys that are wrong in one way each, and the check that must find it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_engine import SHAPES, Toy, changed

from evalkit.engines import Example, Layout, Option, Request, Speech, Voice
from evalkit.engines.conformance import CHECKS, assert_conforms, check, prepare
from evalkit.errors import EvalkitError

Broken = tuple[str, type[Toy], str]  # the check, the engine, part of what the check says
TABLE: list[Broken] = []


def caught_by(name: str, says: str) -> Any:
    def add(cls: type[Toy]) -> type[Toy]:
        TABLE.append((name, cls, says))
        return cls

    return add


class Sounding(Toy):
    """What is wrong is in the finished speech."""

    def spoil(self, speech: Speech, request: Request) -> Speech:
        raise NotImplementedError

    def speak(self, request: Request) -> Speech:
        speech = super().speak(request)
        return self.spoil(speech, request) if speech.status == "ok" else speech


# -- the spec

TABLE += [
    ("spec", changed(max_batch=0), "max_batch=0"),
    ("spec", changed(version=""), "no version"),
    ("spec", changed(voice=""), "spec.voice"),
    ("spec", changed(weights="file"), "load_file"),
    ("spec", changed(layouts=(Layout("other", sections=("vocoder",)),)), "layout"),
    ("spec", changed(options={"speed": Option(3.0, "how fast", low=0.5, high=2.0)}), "default"),
]


@caught_by("spec", "stream")
class NoStream(Toy):
    stream = None  # type: ignore[assignment]


@caught_by("spec", "lacks weights")
class NoWeights(Toy):
    weights = property()  # type: ignore[assignment]


@caught_by("spec", "notes")
class OneNote(Toy):
    notes = "a sentence"


# -- loading


@caught_by("read_back", "differs from what was loaded in")
class HalfPrecision(Toy):
    def weights(self) -> Mapping[str, Tensor]:
        return {key: tensor.half().float() for key, tensor in self.loaded.items()}


@caught_by("read_back", "another type")
class Double(Toy):
    def weights(self) -> Mapping[str, Tensor]:
        return {key: tensor.double() for key, tensor in self.loaded.items()}


@caught_by("read_back", "lacks encoder.bias")
class OneLeftOut(Toy):
    def weights(self) -> Mapping[str, Tensor]:
        return {key: tensor for key, tensor in self.loaded.items() if key != "encoder.bias"}


@caught_by("read_back", "never loaded")
class OneTooMany(Toy):
    def weights(self) -> Mapping[str, Tensor]:
        return self.loaded | {"encoder.more": torch.zeros(1)}


@caught_by("digest", "leaves the digest")
class DigestOfShapes(Toy):
    def digest(self) -> str:
        return str({key: tuple(tensor.shape) for key, tensor in self.loaded.items()})


@caught_by("digest", "section 'encoder'")
class DigestOfOneSection(Toy):
    def digest(self) -> str:
        return str(self.loaded["decoder.matrix"].tolist())


@caught_by("digest", "two digests")
class DigestOfTime(Toy):
    def digest(self) -> str:
        return str(time.perf_counter_ns())


@caught_by("digest", "the digest is None")
class NoDigest(Toy):
    def digest(self) -> str:
        return None  # type: ignore[return-value]


@caught_by("strict", "without 'encoder.table' are loaded")
class NotStrict(Toy):
    """`load_state_dict(strict=False)`: what is missing stays random."""

    def check_fit(self, weights: Mapping[str, Tensor]) -> None:
        super().check_fit({key: weights.get(key, torch.zeros(SHAPES[key])) for key in SHAPES})

    def put(self, weights: Mapping[str, Tensor]) -> None:
        self.loaded = {key: weights.get(key, torch.rand(shape)).clone() for key, shape in SHAPES.items()}


@caught_by("strict", "with an extra tensor are loaded")
class IgnoresExtra(Toy):
    def check_fit(self, weights: Mapping[str, Tensor]) -> None:
        super().check_fit({key: tensor for key, tensor in weights.items() if "renamed" not in key or "table" in key})


@caught_by("strict", "cut to its first row are loaded")
class Broadcasts(Toy):
    def check_fit(self, weights: Mapping[str, Tensor]) -> None:
        super().check_fit({key: t.expand(SHAPES[key]) if len(t.shape) == 2 and len(t) == 1 and key in SHAPES else t
                           for key, t in weights.items()})  # fmt: skip

    def put(self, weights: Mapping[str, Tensor]) -> None:
        super().put({key: tensor.expand(SHAPES[key]) for key, tensor in weights.items()})


@caught_by("strict", "with a row too many are loaded")
class TakesWhatItNeeds(Toy):
    def check_fit(self, weights: Mapping[str, Tensor]) -> None:
        super().check_fit({key: t[: SHAPES[key][0]] if t.ndim and key in SHAPES else t for key, t in weights.items()})


@caught_by("strict", "raise KeyError instead of EvalkitError")
class RaisesKeyError(Toy):
    def check_fit(self, weights: Mapping[str, Tensor]) -> None:
        if not weights.keys() >= SHAPES.keys():
            raise KeyError("missing")
        super().check_fit(weights)


@caught_by("strict", "without naming it")
class NamesNothing(Toy):
    def check_fit(self, weights: Mapping[str, Tensor]) -> None:
        try:
            super().check_fit(weights)
        except EvalkitError as error:
            raise EvalkitError("These weights do not fit.") from error


@caught_by("strict", "without the section 'decoder' are loaded")
class SectionBySection(Toy):
    """Kokoro's loader: a section that is not there is not asked for."""

    def check_fit(self, weights: Mapping[str, Tensor]) -> None:
        there = {key.split(".")[0] for key in weights}
        absent = {key: torch.zeros(shape) for key, shape in SHAPES.items() if key.split(".")[0] not in there}
        super().check_fit({**weights, **absent})

    def put(self, weights: Mapping[str, Tensor]) -> None:
        self.loaded = {key: weights.get(key, torch.rand(shape)).clone() for key, shape in SHAPES.items()}


@caught_by("strict", "refused weights replaced")
class LoadsThenRefuses(Toy):
    def load(self, weights: Mapping[str, Tensor]) -> str:
        self.loaded |= {key: torch.zeros_like(tensor) for key, tensor in weights.items() if key in SHAPES}
        self.check_fit(weights)
        return super().load(weights)


@caught_by("strict", "after refused loads the speech is another one")
class StopsWorking(Toy):
    refused = 0

    def check_fit(self, weights: Mapping[str, Tensor]) -> None:
        try:
            super().check_fit(weights)
        except EvalkitError:
            self.refused += 1
            raise

    def hop(self, request: Request) -> int:
        return super().hop(request) + self.refused


@caught_by("sections", "no changed tensor of decoder changes")
class IgnoresASection(Toy):
    """Reads back what it was given, and speaks with something else."""

    def sound(self, letter: str, request: Request, noise: torch.Generator) -> Tensor:
        held = self.loaded
        generator = torch.Generator().manual_seed(5)
        self.loaded = held | {
            key: torch.rand(SHAPES[key], generator=generator) for key in SHAPES if key.startswith("decoder")
        }
        try:
            return super().sound(letter, request, noise)
        finally:
            self.loaded = held


@caught_by("replaces", "other weights were loaded in between")
class RemembersClips(Toy):
    def __init__(self, device: str = "cpu") -> None:
        super().__init__(device)
        self.said: dict[Any, Speech] = {}

    def speak(self, request: Request) -> Speech:
        if request.id not in self.said:
            self.said[request.id] = super().speak(request)
        return self.said[request.id]


# -- audio


def sounding(check_name: str, says: str, **values: Any) -> None:
    """A toy whose finished speech has these values; a function is called with the speech."""

    class Wrong(Sounding):
        def spoil(self, speech: Speech, request: Request) -> Speech:
            made = {name: value(speech) if callable(value) else value for name, value in values.items()}
            return replace(speech, **made)

    Wrong.__name__ = says
    TABLE.append((check_name, Wrong, says))


sounding("audio", "float64", audio=lambda speech: speech.audio.double())
sounding("audio", "instead of float32 [samples]", audio=lambda speech: speech.audio[None])
sounding("audio", "not finite", audio=lambda speech: speech.audio / 0)
sounding("audio", "is empty", audio=lambda speech: speech.audio[:0])
sounding("audio", "is silent", audio=lambda speech: speech.audio * 0)
sounding("audio", "the peak is", audio=lambda speech: speech.audio * 32768)
sounding("audio", "requires a gradient", audio=lambda speech: speech.audio.clone().requires_grad_())
sounding("audio", "on meta, the engine on cpu", audio=lambda speech: MetaClaim(speech.audio))
sounding("audio", "gets the status fine", status="fine", reason="x")
sounding("audio", "JSON", details=lambda speech: {"audio": speech.audio})
sounding("audio", "took nan seconds", seconds=float("nan"))
sounding("length", "frames of", details=lambda speech: {**speech.details, "hop": 300})


class MetaClaim(torch.Tensor):
    """Samples that say they are elsewhere."""

    @staticmethod
    def __new__(cls, data: Tensor) -> MetaClaim:
        return torch.Tensor._make_subclass(cls, data)

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("meta")


@caught_by("audio", "4 texts of different length")
class FewTexts(Toy):
    @classmethod
    def example(cls, folder: Path, seed: int) -> Example:
        return replace(super().example(folder, seed), texts=("Yes", "A voice"))


@caught_by("repeat", "spoken again")
class LouderEachTime(Sounding):
    calls = 0

    def spoil(self, speech: Speech, request: Request) -> Speech:
        self.calls += 1
        return replace(speech, audio=speech.audio * (1 + self.calls * 1e-6))


@caught_by("repeat", "after another text")
class RemembersTheLast(Sounding):
    last = ""

    def spoil(self, speech: Speech, request: Request) -> Speech:
        changed = self.last not in ("", request.text)
        self.last = request.text
        return replace(speech, audio=speech.audio[1:] if changed else speech.audio)


@caught_by("repeat", "in a second engine")
class NoTwoAlike(Sounding):
    def spoil(self, speech: Speech, request: Request) -> Speech:
        return replace(speech, audio=speech.audio * (1 + id(self) % 1000 / 1e4))


class GlobalNoise(Toy):
    def generator(self, request: Request) -> torch.Generator:
        return torch.Generator().manual_seed(int(torch.randint(9999, ()))) if request else torch.Generator()


class PeeksAtTheGlobalSeed(Toy):
    """Draws nothing, so that no state changes."""

    def generator(self, request: Request) -> torch.Generator:
        return torch.Generator().manual_seed(torch.initial_seed() % 1000 + request.seed)


class GlobalSeed(Toy):
    def generator(self, request: Request) -> torch.Generator:
        torch.manual_seed(request.seed)
        return torch.default_generator


class NumpySeed(Toy):
    def generator(self, request: Request) -> torch.Generator:
        np.random.seed(request.seed)
        return super().generator(request)


class PythonDraw(Toy):
    def generator(self, request: Request) -> torch.Generator:
        random.random()
        return super().generator(request)


class OneSeed(Toy):
    def generator(self, request: Request) -> torch.Generator:
        return torch.Generator().manual_seed(0)


TABLE += [
    ("repeat", GlobalNoise, "samples differ"),
    ("repeat", PeeksAtTheGlobalSeed, "spoken again"),
    ("random_state", GlobalSeed, "generator of torch"),
    ("random_state", NumpySeed, "generator of numpy"),
    ("random_state", PythonDraw, "generator of Python"),
    ("seeds", OneSeed, "another seed changes nothing"),
    ("seeds", changed(stochastic=False), "stochastic=False, but"),
]


@caught_by("phonemes", "Speech.phonemes is empty")
class TellsNoPhonemes(Sounding):
    def spoil(self, speech: Speech, request: Request) -> Speech:
        return replace(speech, phonemes=None)


@caught_by("phonemes", "the engine read 'a small voice'")
class DeafToPhonemes(Toy):
    def read(self, request: Request) -> str:
        return super().read(replace(request, phonemes=None))


@caught_by("phonemes", "leave the audio as it is")
class ClaimsPhonemes(Toy):
    def speak(self, request: Request) -> Speech:
        return replace(super().speak(replace(request, phonemes=None)), phonemes=self.read(request))


@caught_by("phonemes", "given back, change the speech")
class NoRoundTrip(Toy):
    def read(self, request: Request) -> str:
        return super().read(request) if request.phonemes is None else super().read(request) + "a"


# -- batches


@caught_by("order", "were answered by")
class Backwards(Toy):
    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        return list(super().synthesize(requests))[::-1]


@caught_by("order", "reads as another text")
class MixedUp(Toy):
    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        spoken = sorted(super().synthesize(requests), key=lambda speech: len(speech.audio))
        return [replace(speech, id=request.id) for speech, request in zip(spoken, requests, strict=True)]


@caught_by("order", "were answered by")
class DropsOne(Toy):
    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        return list(super().synthesize(requests))[: max(1, len(requests) - 1)]


@caught_by("order", "no request was answered by")
class AnswersNobody(Toy):
    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        return super().synthesize(requests) or [Speech("nobody")]


@caught_by("batches", "samples differ by")
class Leaks(Toy):
    """Padding: the shorter sentences hear how long the longest is."""

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        spoken = super().synthesize(requests)
        longest = max((len(speech.audio) for speech in spoken), default=1) or 1
        return [replace(s, audio=s.audio * (1 + 0.01 * (1 - len(s.audio) / longest))) for s in spoken]


@caught_by("batches", "the lengths are")
class Pads(Toy):
    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        spoken = super().synthesize(requests)
        longest = max((len(speech.audio) for speech in spoken), default=0)
        return [
            replace(s, audio=torch.nn.functional.pad(s.audio, (0, longest - len(s.audio)))) if s.status == "ok" else s
            for s in spoken
        ]


@caught_by("batches", "samples differ by")
class SeedOfTheFirst(Toy):
    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        return super().synthesize([replace(request, seed=requests[0].seed) for request in requests])


@caught_by("options", "alone and beside others")
class OptionsOfTheFirst(Toy):
    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        return super().synthesize([replace(request, options=requests[0].options) for request in requests])


@caught_by("largest_batch", "are not spoken, first: Too many.")
class FourAtMost(Toy):
    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        refused = [Speech(request.id, status="failed", reason="Too many.") for request in requests[4:]]
        return [*super().synthesize(requests[:4]), *refused]


# -- bad requests


@caught_by("texts", "an empty text raises ValueError: no text")
class RaisesOnEmpty(Toy):
    def speak(self, request: Request) -> Speech:
        if not request.text:
            raise ValueError("no text")
        return super().speak(request)


@caught_by("texts", "a text with an unknown symbol raises ValueError")
class RaisesOnSymbols(Toy):
    def speak(self, request: Request) -> Speech:
        if "☃" in request.text and self.read(request).strip():
            self.letters.index("☃")
        return super().speak(request)


@caught_by("texts", "a blank text is spoken")
class SpeaksBlanks(Toy):
    def read(self, request: Request) -> str:
        return super().read(request).strip() or ("a" if request.text.isspace() else "")


@caught_by("texts", "comes without a reason")
class GivesNoReason(Toy):
    def speak(self, request: Request) -> Speech:
        return replace(super().speak(request), reason=None)


@caught_by("texts", "yet there are 3 samples")
class RefusesAloud(Toy):
    def speak(self, request: Request) -> Speech:
        speech = super().speak(request)
        return speech if speech.status == "ok" else replace(speech, audio=torch.ones(3))


@caught_by("texts", "a good one gets the status failed")
class OneForAll(Toy):
    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        spoken = super().synthesize(requests)
        if all(speech.status == "ok" for speech in spoken):
            return spoken
        return [Speech(speech.id, status="failed", reason="One of them is bad.") for speech in spoken]


@caught_by("texts", "a good one changes")
class Startled(Toy):
    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        spoken = super().synthesize(requests)
        shrink = 1.0 if all(speech.status == "ok" for speech in spoken) else 0.9
        return [replace(speech, audio=speech.audio * shrink) for speech in spoken]


@caught_by("bad_options", "speed 0 raises TypeError")
class BelievesOptions(Toy):
    def refusal(self, request: Request) -> Speech | None:
        return super().refusal(replace(request, options={}))


@caught_by("bad_options", "unknown option raises KeyError")
class LooksUpOptions(Toy):
    def refusal(self, request: Request) -> Speech | None:
        for name in request.options:
            self.spec.options[name]
        return super().refusal(request)


# -- voices


@caught_by("voice", "has the same digest")
class VoiceByType(Toy):
    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        return replace(super().prepare_voice(reference, text), digest="vector")


@caught_by("voice", "a copy of the voice")
class VoiceByName(Toy):
    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        return replace(super().prepare_voice(reference, text), digest=str(reference))


@caught_by("voice", "another text for the voice's clip")
class VoiceWithoutText(Toy):
    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        return super().prepare_voice(reference, None)


@caught_by("voice", "leaves the audio as it is")
class OneVoice(Toy):
    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        return replace(super().prepare_voice(reference, text), data=torch.ones(4))


@caught_by("voice", "no digest")
class NoVoiceDigest(Toy):
    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        return replace(super().prepare_voice(reference, text), digest="")


@caught_by("no_voice", "the engine speaks without one")
class VoiceOfItsOwn(Toy):
    def speak(self, request: Request) -> Speech:
        return super().speak(replace(request, voice=request.voice or Voice("own", "own", torch.ones(4))))


@caught_by("no_voice", "a file that is not there")
class AnyFile(Toy):
    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        return super().prepare_voice(reference, text) if reference.exists() else Voice("any", "any", torch.ones(4))


@caught_by("no_voice", "FileNotFoundError")
class RaisesOnNoFile(Toy):
    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        reference.read_bytes()
        return super().prepare_voice(reference, text)


# -- streaming


@caught_by("streaming", "comes in 1 chunk")
class OneChunk(Toy):
    def stream(self, request: Request) -> Iterator[Tensor]:
        yield torch.cat(list(super().stream(request)))


@caught_by("streaming", "all was made before it")
class CutFromFinishedAudio(Toy):
    def stream(self, request: Request) -> Iterator[Tensor]:
        chunks = list(super().stream(request))
        time.sleep(0.1)
        yield from chunks


@caught_by("streaming", "in one piece")
class LosesTheTail(Toy):
    def stream(self, request: Request) -> Iterator[Tensor]:
        yield from list(super().stream(request))[:-5]


@caught_by("streaming", "float64")
class DoubleChunks(Toy):
    def stream(self, request: Request) -> Iterator[Tensor]:
        yield from (chunk.double() for chunk in super().stream(request))


@caught_by("streaming", "the audio is empty or not finite")
class BrokenChunks(Toy):
    def stream(self, request: Request) -> Iterator[Tensor]:
        yield from (chunk / 0 for chunk in super().stream(request))


@caught_by("streaming", "streamed twice gives different audio")
class NoTwoStreams(Toy):
    streams = 0

    def stream(self, request: Request) -> Iterator[Tensor]:
        self.streams += 1
        yield from (chunk * self.streams for chunk in super().stream(request))


@caught_by("streaming", "raises ValueError instead of EvalkitError")
class StreamsBadly(Toy):
    def stream(self, request: Request) -> Iterator[Tensor]:
        if not request.text:
            raise ValueError("no text")
        yield from super().stream(request)


@caught_by("streaming", "gives 0 chunk(s) instead of an EvalkitError")
class StreamsNothing(Toy):
    def stream(self, request: Request) -> Iterator[Tensor]:
        if request.text:
            yield from super().stream(request)


@pytest.mark.parametrize(("name", "engine", "says"), TABLE, ids=[f"{n}-{e.__name__}-{s}" for n, e, s in TABLE])
def test_a_broken_engine_is_caught(tmp_path: Path, name: str, engine: type[Toy], says: str) -> None:
    example = engine.example(tmp_path, seed=0)
    (finding,) = check(lambda: prepare(engine(), example), example, only=(name,))
    assert finding.check == name
    assert finding.ok is False and says in finding.detail, str(finding)
    with pytest.raises(AssertionError, match=f"1 checks failed:\n{name}: FAILED"):
        assert_conforms(lambda: prepare(engine(), example), example, only=(name,))


def test_a_seeding_engine_is_caught_although_it_left_the_same_state_before(tmp_path: Path) -> None:
    example = GlobalSeed.example(tmp_path, seed=0)
    repeat, state = check(lambda: prepare(GlobalSeed(), example), example, only=("repeat", "random_state"))
    assert repeat.ok and state.ok is False


def test_every_check_has_a_broken_engine() -> None:
    elsewhere = {"imports", "broken_file", "no_checkpoint"}  # test_conformance_special.py
    assert {name for name, _, _ in TABLE} | elsewhere == set(CHECKS)
