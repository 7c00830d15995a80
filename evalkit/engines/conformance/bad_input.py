"""Checks of bad requests: a status and a reason, never an exception, and the neighbours are spoken all the same."""

from __future__ import annotations

from typing import Any

from evalkit.engines.base import Request, Speech
from evalkit.engines.conformance.comparing import EXACT, apart, check_form, difference
from evalkit.engines.conformance.findings import FaultError, NotApplicableError
from evalkit.engines.conformance.trial import Trial

OVER_LONG = 5000  # characters
NONSENSE = "☃ ☃ ☃"


def texts(trial: Trial) -> str:
    """Empty, blank, over-long and unreadable texts get a status; the good texts of the same batch are spoken."""
    good = trial.texts[0]
    bad = {
        "an empty text": "",
        "a blank text": " \n\t ",
        "a text of unknown symbols": NONSENSE,
        "a text with an unknown symbol": f"{good} ☃",
        f"a text of over {OVER_LONG} characters": " ".join([good] * (OVER_LONG // (len(good) + 1) + 1)),
    }
    requests = [trial.request(0, id=what, text=text) for what, text in bad.items()]
    speeches = _among_good(trial, requests)
    for what in ("an empty text", "a blank text"):
        if speeches[what].status == "ok":
            raise FaultError(f"{what} is spoken, with {len(speeches[what].audio)} samples and the status ok")
    return ", ".join(f"{what}: {speech.status}" for what, speech in speeches.items())


def bad_options(trial: Trial) -> str:
    """Option values out of range or of the wrong type, unknown options, unreadable overrides: no exception."""
    requests = []
    for name, option in trial.spec.options.items():
        for number, value in enumerate(_bad_values(option)):
            changed = trial.options | {name: value}
            requests.append(trial.request(trial.shortest, id=f"{name} {number}", options=changed))
    unknown = trial.options | {"no_such_option": 1}
    requests.append(trial.request(trial.shortest, id="unknown option", options=unknown))
    requests.append(trial.request(trial.shortest, id="bad phonemes", phonemes=NONSENSE))
    requests.append(trial.request(trial.shortest, id="bad reading", readings={trial.texts[0].split()[0]: "☃1 XX"}))
    speeches = _among_good(trial, requests)
    refused = sum(speech.status != "ok" for speech in speeches.values())
    return f"{refused} of {len(speeches)} refused, the others ignored"


def _among_good(trial: Trial, requests: list[Request]) -> dict[str, Speech]:
    """Speak bad requests between two good ones. Raises FaultError if one raises, or if a good one suffers."""
    before, after = trial.request(0, id="good before"), trial.request(1, id="good after")
    try:
        first, *speeches, last = trial.speak([before, *requests, after])
    except (FaultError, NotApplicableError):
        raise
    except Exception as error:
        raise FaultError(f"{_culprit(trial, requests)} raises {type(error).__name__}: {error}") from error
    for index, speech in ((0, first), (1, last)):
        if speech.status != "ok":
            raise FaultError(f"beside bad requests, a good one gets the status {speech.status}: {speech.reason}")
        if trial.spec.batch_exact and difference(trial.alone(index), speech) > EXACT:
            raise FaultError(f"beside bad requests, a good one changes: {apart(trial.alone(index), speech)}")
    for request, speech in zip(requests, speeches, strict=True):
        check_form(speech, request.id)
    return {speech.id: speech for speech in speeches}


def _culprit(trial: Trial, requests: list[Request]) -> str:
    for request in requests:
        try:
            trial.one(request)
        except Exception:
            return request.id
    return "a batch of bad requests"


def _bad_values(option: Any) -> list[Any]:
    """Values that the option does not take, all of which JSON can hold."""
    wrong: list[Any] = [None, [1]]
    if isinstance(option.default, str):
        return [*wrong, 7, *(["no such choice"] if option.choices else [])]
    wrong.append("a lot")
    wrong.extend(bound for bound in (_beyond(option.low, -1), _beyond(option.high, 1)) if bound is not None)
    return wrong


def _beyond(bound: float | None, step: int) -> float | None:
    return None if bound is None else bound + step
