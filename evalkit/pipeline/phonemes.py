"""Phonemes of an earlier run, spoken again: what then differs between two checkpoints is their weights alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from evalkit.engines import EngineSpec
from evalkit.errors import EvalkitError, some
from evalkit.pipeline.plan import Utterance
from evalkit.runs.folder import open_run
from evalkit.runs.table import read_scores


def read_phonemes(run: Path) -> dict[str, str]:
    """Item -> the phonemes that were read in a run. Raises EvalkitError if the run has none."""
    rows = read_scores(open_run(run).scores_path)
    found = {str(row["item"]): str(row["phonemes"]) for row in rows if row.get("phonemes")}
    if not found:
        raise EvalkitError(f"--phonemes-from {run}: that run has no phonemes; its engine reads none.")
    return found


def chosen_phonemes(spec: EngineSpec, phonemes: Mapping[str, str], planned: Sequence[Utterance]) -> dict[str, str]:
    """Utterance -> what it is to be read as, {} where nothing was chosen.

    Raises EvalkitError if the engine takes no phonemes, or an item has none: half a run read in another way would be
    two systems in one table.
    """
    if not phonemes:
        return {}
    if not spec.phonemes:
        raise EvalkitError(f"The engine '{spec.name}' takes no phonemes: leave --phonemes-from out.")
    missing = [utterance.item.id for utterance in planned if utterance.item.id not in phonemes]
    if missing:
        raise EvalkitError(f"The run of --phonemes-from has no phonemes for {some(missing)}; choose items by --items.")
    return {utterance.id: phonemes[utterance.item.id] for utterance in planned}
