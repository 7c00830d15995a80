"""Checks of what an engine says: audio as declared, the same for the same seed, nothing taken from global state."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from evalkit.engines.conformance.comparing import CHANGED, apart, check_form, difference
from evalkit.engines.conformance.findings import FaultError, NotApplicableError
from evalkit.engines.conformance.trial import SEED, Trial

FEWEST_TEXTS = 4
UNLIKELY_SEED = 762939453


def audio(trial: Trial) -> str:
    """Every text of the example is spoken: float32 [samples], finite, audible, of a possible level, on the device."""
    if len({len(text) for text in trial.texts}) < FEWEST_TEXTS:
        raise FaultError(
            f"the example needs {FEWEST_TEXTS} texts of different length, it has {len(trial.texts)} in all"
        )
    speeches = [trial.alone(index) for index in range(len(trial.texts))]
    for text, speech in zip(trial.texts, speeches, strict=True):
        check_form(speech, repr(text))
        if speech.seconds is not None and not (math.isfinite(speech.seconds) and speech.seconds >= 0):
            raise FaultError(f"{text!r}: its synthesis took {speech.seconds} seconds")
    device = getattr(trial.engine, "device", None)
    wanted = torch.device(device).type if isinstance(device, str | torch.device) else speeches[0].audio.device.type
    if elsewhere := {speech.audio.device.type for speech in speeches} - {wanted}:
        raise FaultError(f"the audio is on {', '.join(elsewhere)}, the engine on {wanted}")
    lengths = [len(speech.audio) / trial.spec.sample_rate for speech in speeches]
    return f"{len(speeches)} texts, {min(lengths):.2f} to {max(lengths):.2f} s"


def length(trial: Trial) -> str:
    """The audio is as long as the frames that the engine reports, to a frame."""
    checked = 0
    for index, text in enumerate(trial.texts):
        speech = trial.alone(index)
        frames, hop = speech.details.get("frames"), speech.details.get("hop")
        if frames is None or hop is None:
            continue
        if abs(len(speech.audio) - sum(frames) * hop) > hop:
            raise FaultError(f"{text!r}: {len(speech.audio)} samples, but {sum(frames)} frames of {hop}")
        checked += 1
    if not checked:
        raise NotApplicableError('no speech has "frames" and "hop" in its details')
    return f"{checked} texts"


def repeat(trial: Trial) -> str:
    """The same request gives the same audio bit for bit: again, after another one, and from a second engine."""
    first, request = trial.alone(0), trial.request(0)
    with _global_state_kept():
        _seed_globally(UNLIKELY_SEED)
        again = trial.one(request)
        trial.one(trial.request(1))
        after = trial.one(request)
    trial.load(trial.other)
    elsewhere = trial.one(trial.request(0, trial.other), trial.other)
    for when, speech in {"again": again, "after another text": after, "in a second engine": elsewhere}.items():
        if difference(first, speech):
            raise FaultError(f"the same request spoken {when}: {apart(first, speech)}")
    return "bit for bit, again, after another text, and in a second engine"


def seeds(trial: Trial) -> str:
    """Another seed changes the audio if, and only if, the spec says that the engine is stochastic."""
    gaps = [difference(trial.alone(0), trial.one(trial.request(0, seed=SEED + step))) for step in (1000, 2000, 3000)]
    if trial.spec.stochastic and max(gaps) <= CHANGED:
        raise FaultError("the spec says stochastic=True, but another seed changes nothing")
    if not trial.spec.stochastic and max(gaps):
        raise FaultError("the spec says stochastic=False, but another seed changes the audio")
    return "another seed, another audio" if trial.spec.stochastic else "the seed changes nothing, as declared"


def random_state(trial: Trial) -> str:
    """Speaking leaves the global random states of torch, numpy and Python as they were."""
    request = trial.request(0)
    with _global_state_kept():
        # An engine that seeds with the request's seed leaves the same state each time; this one is not among them.
        _seed_globally(UNLIKELY_SEED)
        before = _states()
        trial.one(request)
        touched = [name for name, state in _states().items() if not _equal(state, before[name])]
    if touched:
        raise FaultError(f"synthesize draws from or seeds the global generator of {', '.join(touched)}")
    return "untouched"


def phonemes(trial: Trial) -> str:
    """Given phonemes are spoken instead of the text: those read from it change nothing, those of another text do."""
    if not trial.spec.phonemes:
        raise NotApplicableError("the spec does not declare phonemes")
    own, other = trial.alone(0), trial.alone(1)
    if not own.phonemes or not other.phonemes:
        raise FaultError("the spec says phonemes=True, but Speech.phonemes is empty")
    same = trial.one(trial.request(0, phonemes=own.phonemes))
    if difference(own, same) > CHANGED:
        raise FaultError(f"the phonemes that were read, given back, change the speech: {apart(own, same)}")
    changed = trial.one(trial.request(0, phonemes=other.phonemes))
    if changed.status != "ok" or changed.phonemes != other.phonemes:
        raise FaultError(f"given {other.phonemes!r}, the engine read {changed.phonemes!r} (status {changed.status})")
    if difference(own, changed) <= CHANGED:
        raise FaultError("phonemes of another text leave the audio as it is")
    return "the engine's own round trip changes nothing, another text's are heard"


def _states() -> dict[str, Any]:
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(), "numpy": np.random.get_state(legacy=False), "Python": random.getstate()
    }  # fmt: skip
    if torch.cuda.is_available():
        states["CUDA"] = torch.stack(torch.cuda.get_rng_state_all())
    return states


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return all(_equal(a[key], b[key]) for key in a)
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)


@contextmanager
def _global_state_kept() -> Iterator[None]:
    states = _states()
    try:
        yield
    finally:
        torch.set_rng_state(states["torch"])
        np.random.set_state(states["numpy"])
        random.setstate(states["Python"])


def _seed_globally(seed: int) -> None:
    # Three calls, and not torch.manual_seed alone: an engine may lean on any of them.
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
