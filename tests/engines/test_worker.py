"""An engine in a process of its own: the same speech, and nothing that it does takes the run with it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hostile_engine import Hostile

from evalkit.engines import Request, Setup
from evalkit.engines.base import EngineGoneError, StreamError
from evalkit.engines.process import last_words
from evalkit.engines.remote import RemoteEngine
from evalkit.engines.source import source_folder
from evalkit.errors import EvalkitError

TARGET = "hostile_engine:Hostile"
WEIGHTS = {"pitch.hertz": torch.tensor(440.0)}


def requests(*texts: str) -> list[Request]:
    return [Request(f"r{number}", text, seed=number) for number, text in enumerate(texts)]


@pytest.fixture
def remote() -> Iterator[RemoteEngine]:
    with RemoteEngine(Hostile.spec, TARGET, Path(sys.executable), utterance_s=60.0) as engine:
        engine.load(WEIGHTS)
        yield engine


def test_it_speaks_as_in_process(remote: RemoteEngine, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("w o r d s")
    (tmp_path / "voice").write_text("abc")
    local = Hostile()
    setup = Setup({"words": tmp_path / "words.txt"}, {"gain": 0.5})
    for engine in (local, remote):
        engine.set_up(setup)
        assert engine.load(WEIGHTS) == Hostile().load(WEIGHTS)
    voices = [engine.prepare_voice(tmp_path / "voice", "text") for engine in (local, remote)]
    assert (voices[0].name, voices[0].digest) == (voices[1].name, voices[1].digest)
    said = [
        engine.synthesize([Request("a", "one two", 1, voice, options={"gain": 0.5}), Request("b", "three", 2)])
        for engine, voice in zip((local, remote), voices, strict=True)
    ]
    for ours, theirs in zip(*said, strict=True):
        assert torch.equal(ours.audio, theirs.audio) and ours.audio.dtype == theirs.audio.dtype
        assert (ours.id, ours.status, ours.phonemes, ours.details) == (
            theirs.id,
            theirs.status,
            theirs.phonemes,
            theirs.details,
        )
    assert torch.equal(torch.cat(list(remote.stream(requests("long text")[0]))), local._tone(requests("long text")[0]))
    assert {key: tensor.tolist() for key, tensor in remote.weights().items()} == {"pitch.hertz": 440.0}
    assert list(remote.notes) == ["loaded anew"]


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("exit", "crashed", "exit status 3: the last words of the engine"),
        ("segfault", "crashed", "SIGSEGV: Fatal Python error: Segmentation fault"),
        ("killed", "out_of_memory", "SIGKILL, as the system does when memory runs out"),
    ],
)
def test_a_death_costs_one_utterance(remote: RemoteEngine, text: str, status: str, reason: str) -> None:
    before = remote.synthesize(requests("a text", "another"))
    after: list = []
    pending = requests("a text", text, "another", "a last one")
    while len(after) < len(pending):  # out of memory halves the batch, as the pipeline does
        size = len(pending)
        while True:
            try:
                after += remote.synthesize(pending[len(after) : len(after) + size])
                break
            except torch.OutOfMemoryError:
                size = max(1, size // 2)
    assert [speech.status for speech in after] == ["ok", status, "ok", "ok"]
    assert reason in (after[1].reason or "") and "\n" not in (after[1].reason or "")
    assert torch.equal(after[0].audio, before[0].audio) and torch.equal(after[2].audio, before[1].audio)
    assert remote.restarts >= 1


def test_a_hang_costs_one_utterance_and_the_limit(remote: RemoteEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_limit", lambda pending: 1.5)
    said = remote.synthesize(requests("fine", "hang"))
    assert [speech.status for speech in said] == ["ok", "timed_out"]
    assert "no answer after" in (said[1].reason or "")


def test_the_limit_follows_what_was_measured(remote: RemoteEngine) -> None:
    pending = requests(*["x" * 100] * 100)
    assert remote._limit(pending) == 3600.0
    assert remote._limit(pending[:2]) == 120.0
    remote._slowest = 0.001
    assert remote._limit(pending) == pytest.approx(20 * 0.001 * 10_000)
    remote._slowest = 1e-9
    assert remote._limit(pending) == 60.0


def test_a_worker_that_dies_before_it_ever_spoke_ends_the_run(remote: RemoteEngine) -> None:
    remote.synthesize(requests("exit"))
    remote.synthesize(requests("exit"))
    with pytest.raises(EvalkitError, match="died at 3 utterances before it spoke anything"):
        remote.synthesize(requests("exit"))


def test_after_speech_no_number_of_deaths_ends_the_run(remote: RemoteEngine) -> None:
    remote._slowest = 0.1
    assert [remote.synthesize(requests("exit"))[0].status for _ in range(4)] == ["crashed"] * 4


def test_what_the_engine_raises_is_raised_here(remote: RemoteEngine) -> None:
    with pytest.raises(RuntimeError, match="ValueError: no such sound"):
        remote.synthesize(requests("raise"))
    with pytest.raises(torch.OutOfMemoryError, match="too much at once"):
        remote.synthesize(requests("big", "big"))
    assert remote.synthesize(requests("big"))[0].status == "ok"
    with pytest.raises(EngineGoneError, match="nobody is there"):
        remote.synthesize(requests("gone"))
    with pytest.raises(StreamError, match="no end in sight") as caught:
        list(remote.stream(requests("broken")[0]))
    assert caught.value.status == "truncated"
    with pytest.raises(EvalkitError, match=r"Not weights of hostile: \['other'\]"):
        remote.load({"other": torch.zeros(1)})
    assert remote.restarts == 0


def test_a_refused_load_leaves_the_old_weights_for_a_new_worker(remote: RemoteEngine) -> None:
    before = remote.synthesize(requests("a text"))[0].audio
    with pytest.raises(EvalkitError):
        remote.load({"other": torch.zeros(1)})
    remote._slowest = 0.1
    remote.synthesize(requests("exit"))
    assert torch.equal(remote.synthesize(requests("a text"))[0].audio, before)


def test_a_new_worker_has_the_voices_too(remote: RemoteEngine, tmp_path: Path) -> None:
    (tmp_path / "voice").write_text("abc")
    voice = remote.prepare_voice(tmp_path / "voice", None)
    request = Request("a", "with a voice", 0, voice)
    before = remote.synthesize([request])[0].audio
    remote.synthesize(requests("exit"))
    assert torch.equal(remote.synthesize([request])[0].audio, before)


def test_output_of_packages_does_not_reach_the_pipe(remote: RemoteEngine) -> None:
    assert [speech.status for speech in remote.synthesize(requests("noise", "text"))] == ["ok", "ok"]


def test_a_stream_that_breaks_off_is_an_error_and_the_worker_comes_back(remote: RemoteEngine) -> None:
    with pytest.raises(EvalkitError, match="exit status 3"):
        list(remote.stream(Request("a", "exit", 0)))
    assert remote.synthesize(requests("text"))[0].status == "ok"


def test_a_stream_has_the_time_of_one_utterance_and_no_more() -> None:
    with RemoteEngine(Hostile.spec, TARGET, Path(sys.executable), utterance_s=2.0) as engine:
        engine.load(WEIGHTS)
        for text in ("drip", "flood"):
            with pytest.raises(StreamError, match="no whole answer after 2 seconds") as caught:
                for chunk in engine.stream(Request("a", text, 0)):
                    assert len(chunk)
            assert caught.value.status == "timed_out"
        with pytest.raises(EngineGoneError, match="died at 3 utterances before it spoke anything"):
            list(engine.stream(Request("a", "exit", 0)))


def test_what_was_streamed_counts_as_spoken(remote: RemoteEngine) -> None:
    list(remote.stream(Request("a", "a text", 0)))
    for _ in range(4):
        with pytest.raises(StreamError) as caught:
            list(remote.stream(Request("a", "exit", 0)))
        assert caught.value.status == "crashed"


def test_the_last_words_are_not_a_list_of_modules() -> None:
    stack = (
        'Current thread 0x7f (most recent call first):\n  File "a.py", line 3 in f\n\nExtension modules: numpy._core'
    )
    log = "loading\nwhat(): CUDA error: no kernel image\nFatal Python error: Aborted\n\n" + stack + ", x" * 5000 + "\n"
    assert last_words(log) == "what(): CUDA error: no kernel image / Fatal Python error: Aborted"
    assert last_words("Fatal Python error: Bus error\n") == "Fatal Python error: Bus error"
    assert (last_words("one\n two \n\n"), last_words("")) == ("two", "")


def test_death_while_setting_up_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("die")
    with (
        RemoteEngine(Hostile.spec, TARGET, Path(sys.executable)) as engine,
        pytest.raises(EvalkitError, match="The process of the engine 'hostile' died at 'set_up': exit status 7"),
    ):
        engine.set_up(Setup({"words": tmp_path / "words.txt"}))


def test_an_interpreter_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match=r"cannot start: .*python.* does not start: No such file"):
        RemoteEngine(Hostile.spec, TARGET, tmp_path / "python")


def test_an_engine_that_does_not_import_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"No module named 'evalkit\.engines\.nothing'"):
        RemoteEngine(Hostile.spec, "evalkit.engines.nothing:Nothing", Path(sys.executable))


def test_the_worker_imports_evalkit_and_the_plugin_alone() -> None:
    with source_folder(TARGET) as folder:
        seen = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        assert seen == ["evalkit", "hostile_engine.py", "metrics"]


def test_what_nobody_waited_for_is_no_answer_to_the_next_question(
    remote: RemoteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller that stops in the middle, by Ctrl-C in a notebook or by leaving a loop, must not get old audio."""
    expected = remote.synthesize(requests("the second text"))[0]
    for chunk in remote.stream(Request("a", "a long first text", 0)):
        assert len(chunk)
        break
    assert torch.equal(remote.synthesize(requests("the second text"))[0].audio, expected.audio)
    with monkeypatch.context() as patch:
        patch.setattr(remote._process, "receive", lambda limit: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            remote.synthesize(requests("another text"))
    assert torch.equal(remote.synthesize(requests("the second text"))[0].audio, expected.audio)


def test_weights_in_temporary_files_do_not_outlive_a_kill(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from evalkit.engines import temporary

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    script = "from evalkit.engines.temporary import temporary_folder as t\nimport time\n"
    script += "with t() as f:\n    print(f, flush=True)\n    time.sleep(60)"
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    theirs = Path(owner.stdout.readline().strip())
    (theirs / "weights.safetensors").touch()
    with temporary.temporary_folder() as ours:
        assert theirs.is_dir() and ours.parent == theirs.parent == tmp_path  # its owner lives
        owner.kill()
        owner.wait()
        with temporary.temporary_folder():
            assert not theirs.exists() and ours.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_cannot_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for target in (TARGET, "evalkit.engines.nothing:Nothing"):
        python = Path(sys.executable) if target != TARGET else tmp_path / "no-python"
        with pytest.raises((EvalkitError, RuntimeError)):
            RemoteEngine(Hostile.spec, target, python)
    assert list(tmp_path.iterdir()) == []


def test_the_worker_ends_with_its_caller_even_when_that_is_killed() -> None:
    script = textwrap.dedent(
        f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parents[1] / "support")!r})
        from pathlib import Path
        import torch
        from evalkit.engines import Request
        from evalkit.engines.remote import RemoteEngine
        from hostile_engine import Hostile
        engine = RemoteEngine(Hostile.spec, {TARGET!r}, Path(sys.executable))
        engine.load({{"pitch.hertz": torch.tensor(1.0)}})
        print(engine._process._process.pid, flush=True)
        engine.synthesize([Request("a", "hang", 0)])
        """
    )
    caller = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    worker = int(caller.stdout.readline())
    caller.kill()
    caller.wait()
    deadline = time.monotonic() + 30
    while _alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(worker)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")
