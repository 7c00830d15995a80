"""How a suite is spoken."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evalkit.engines.remote import UTTERANCE_S
from evalkit.errors import EvalkitError
from evalkit.pipeline.voices import NO_CHOICE, VoiceChoice


@dataclass(frozen=True)
class Speaking:
    """Which items of which suite are spoken, with which engine, voice and options, and how often.

    suite: name or path. engine: also "NAME: ARGUMENT", or an address; None tells it from the weights. settings: options
    and files of the engine, "name=value". base: of a LoRA adapter, if not the one it names. voice: else as
    `prepare_voice` finds it. phonemes_from: a run whose phonemes are spoken instead of what the front end makes of the
    text. items: patterns of ids and tags; none for all. utterance_s: how long one utterance may take where the engine
    has a process of its own. latency: one utterance at a time, timed as a listener would.
    """

    suite: str = "smoke"
    engine: str | None = None
    settings: tuple[str, ...] = ()
    base: Path | None = None
    voice: VoiceChoice = NO_CHOICE
    phonemes_from: Path | None = None
    items: tuple[str, ...] = ()
    repeats: int = 1
    seed: int = 0
    utterance_s: float = UTTERANCE_S
    latency: bool = False

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise EvalkitError(f"--repeats {self.repeats}: at least 1.")
