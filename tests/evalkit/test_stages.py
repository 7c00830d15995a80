"""A run in stages, weights in memory, and an engine kept between runs: the same numbers as without them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import QUICK, VOICES

from evalkit.checkpoints import canonical, read_checkpoint
from evalkit.errors import EvalkitError
from evalkit.pipeline.engine_setup import EngineKeeper
from evalkit.pipeline.job import Options
from evalkit.pipeline.run import run_checkpoint, run_stages
from evalkit.pipeline.speaking import Speaking
from evalkit.pipeline.weights import Made, read_weights
from evalkit.runs.folder import open_run
from evalkit.runs.table import read_scores
from evalkit.suites import load_suite

MERGED = VOICES / "merged.pth"
SPEAKING = Speaking("smoke", items=("sm-001", "sm-002", "sm-004", "sm-005"))
STAGES = (("sm-004",), ("sm-001", "sm-005"), ("sm-002",))


def options(out: Path) -> Options:
    return Options(out=out, metrics=tuple(QUICK.split(",")), cache=False)


def scores(folder: Path) -> dict[str, float]:
    return {row["utterance"]: row["energy_mean_db"] for row in read_scores(open_run(folder).scores_path)}


def test_the_suite_has_the_items_that_these_tests_name() -> None:
    assert set(SPEAKING.items) <= {item.id for item in load_suite("smoke").items}


def test_a_stage_speaks_its_items_and_the_next_goes_on(tmp_path: Path) -> None:
    announced: list[tuple[int, int]] = []

    def announce(folder: object, planned: int, done: int) -> object:
        announced.append((planned, done))
        return lambda utterances, seconds: None

    first = run_stages(MERGED, SPEAKING, options(tmp_path), STAGES, 1, announce)  # type: ignore[arg-type]
    assert [row["item"] for row in first.rows] == ["sm-004"] and first.finished is None
    with pytest.raises(EvalkitError, match="never finished"):
        open_run(first.folder.path)
    made = (first.folder.path / "audio" / "sm-004.r0.flac").stat().st_mtime_ns

    second = run_stages(MERGED, SPEAKING, options(tmp_path), STAGES, 2, announce)  # type: ignore[arg-type]
    assert second.folder.path == first.folder.path and second.finished is None
    assert {row["item"] for row in second.rows} == {"sm-004", "sm-001", "sm-005"}

    last = run_stages(MERGED, SPEAKING, options(tmp_path), STAGES, 3, announce)  # type: ignore[arg-type]
    assert last.finished is not None and last.finished.summary["coverage"]["ok"] == 4
    assert announced == [(1, 0), (3, 1), (4, 3)]
    assert (first.folder.path / "audio" / "sm-004.r0.flac").stat().st_mtime_ns == made, "spoken once"


def test_stages_change_no_score(tmp_path: Path) -> None:
    whole = run_checkpoint(MERGED, SPEAKING, options(tmp_path))
    staged = run_stages(MERGED, SPEAKING, options(tmp_path), STAGES, 3)
    assert staged.folder.path != whole.folder.path, "where batches end is part of a run's identity"
    assert scores(staged.folder.path) == pytest.approx(scores(whole.folder.path), abs=1e-4)


def test_one_stage_is_the_run_itself(tmp_path: Path) -> None:
    whole = run_checkpoint(MERGED, SPEAKING, options(tmp_path))
    one = run_stages(MERGED, SPEAKING, options(tmp_path), [SPEAKING.items], 1)
    assert one.folder.path == whole.folder.path


def test_weights_in_memory_are_the_run_of_their_file(tmp_path: Path) -> None:
    whole = run_checkpoint(MERGED, SPEAKING, options(tmp_path / "a"))
    made = Made("merged", read_weights(MERGED), MERGED)
    memory = run_checkpoint(made, SPEAKING, options(tmp_path / "b"))
    assert memory.folder.path.name == whole.folder.path.name
    assert scores(memory.folder.path) == scores(whole.folder.path)


def test_broken_weights_in_memory_are_refused_by_their_name(tmp_path: Path) -> None:
    weights = read_weights(MERGED)
    broken = {**weights.tensors, "predictor.to_duration.bias": torch.tensor([float("nan")])}
    with pytest.raises(EvalkitError, match=r"worse holds NaN or Inf in 1 tensor"):
        run_checkpoint(Made("worse", replace(weights, tensors=broken)), SPEAKING, options(tmp_path))


def test_a_kept_engine_speaks_with_the_weights_of_each_run(tmp_path: Path) -> None:
    alone = {
        name: run_checkpoint(VOICES / f"{name}.pth", SPEAKING, options(tmp_path / "a")) for name in ("sarah", "sumit")
    }
    with EngineKeeper() as keeper:
        kept = {
            name: run_checkpoint(VOICES / f"{name}.pth", SPEAKING, options(tmp_path / "b"), keeper=keeper)
            for name in ("sarah", "sumit", "sarah")
        }
    for name, finished in alone.items():
        assert scores(kept[name].folder.path) == scores(finished.folder.path)


def test_an_engine_is_started_once_and_again_after_it_refused_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evalkit.pipeline import engine_setup

    started: list[str] = []
    original = engine_setup.start

    def counted(name: str, *rest: object) -> object:
        started.append(name)
        return original(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(engine_setup, "start", counted)
    tensors = dict(canonical(read_checkpoint(MERGED).tensors).tensors)
    missing = {key: tensor for key, tensor in tensors.items() if key != "predictor.to_duration.bias"}
    with EngineKeeper() as keeper:
        for name in ("sarah", "sumit"):
            run_checkpoint(VOICES / f"{name}.pth", SPEAKING, options(tmp_path), keeper=keeper)
        assert started == ["tinytts"]
        broken = Made("broken", replace(read_weights(MERGED), tensors=missing))
        with pytest.raises(EvalkitError, match=r"predictor\.to_duration\.bias"):
            run_checkpoint(broken, SPEAKING, options(tmp_path), keeper=keeper)
        run_checkpoint(MERGED, SPEAKING, options(tmp_path), keeper=keeper)
        assert started == ["tinytts", "tinytts"]


def test_names_of_a_failed_utterance_count_as_wrong_from_the_table_too(tmp_path: Path) -> None:
    """The table of a run keeps what was to be heard, so that a comparison counts what a summary counts."""
    from evalkit.decisions.scores import open_scores

    speaking = Speaking("smoke", items=("sm-001", "sm-002"))
    finished = run_checkpoint(MERGED, speaking, replace(options(tmp_path), metrics=("wer",), judges="bundled"))
    rows = read_scores(finished.folder.scores_path)
    logged = {row["utterance"]: row["entities"] for row in rows}
    assert any(logged.values())
    assert open_scores(finished.folder.path).counts("entity_wer_corpus")
