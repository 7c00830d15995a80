"""Checks of batches: the speech does not depend on what else is in the call, and everybody gets an answer."""

from __future__ import annotations

import random
from collections.abc import Sequence

from evalkit.engines.base import Request
from evalkit.engines.conformance.comparing import EXACT, apart, difference
from evalkit.engines.conformance.findings import FaultError, NotApplicableError
from evalkit.engines.conformance.trial import Trial

LARGEST_TRIED = 64
VARIED = 3  # options of which a batch mixes values
ODD_IDS = ("b/2", "a 1", "ü", "b", "B")


def batches(trial: Trial) -> str:
    """Alone, in batches of two, three and all, in any order: the same speech to 1e-4, if the spec says batch_exact."""
    _need_exact_batches(trial)
    largest = 0.0
    for part in _parts(len(trial.texts), trial.spec.max_batch):
        for index, speech in zip(part, trial.speak([trial.request(index) for index in part]), strict=True):
            gap = difference(trial.alone(index), speech)
            if gap > EXACT:
                said = apart(trial.alone(index), speech)
                raise FaultError(f"{trial.texts[index]!r} alone and in a batch of {len(part)} ({part}): {said}")
            largest = max(largest, gap)
    return f"largest difference {largest:.1e}"


def options(trial: Trial) -> str:
    """Requests with different options in one batch are each spoken with their own, as they are alone."""
    _need_exact_batches(trial)
    requests = [trial.request(trial.shortest), *_varied(trial)][: trial.spec.max_batch]
    if len(requests) < 2:
        raise NotApplicableError("the engine declares no numbers with bounds among its options")
    for request, together in zip(requests, trial.speak(requests), strict=True):
        alone = trial.one(request)
        if difference(alone, together) > EXACT:
            raise FaultError(f"options {dict(request.options)} alone and beside others: {apart(alone, together)}")
    return f"{len(requests)} different sets of options in one batch"


def order(trial: Trial) -> str:
    """Answers come in the requests' order, with their ids whatever these look like; no request, no answer."""
    if said := list(trial.engine.synthesize([])):
        raise FaultError(f"no request was answered by {len(said)} speeches")
    indices = [index % len(trial.texts) for index in range(len(ODD_IDS))]
    requests = [trial.request(index, id=name) for index, name in zip(indices, ODD_IDS, strict=True)]
    for index, speech in zip(indices, trial.speak(requests), strict=True):
        if speech.phonemes != trial.alone(index).phonemes:
            raise FaultError(f"the answer to {trial.texts[index]!r} reads as another text: {speech.phonemes!r}")
    return f"{len(requests)} requests"


def largest_batch(trial: Trial) -> str:
    """A call with as many requests as `spec.max_batch` allows is answered in full."""
    size = trial.spec.max_batch
    if size < 1:
        raise FaultError(f"the spec says max_batch={size}")
    size = min(size, LARGEST_TRIED)
    requests = [trial.request(trial.shortest, id=str(number)) for number in range(size)]
    if bad := [speech for speech in trial.speak(requests) if speech.status != "ok"]:
        raise FaultError(f"in a batch of {size}, {len(bad)} are not spoken, first: {bad[0].reason}")
    return f"{size} at once"


def _need_exact_batches(trial: Trial) -> None:
    if not trial.spec.batch_exact:
        raise NotApplicableError("the spec does not declare batch_exact")
    if trial.spec.max_batch < 2:
        raise NotApplicableError("the engine speaks one sentence at a time (max_batch=1)")


def _parts(texts: int, max_batch: int) -> list[list[int]]:
    """Neighbours shorter and longer, and all of them shuffled; indices of texts."""
    everything = list(range(max(4, texts)))
    random.Random(0).shuffle(everything)
    parts: list[Sequence[int]] = [[0, 1], [1, 0], [2, 0, 1], everything]
    return [[index % texts for index in part][:max_batch] for part in parts]


def _varied(trial: Trial) -> list[Request]:
    """One request for each of some options, with a value half way to its lower bound, where speech is cheapest."""
    found = []
    for name, option in trial.spec.options.items():
        value = trial.options[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or option.low is None or value <= option.low:
            continue
        half = type(value)((value + option.low) / 2)
        found.append(trial.request(trial.shortest, id=name, options=trial.options | {name: half}))
    return found[:VARIED]
