"""Whether a speech is well formed, and how far two are apart."""

from __future__ import annotations

import json
from typing import get_args

import torch

from evalkit.engines.base import Speech, Status
from evalkit.engines.conformance.findings import FaultError

EXACT = 1e-4  # what `batch_exact` allows, of full scale
CHANGED = 1e-5  # a difference beyond this is no rounding error
LOUDEST = 100.0  # random weights may overdrive; samples on the scale of 16-bit integers are a mistake
QUIETEST = 1e-5  # root mean square


def difference(a: Speech, b: Speech) -> float:
    """The largest difference of two speeches' samples; infinite if their status or length differs."""
    if a.status != b.status or a.audio.shape != b.audio.shape:
        return float("inf")
    if not a.audio.numel():
        return 0.0
    return float((a.audio.double() - b.audio.double()).abs().max().nan_to_num(nan=float("inf")))


def apart(a: Speech, b: Speech) -> str:
    """The difference in words."""
    if a.status != b.status:
        return f"the status is {a.status} and {b.status}"
    if a.audio.shape != b.audio.shape:
        return f"the lengths are {len(a.audio)} and {len(b.audio)} samples"
    return f"samples differ by {difference(a, b):.1e}"


def check_form(speech: Speech, what: str) -> None:
    """Raises FaultError unless status, reason and audio are as the protocol says."""
    if speech.status not in get_args(Status):
        raise FaultError(f"{what}: {speech.status!r} is no status of the protocol")
    if speech.status == "ok":
        check_audio(speech, what)
    elif not (speech.reason or "").strip():
        raise FaultError(f"{what}: the status {speech.status} comes without a reason")
    elif speech.audio.numel():
        raise FaultError(f"{what}: the status is {speech.status}, yet there are {speech.audio.numel()} samples")


def check_audio(speech: Speech, what: str) -> None:
    """Raises FaultError unless it is audible, finite, float32 [samples] of a possible level, with details for JSON."""
    audio = speech.audio
    if audio.dtype != torch.float32 or audio.ndim != 1:
        raise FaultError(f"{what}: the audio is {audio.dtype} {list(audio.shape)} instead of float32 [samples]")
    if audio.requires_grad:
        raise FaultError(f"{what}: the audio requires a gradient, which keeps all of the computation in memory")
    if not audio.numel() or not bool(audio.isfinite().all()):
        raise FaultError(f"{what}: the audio is empty or not finite, yet its status is ok")
    if float(audio.square().mean().sqrt()) < QUIETEST:
        raise FaultError(f"{what}: the audio is silent, yet its status is ok")
    if (peak := float(audio.abs().max())) > LOUDEST:
        raise FaultError(f"{what}: the peak is {peak:.0f}, where full scale is 1")
    try:
        json.dumps(dict(speech.details))
    except (TypeError, ValueError) as error:
        raise FaultError(f"{what}: the details are not what JSON can hold ({error})") from error
