"""From a point to what speaks: weights merged in memory, options of the engine, a voice."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from evalkit.decisions.sweep.axes import Axis, shown
from evalkit.decisions.sweep.points import Point
from evalkit.decisions.sweep.subject import Subject, near, truncated
from evalkit.engines import EngineSpec
from evalkit.errors import EvalkitError
from evalkit.files import write_atomically
from evalkit.merging.align import BASE
from evalkit.merging.files import Opened, merge_recipe, open_recipe
from evalkit.merging.plan import Plan, make_plan
from evalkit.merging.recipe import Recipe
from evalkit.merging.session import MergeSession
from evalkit.pipeline.audio import read_audio
from evalkit.pipeline.card import read_card
from evalkit.pipeline.references import find_references
from evalkit.pipeline.speaking import Speaking
from evalkit.pipeline.voices import VoiceChoice
from evalkit.pipeline.weights import Made, Weights, read_weights


@dataclass
class _Kept:
    """What is known of checkpoints that were merged once: everything but the coefficients stays as it is."""

    key: object
    weights: Weights
    session: MergeSession | None = None


class Maker:
    """Makes the subject of every point's run. folder: where cut adapters and clips are written, once it is known."""

    def __init__(self, subject: Subject, speaking: Speaking, reference: Path | None) -> None:
        self.subject, self.folder = subject, Path()
        self.from_file = False  # whether the engine reads the subject's file itself
        self._speaking, self._reference = speaking, reference
        self._opened: tuple[object, Opened] | None = None
        self._kept: _Kept | None = None
        self._whole: Weights | None = None

    def check(self, points: Iterable[Point]) -> set[Path]:
        """Think every point's merge through without reading weights; the files that they are made of.

        Raises EvalkitError for the first point that cannot be merged, and for an axis that changes nothing.
        """
        files: set[Path] = set()
        for point in points:
            try:
                self.plan(self.recipe(point, cut=False))
            except EvalkitError as error:
                raise EvalkitError(f"The point {point.name} cannot be merged. {error}") from error
            assert self._opened is not None, "the plan opened it"
            files |= {path for paths in self._opened[1].files.values() for path in paths}
        return files

    def check_effect(self, axis: Axis, point: Point) -> None:
        """Raise EvalkitError if a coefficient changes none of the tensors' own, as layer patterns overrule it."""
        first, last = axis.ends[0], axis.ends[-1]
        if axis.kind not in ("coefficient", "layer") or first == last:
            return
        ends = [replace(point, values=tuple({**point.by_axis(), axis: end}.values())) for end in (first, last)]
        weights = [self.plan(self.recipe(end, cut=False)).weights for end in ends]
        if weights[0] == weights[1]:
            raise EvalkitError(
                f"The axis '{axis.name}' changes nothing: layer patterns of {self.subject.path} overrule it; sweep "
                "MODEL:PATTERN of one of them."
            )

    def recipe(self, point: Point, cut: bool = True) -> Recipe:
        """cut: put adapters that are cut to a rank in their place, and write them if they are not there."""
        values = point.by_axis()
        recipe = self.subject.recipe(values)
        ranks = [(axis, value) for axis, value in values.items() if axis.kind == "rank"]
        if not cut or not ranks:
            return recipe
        (axis, rank), place = ranks[0], ranks[0][0].model
        assert place is not None and isinstance(rank, int), f"{axis.name} was bound to an adapter"
        return self.subject.recipe(values, {place: truncated(recipe, place, rank, self.folder / "adapters")})

    def plan(self, recipe: Recipe) -> Plan:
        key = _key(recipe)
        if self._opened is None or self._opened[0] != key:
            self._opened = (key, open_recipe(recipe))
        sources = self._opened[1].plan.sources
        weights = {model.name: model.weights() for model in recipe.models}
        return make_plan(sources, weights, recipe.method, recipe.parameters, recipe.seed, recipe.unmatched)

    def keys(self) -> Collection[str]:
        """Canonical names of the subject's tensors, by which its engine is told. After `check`."""
        if self.subject.content is None:
            return self.tensors().keys()
        assert self._opened is not None, "the points were checked"
        return next(iter(self._opened[1].plan.sources.values())).keys()

    def tensors(self) -> Mapping[str, Tensor]:
        """Of a checkpoint that is swept as it is."""
        return self._as_it_is().tensors

    def made(self, point: Point) -> Made | Path:
        """The point's weights, in memory where that can be.

        Raises EvalkitError where a merge overflows or meets NaN.
        """
        if self.from_file:
            return self.subject.path
        name = f"{self.subject.name} {point.name}"
        if self.subject.content is None:
            return Made(name, self._as_it_is(), self.subject.path)
        return Made(name, self._merged(self.recipe(point)), self.subject.path)

    def speaking(self, point: Point, items: Sequence[str], spec: EngineSpec | None) -> Speaking:
        settings, voice = self._speaking.settings, self._speaking.voice
        for axis, value in point.by_axis().items():
            if axis.kind == "setting":
                settings = (*settings, f"{axis.target}={shown(value)}")
            elif axis.kind == "voice":
                voice = VoiceChoice(str(value))
        for axis, value in point.by_axis().items():
            if axis.kind == "voice_s":
                voice = self._cut(voice, float(value), spec)
        return replace(self._speaking, settings=settings, voice=voice, items=tuple(items), base=None)

    def close(self) -> None:
        if self._kept is not None and self._kept.session is not None:
            self._kept.session.close()
        self._kept = None

    def _as_it_is(self) -> Weights:
        if self._whole is None:
            self._whole = read_weights(self.subject.path, self.subject.base)
        return self._whole

    def _merged(self, recipe: Recipe) -> Weights:
        """By one session for the checkpoints that were merged first, whose points differ in coefficients alone."""
        key = _key(recipe)
        if self._kept is None or self._kept.key != key:
            merged, parents = merge_recipe(recipe)
            folded = max(merged.report.folded.values(), key=len)
            merge = {"recipe": recipe.content(), "parents": parents, "counts": merged.report.counts()}
            weights = Weights(merged.tensors, folded, {"format": "recipe", "merge": merge}, near(recipe))
            if self._kept is None:
                self._kept = _Kept(key, replace(weights, tensors={}))
            return weights
        if self._kept.session is None:
            self._kept.session = _session(recipe)
        coefficients = {model.name: model.weights() for model in recipe.models}
        tensors = self._kept.session.merge(coefficients, recipe.method, recipe.parameters, recipe.seed)
        merge = {**self._kept.weights.record["merge"], "recipe": recipe.content()}
        return replace(self._kept.weights, tensors=tensors, record={"format": "recipe", "merge": merge})

    def _cut(self, voice: VoiceChoice, seconds: float, spec: EngineSpec | None) -> VoiceChoice:
        """The voice's clip up to so many seconds, as a file of the sweep."""
        clip = self._clip(voice)
        audio, rate = read_audio(clip)
        if len(audio) < seconds * rate - 1:
            raise EvalkitError(
                f"The axis 'voice_s': {clip} is {len(audio) / rate:.1f} s long, so it has no first {seconds:g} s."
            )
        words = clip.with_name(f"{clip.stem}-{seconds:g}s.txt")
        if spec is not None and spec.needs_voice_text and not words.is_file():
            raise EvalkitError(
                f"The engine '{spec.name}' must know what is said in the first {seconds:g} s of {clip}: write the "
                f"words into {words}."
            )
        target = self.folder / "voices" / f"{clip.stem}-{seconds:g}s.wav"
        if not target.is_file():
            write_atomically(target, _wav(audio[: round(seconds * rate)], rate))
        return VoiceChoice(str(target), str(words) if words.is_file() else None)

    def _clip(self, voice: VoiceChoice) -> Path:
        """As a run finds its voice: named, on the card, or the first reference clip."""
        named = voice.reference or read_card(self.subject.path).voice
        references = () if named else find_references(self._reference, self.subject.path)
        if not named and not references:
            raise EvalkitError("The axis 'voice_s' cuts a clip: name it with --voice, or sweep voice=a.wav,b.wav too.")
        return Path(named) if named else references[0]


def _key(recipe: Recipe) -> tuple[Any, ...]:
    """What decides which tensors meet, beside coefficients, method and parameters."""
    return recipe.base, tuple((model.name, model.path) for model in recipe.models), recipe.unmatched, recipe.canonical


def _session(recipe: Recipe) -> MergeSession:
    opened = open_recipe(recipe)
    sources: Mapping[str, Any] = opened.plan.sources
    parents = {name: tensors for name, tensors in sources.items() if name != BASE}
    return MergeSession(sources.get(BASE), parents, unmatched=recipe.unmatched, respell=recipe.canonical)


def _wav(audio: Any, rate: int) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, audio.numpy(), rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
