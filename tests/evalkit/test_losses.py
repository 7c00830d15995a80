"""Losses as trainings log them: which curve is meant, and what it was at each checkpoint."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from commands import VOICES

from evalkit.decisions.select.losses import WINDOW, Log, choose_losses, read_log
from evalkit.errors import EvalkitError


def written(folder: Path, name: str, text: str) -> Log:
    (folder / name).write_text(text)
    return read_log(folder / name)


def names(log: Log) -> list[str]:
    return [loss.name for loss in choose_losses(log, "step", ())[0]]


def test_the_log_of_the_fixture_has_its_total_and_by_name_its_held_out_curve() -> None:
    log = read_log(VOICES / "overlong" / "losses.csv")
    losses, notice = choose_losses(log, "step", ("train_total", "held_out_envelope"))
    assert [(loss.name, loss.role) for loss in losses] == [
        ("train_total", "training"),
        ("held_out_envelope", "validation"),
    ]
    assert notice is None
    assert names(log) == ["train_total"], "no name of the others says that it is a loss"
    assert losses[0].at([50])[0] == 0.81766


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("step,loss", ["loss"]),
        ("step,lr,eval_loss,grad_norm,train_loss", ["train_loss", "eval_loss"]),
        ("global_step,train/loss_mel,train/total_loss,val/loss_mel,val/loss", ["train/total_loss", "val/loss"]),
        ("step,dev_accuracy,loss", ["loss"]),
        ("step,train/nll,eval/perplexity,eval/wer", ["train/nll", "eval/perplexity"]),
        ("step,train_ce,val_cross_entropy", ["train_ce", "val_cross_entropy"]),
        ("step,train/total,val/total", ["train/total", "val/total"]),
    ],
)
def test_the_whole_loss_is_chosen_and_nothing_that_is_no_loss(tmp_path: Path, header: str, chosen: list[str]) -> None:
    log = written(tmp_path, "log.csv", f"{header}\n{','.join('1' for _ in header.split(','))}\n")
    assert names(log) == chosen


def test_a_trainers_state_and_json_lines_are_read_and_the_epoch_is_an_axis_too(tmp_path: Path) -> None:
    history = [{"step": 10, "epoch": 1.0, "loss": 2.0}, {"step": 10, "epoch": 1.0, "eval_loss": 3.0}]
    state = written(tmp_path, "trainer_state.json", json.dumps({"log_history": history, "best": None}))
    lines = written(tmp_path, "log.jsonl", "\n".join(map(json.dumps, history)))
    for log in (state, lines):
        assert names(log) == ["loss", "eval_loss"]
        assert choose_losses(log, "epoch", ("eval_loss",))[0][0].points == ((1.0, 3.0),)


def test_nested_records_are_flattened(tmp_path: Path) -> None:
    log = written(tmp_path, "log.jsonl", '{"step": 1, "train": {"loss": 0.5}, "val": {"loss": 0.7}}\n')
    assert names(log) == ["train/loss", "val/loss"]


def test_the_loss_at_a_checkpoint_is_the_mean_of_the_last_values_up_to_it_and_none_from_before_the_one_before(
    tmp_path: Path,
) -> None:
    rows = "".join(f"{step},{step / 100}\n" for step in range(1, 121))
    (loss,), _ = choose_losses(written(tmp_path, "log.csv", f"step,loss\n{rows}"), "step", ())
    at = loss.at([50, 52, 119, 120, 500])
    assert at[0] == pytest.approx(sum(range(51 - WINDOW, 51)) / WINDOW / 100)
    assert at[1] == pytest.approx(0.515)  # 51 and 52 alone: 50 belongs to the checkpoint before
    assert at[3] == pytest.approx(1.20)
    assert at[4] is None  # nothing was logged after step 120


def test_a_step_that_was_logged_again_after_a_restart_counts_once(tmp_path: Path) -> None:
    log = written(tmp_path, "log.csv", "step,loss\n1,5\n2,9\n2,4\n3,3\n")
    assert choose_losses(log, "step", ())[0][0].points == ((1, 5), (2, 4), (3, 3))


def test_values_that_are_no_numbers_are_left_out_and_counted(tmp_path: Path) -> None:
    log = written(tmp_path, "log.jsonl", '{"step": 1, "loss": NaN}\n{"step": 2, "loss": 1.0}\n')
    assert log.skipped == 1
    assert choose_losses(log, "step", ())[0][0].points == ((2, 1.0),)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("log.csv", "epochs_done,value\n1,2\n", "a column 'step' or 'epoch'"),
        ("log.csv", "step,lr\n1,2\n", "no column that is called a loss (lr)"),
        ("log.csv", "step,loss\nfirst,2\n", "line 2: 'first' in the column 'step'"),
        ("log.jsonl", '{"step": 1}\n{"ste', "line 2 is no JSON"),
        ("log.jsonl", "[1]\n", "line 1 is no object"),
        ("state.json", '{"a": 1}', "no list 'log_history'"),
        ("log.txt", "1", "losses are read from"),
        ("log.csv", "step,loss\n10,0.1\n20,0,9\n", "line 3: there are 3 cells under 2 columns"),
        ("log.csv", "step,loss,loss\n10,1,2\n", "line 1: two columns are called 'loss'"),
        ("log.jsonl", '{"log_history": [1, 2]}\n', "line 1: 'log_history' is no list of records"),
    ],
)
def test_what_cannot_be_used_is_said_with_the_file_and_the_line(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    with pytest.raises(EvalkitError) as error:
        choose_losses(written(tmp_path, name, text), "step", ())
    assert says in str(error.value)
    assert name in str(error.value)


def test_an_unknown_loss_and_checkpoints_without_steps_are_refused(tmp_path: Path) -> None:
    log = written(tmp_path, "log.csv", "step,train_loss\n1,2\n")
    with pytest.raises(EvalkitError, match="did you mean 'train_loss'"):
        choose_losses(log, "step", ("trainloss",))
    with pytest.raises(EvalkitError, match="matched by steps"):
        choose_losses(log, "place", ())
    with pytest.raises(EvalkitError, match="no losses by epoch"):
        choose_losses(log, "epoch", ())
    with pytest.raises(EvalkitError, match="do not exist"):
        read_log(tmp_path / "nothing.csv")


def test_tensorboard_events_are_read_by_its_own_reader(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(tmp_path / "run"))
    for step in range(1, 31):
        value = Summary.Value(tag="train/loss", simple_value=1 / step)
        writer.add_event(Event(step=step, summary=Summary(value=[value])))
    writer.close()
    (loss,), _ = choose_losses(read_log(tmp_path), "step", ())
    assert (loss.name, len(loss.points)) == ("train/loss", 30)
    assert loss.points[-1] == (30.0, pytest.approx(1 / 30))
    with pytest.raises(EvalkitError, match="no TensorBoard events"):
        (tmp_path / "empty").mkdir()
        read_log(tmp_path / "empty")


def test_without_tensorboard_one_sentence_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_accumulator", None)
    with pytest.raises(EvalkitError, match=r"evalkit\[tensorboard\]"):
        read_log(tmp_path)


def test_a_score_of_an_evaluation_is_no_loss_unless_somebody_says_so(tmp_path: Path) -> None:
    log = written(tmp_path, "log.csv", "step,train_loss,eval_mos,val_pesq,loss_scale\n1,2,3,3,9\n2,1,2,2,9\n")
    assert names(log) == ["train_loss"]
    assert choose_losses(log, "step", ("eval_mos",))[0][0].role == "validation"


def test_several_parts_of_a_validation_loss_and_none_that_is_the_whole(tmp_path: Path) -> None:
    log = written(tmp_path, "log.csv", "step,train_total,val_loss_mel,val_loss_f0\n1,2,3,4\n")
    losses, notice = choose_losses(log, "step", ())
    assert [loss.name for loss in losses] == ["train_total", "val_loss_mel"]
    assert notice and "val_loss_mel stands for it" in notice
