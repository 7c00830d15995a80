"""`--phonemes-from`: only what was read of these very sentences, in this engine's symbols, is spoken again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.engines import EngineSpec
from evalkit.errors import EvalkitError
from evalkit.pipeline.phonemes import chosen_phonemes, read_phonemes
from evalkit.pipeline.plan import utterances
from evalkit.runs.table import NESTED, TEXT, WHOLE, write_scores
from evalkit.suites import Item

SPEC = EngineSpec("kokoro", "1", (), 24000, "misaki 0.9.4", phonemes=True)
PLANNED = utterances([Item("a", "Room 2.", "Room two.", (), ())], 2, 0)


def run(folder: Path, read: Sequence[tuple[str, str | None]], engine: str = "kokoro", front_end: str = "") -> Path:
    """A finished run with these texts and phonemes for the repeats of the item "a"."""
    (folder / "manifest.json").write_text(
        json.dumps({"engine": {"name": engine, "front_end": front_end or SPEC.front_end}})
    )
    (folder / "summary.json").write_text("{}")
    empty = {**dict.fromkeys(TEXT), **dict.fromkeys(WHOLE, 0), **{name: {} for name in NESTED}}
    rows = [
        {**empty, "utterance": f"a.r{n}", "item": "a", "read": text, "phonemes": phonemes}
        for n, (text, phonemes) in enumerate(read)
    ]
    write_scores(folder / "scores.parquet", rows, [])
    return folder


def test_every_repeat_is_read_as_the_run_read_it(tmp_path: Path) -> None:
    found = read_phonemes(run(tmp_path, [("Room two.", "rum tu"), ("Room two.", None)]))
    assert chosen_phonemes(SPEC, found, PLANNED) == {"a.r0": "rum tu", "a.r1": "rum tu"}
    assert chosen_phonemes(SPEC, {}, PLANNED) == {}


def test_a_sentence_is_the_one_that_the_engine_is_given(tmp_path: Path) -> None:
    found = read_phonemes(run(tmp_path, [("Room 2.", "rum tu")]))
    with pytest.raises(EvalkitError, match="other sentences for a: take a run of this suite"):
        chosen_phonemes(SPEC, found, PLANNED)
    assert len(chosen_phonemes(replace(SPEC, reads_digits=True), found, PLANNED)) == 2


def test_symbols_of_another_engine_are_refused(tmp_path: Path) -> None:
    found = read_phonemes(run(tmp_path, [("Room two.", "R UW M")], engine="flite", front_end="flite 2.2"))
    with pytest.raises(EvalkitError, match="of the engine 'flite', whose symbols are not those of 'kokoro'"):
        chosen_phonemes(SPEC, found, PLANNED)


def test_another_version_of_the_front_end_is_what_is_to_be_held_fixed(tmp_path: Path) -> None:
    found = read_phonemes(run(tmp_path, [("Room two.", "rum tu")], front_end="espeak-ng 1.52.0 en-us by misaki"))
    assert len(chosen_phonemes(SPEC, found, PLANNED)) == 2


def test_one_front_end_before_two_engines_has_one_set_of_symbols(tmp_path: Path) -> None:
    found = read_phonemes(run(tmp_path, [("Room two.", "rum tu")], engine="kokoro-gguf"))
    assert len(chosen_phonemes(SPEC, found, PLANNED)) == 2


def test_repeats_that_differ_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match="the repeats of a were read in different ways"):
        read_phonemes(run(tmp_path, [("Room two.", "rum tu"), ("Room two.", "room two")]))


def test_a_run_without_phonemes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match="that run has no phonemes"):
        read_phonemes(run(tmp_path, [("Room two.", None)]))
