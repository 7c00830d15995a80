"""What a check of the conformance suite comes to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One check's outcome. ok: None where the check does not apply; detail: one sentence, why or what was measured."""

    check: str
    ok: bool | None
    detail: str

    def __str__(self) -> str:
        word = {True: "ok", False: "FAILED", None: "n/a"}[self.ok]
        return f"{self.check}: {word}: {self.detail}"


class FaultError(Exception):
    """The engine does not do what the protocol or its own spec says."""


class NotApplicableError(Exception):
    """The engine does not claim what the check would hold it to."""
