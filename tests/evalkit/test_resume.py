"""kill -9 at any moment, rerun: the same numbers, and nothing that was stored is made again."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from evalkit.runs.log import UtteranceLog

KILLS = 20
REPEATS = 12  # of ten items: enough batches to be killed in between
UTTERANCES = 10 * REPEATS
TIMINGS = {"rtf", "total_s"}


def command(checkpoint: Path, out: Path) -> list[str]:
    code = "from evalkit.cli.main import main; main()"
    metrics = "signal,energy,wada_snr,speaker_similarity"
    return [
        *(sys.executable, "-c", code, "run", str(checkpoint), "--suite", "smoke", "--repeats", str(REPEATS)),
        *("--metrics", metrics, "--out", str(out), "--quiet", "--no-cache"),
    ]


def only_run(out: Path) -> Path | None:
    folders = [path for path in out.glob("*-smoke-*") if path.is_dir()]
    assert len(folders) <= 1, "a rerun goes on in the same folder"
    return folders[0] if folders else None


def stored(out: Path) -> dict[str, int]:
    """Utterance -> modification time of its audio, for what the log holds as whole batches."""
    folder = only_run(out)
    if folder is None or not (folder / "utterances.jsonl").exists():
        return {}
    rows = UtteranceLog(folder / "utterances.jsonl").rows
    return {row["utterance"]: (folder / row["audio"]).stat().st_mtime_ns for row in rows}


def written(out: Path) -> int:
    """Lines of the log of a run in progress, which is not touched."""
    logs = list(out.glob("*-smoke-*/utterances.jsonl"))
    return logs[0].read_bytes().count(b"\n") if logs else 0


def scores(out: Path) -> dict[str, list[object]]:
    folder = only_run(out)
    assert folder is not None
    table = pq.read_table(folder / "scores.parquet").to_pydict()
    return {name: values for name, values in table.items() if name not in TIMINGS}


@pytest.mark.slow
def test_kill_minus_nine_at_twenty_random_moments(checkpoint: Path, tmp_path: Path) -> None:
    subprocess.run(command(checkpoint, tmp_path / "whole"), check=True, capture_output=True)
    expected = scores(tmp_path / "whole")
    assert len(expected["utterance"]) == UTTERANCES

    moments = random.Random(20)
    out, attempt = tmp_path / "killed-0", 0
    midway = 0
    for _ in range(KILLS):
        before = stored(out)
        process = subprocess.Popen(command(checkpoint, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # By progress and not by the clock, so that a busy machine is killed at the same places as a quiet one.
        stop_at = moments.randrange(UTTERANCES)
        while process.poll() is None and written(out) <= stop_at:
            time.sleep(0.005)
        time.sleep(moments.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        after = stored(out)
        assert before.items() <= after.items(), "what was stored is neither lost nor made again"
        midway += 0 < len(after) < UTTERANCES
        if len(after) == UTTERANCES:
            subprocess.run(command(checkpoint, out), check=True, capture_output=True)
            assert stored(out) == after
            assert scores(out) == expected
            attempt += 1
            out = tmp_path / f"killed-{attempt}"
    before = stored(out)
    subprocess.run(command(checkpoint, out), check=True, capture_output=True)
    assert before.items() <= stored(out).items()
    assert scores(out) == expected
    assert midway >= 2, "some of the kills must have hit a half-finished run"


def test_interrupt_exits_with_130_and_says_how_to_go_on(checkpoint: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(command(checkpoint, tmp_path), stderr=subprocess.PIPE, text=True)
    while only_run(tmp_path) is None and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=120)
    assert process.returncode == 130, message
    assert "give the same command again to go on" in message and "Traceback" not in message


def test_two_processes_never_write_one_run(checkpoint: Path, tmp_path: Path) -> None:
    first = subprocess.Popen(command(checkpoint, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while (only_run(tmp_path) is None or not stored(tmp_path)) and first.poll() is None:
        time.sleep(0.05)
    second = subprocess.run(command(checkpoint, tmp_path), capture_output=True, text=True, check=False)
    still_running = first.poll() is None
    first.wait()
    if still_running:
        assert second.returncode == 2 and "Another process is writing" in second.stderr
    else:
        assert second.returncode == 0
    assert len(scores(tmp_path)["utterance"]) == UTTERANCES
