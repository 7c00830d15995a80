"""Phonemes of an earlier run, spoken again: what then differs between two checkpoints is their weights alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.engines import EngineSpec
from evalkit.errors import EvalkitError, some
from evalkit.pipeline.plan import Utterance
from evalkit.runs.folder import open_run
from evalkit.runs.table import read_scores


@dataclass(frozen=True)
class Reading:
    """What an engine made of a text. text: as it was given to the engine; front_end: what read it."""

    phonemes: str
    text: str
    engine: str
    front_end: str


def read_phonemes(run: Path) -> dict[str, Reading]:
    """Item -> what was read in a run. Raises EvalkitError if the run has no phonemes, or two for one item."""
    folder = open_run(run)
    engine = folder.manifest()["engine"] or {}
    found: dict[str, Reading] = {}
    differing: dict[str, None] = {}
    for row in read_scores(folder.scores_path):
        if not row.get("phonemes"):
            continue
        item = str(row["item"])
        reading = Reading(str(row["phonemes"]), str(row["read"]), str(engine.get("name")), str(engine.get("front_end")))
        if found.setdefault(item, reading) != reading:
            differing[item] = None
    if not found:
        raise EvalkitError(f"--phonemes-from {run}: that run has no phonemes; its engine reads none.")
    if differing:
        raise EvalkitError(
            f"--phonemes-from {run}: the repeats of {some(list(differing))} were read in different ways, so there is "
            "no one reading to hold fixed; take a run without --repeats."
        )
    return found


def chosen_phonemes(spec: EngineSpec, phonemes: Mapping[str, Reading], planned: Sequence[Utterance]) -> dict[str, str]:
    """Utterance -> what it is to be read as, {} where nothing was chosen.

    Raises EvalkitError if the engine takes no phonemes, the run is of an engine with other symbols, an item has no
    phonemes, or another text than in that run: half a run read in another way would be two systems in one table.
    Another version of the front end is no obstacle: its symbols are the engine's, and what it reads is what is held.
    """
    if not phonemes:
        return {}
    if not spec.phonemes:
        raise EvalkitError(f"The engine '{spec.name}' takes no phonemes: leave --phonemes-from out.")
    other = next((r for r in phonemes.values() if r.engine != spec.name and r.front_end != spec.front_end), None)
    if other is not None:
        raise EvalkitError(
            f"The run of --phonemes-from is of the engine '{other.engine}', whose symbols are not those of "
            f"'{spec.name}': take a run of '{spec.name}'."
        )
    missing = {utterance.item.id: None for utterance in planned if utterance.item.id not in phonemes}
    if missing:
        raise EvalkitError(
            f"The run of --phonemes-from has no phonemes for {some(list(missing))}; choose items by --items."
        )
    changed = {u.item.id: None for u in planned if phonemes[u.item.id].text != _given(spec, u)}
    if changed:
        raise EvalkitError(
            f"The run of --phonemes-from has other sentences for {some(list(changed))}: take a run of this suite."
        )
    return {utterance.id: phonemes[utterance.item.id].phonemes for utterance in planned}


def _given(spec: EngineSpec, utterance: Utterance) -> str:
    """The text that the engine is given."""
    return utterance.item.text if spec.reads_digits else utterance.item.spoken
