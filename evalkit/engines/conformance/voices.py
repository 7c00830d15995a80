"""Checks of voices: another content is another digest and another sound."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from evalkit.engines.base import Voice
from evalkit.engines.conformance.comparing import CHANGED, check_form, difference
from evalkit.engines.conformance.findings import FaultError, NotApplicableError
from evalkit.engines.conformance.trial import Trial
from evalkit.errors import EvalkitError


def voice(trial: Trial) -> str:
    """A voice of other content has another digest and is heard; a copy under another name has the same digest."""
    source = Path(trial.example.voice) if trial.example.voice else None
    if source is None:
        raise NotApplicableError("the example has no voice")
    if not source.is_file() or source.suffix.lower() not in TURNED:
        raise NotApplicableError(
            f"the suite cannot make another voice of '{source.name}'; it can of {', '.join(TURNED)}"
        )
    own = trial.voice(trial.engine)
    assert own is not None
    with tempfile.TemporaryDirectory() as folder:
        other, copy = Path(folder) / f"other{source.suffix}", Path(folder) / f"copy{source.suffix}"
        TURNED[source.suffix.lower()](source, other)
        copy.write_bytes(source.read_bytes())
        _compare_digests(own, _prepared(trial, copy), _prepared(trial, other))
        _compare_texts(trial, own, copy)
        speech = trial.one(replace(trial.request(0), voice=_prepared(trial, other)))
    if difference(speech, trial.alone(0)) <= CHANGED:
        raise FaultError("a voice of other content leaves the audio as it is")
    return "another content, another digest and another audio"


def no_voice(trial: Trial) -> str:
    """A voice that is not there is an EvalkitError; an engine that needs a voice gives a status without one."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            made = trial.engine.prepare_voice(Path(folder) / "no-such-voice.wav", "A text.")
        except EvalkitError:
            pass
        else:
            raise FaultError(f"the voice {made.name!r} was made of a file that is not there")
    if not trial.spec.needs_voice:
        return "a missing file is refused"
    try:
        speech = trial.one(trial.request(trial.shortest, voice=None))
    except EvalkitError:
        return "refused"
    if speech.status == "ok":
        raise FaultError("the spec says needs_voice=True, but the engine speaks without one")
    check_form(speech, "a request without a voice")
    return f"the status is {speech.status}"


def _prepared(trial: Trial, path: Path) -> Voice:
    return trial.engine.prepare_voice(path, trial.example.voice_text)


def _compare_digests(own: Voice, copy: Voice, other: Voice) -> None:
    if not own.digest:
        raise FaultError("the voice has no digest")
    if copy.digest != own.digest:
        raise FaultError("a copy of the voice under another name has another digest")
    if other.digest == own.digest:
        raise FaultError("a voice of other content has the same digest")


def _compare_texts(trial: Trial, own: Voice, path: Path) -> None:
    if not trial.spec.needs_voice_text or not trial.example.voice_text:
        return
    if trial.engine.prepare_voice(path, f"{trial.example.voice_text} And more.").digest == own.digest:
        raise FaultError("another text for the voice's clip leaves the digest as it is")


def _turned_clip(source: Path, target: Path) -> None:
    try:
        import soundfile
    except ImportError as error:
        raise NotApplicableError("soundfile is not installed here") from error
    samples, rate = soundfile.read(source, dtype="float32")
    soundfile.write(target, samples[::-1], rate)


def _turned_array(source: Path, target: Path) -> None:
    np.save(target, np.flip(np.load(source, allow_pickle=False)))


def _turned_raw(source: Path, target: Path) -> None:
    np.fromfile(source, dtype=np.float32)[::-1].tofile(target)


def _turned_tensors(source: Path, target: Path) -> None:
    held = torch.load(source, map_location="cpu", weights_only=True)
    if isinstance(held, torch.Tensor):
        turned: object = _flip(held)
    elif isinstance(held, Mapping):
        turned = {key: _flip(value) if isinstance(value, torch.Tensor) else value for key, value in held.items()}
    else:
        raise NotApplicableError(f"the voice holds a {type(held).__name__}, which the suite cannot change")
    torch.save(turned, target)


def _flip(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.flip(tuple(range(tensor.ndim)))


# The same content back to front: as loud, of the same range and shape, and yet another one.
TURNED: Mapping[str, Callable[[Path, Path], None]] = {
    ".wav": _turned_clip,
    ".flac": _turned_clip,
    ".npy": _turned_array,
    ".bin": _turned_raw,
    ".pt": _turned_tensors,
}
