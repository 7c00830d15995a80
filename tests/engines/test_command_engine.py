"""The engine `command` with programs that speak, and programs that do everything else."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from speaking_programs import PREAMBLE, program

from evalkit.engines.base import EngineGoneError, Request, Setup, Speech, Voice
from evalkit.engines.command import engine as command_engine
from evalkit.engines.command.engine import Command
from evalkit.engines.command.process import Programs
from evalkit.errors import EvalkitError
from evalkit.files import sha256_file

SPEAKS = "speak(sys.argv[2], sys.argv[1])\n"
PROBED = command_engine.PROBE


def set_up(template: str, **options: Any) -> Command:
    engine = Command()
    engine.set_up(Setup(options={"template": template, **options}))
    return engine


def speak(engine: Command, text: str = "hello", seed: int = 0) -> Speech:
    (speech,) = engine.synthesize([Request("a", text, seed)])
    return speech


def only_in(text: str, body: str) -> str:
    """A program that speaks, and does `body` at one text."""
    return f"if sys.argv[1] == {text!r}:\n{textwrap.indent(body, '    ')}\nelse:\n    {SPEAKS}"


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for(condition: Any, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())


def test_speaks_through_a_program(tmp_path: Path) -> None:
    engine = set_up(program(tmp_path, SPEAKS))
    speech = speak(engine, "hello there")
    assert speech.status == "ok" and engine.spec.sample_rate == 16000 and Command.spec.sample_rate == 0
    assert len(speech.audio) == 11 * 160 and speech.audio.dtype == torch.float32
    assert speech.audio[7] == 700 / 32768
    assert speech.seconds is not None and speech.seconds > 0


def test_the_text_is_one_argument_and_no_shell_reads_it(tmp_path: Path) -> None:
    text = 'it\'s; $(touch x) `touch y` > z "{wav}" *'
    engine = set_up(
        program(
            tmp_path,
            only_in(text, "assert len(sys.argv) == 3\nspeak(sys.argv[2], 'abc')"),
        )
    )
    assert len(speak(engine, text).audio) == 480


def test_text_in_a_file_on_stdin_and_a_wav_on_stdout(tmp_path: Path) -> None:
    from_file = "speak(sys.argv[2], open(sys.argv[1], encoding='utf-8').read())\n"
    stdin = "speak(sys.argv[1], sys.stdin.buffer.read().decode())\n"
    neither = "speak(None, sys.stdin.buffer.read().decode())\n"
    for body, arguments in ((from_file, "{text_file} {wav}"), (stdin, "{wav}"), (neither, "")):
        assert len(speak(set_up(program(tmp_path, body, arguments)), "héé").audio) == 3 * 160


def test_each_sentence_has_an_empty_folder_of_its_own(tmp_path: Path) -> None:
    body = "assert os.listdir('.') == ['text.txt'], os.listdir('.')\nopen('left', 'w')\n" + SPEAKS
    engine = set_up(program(tmp_path, body))
    assert [s.status for s in engine.synthesize([Request(n, "x", 0) for n in "abc"])] == ["ok"] * 3


def test_the_seed_reaches_the_program(tmp_path: Path) -> None:
    template = program(tmp_path, "speak(sys.argv[2], sys.argv[1], pitch=1 + int(sys.argv[3]))\n", "{text} {wav} {seed}")
    engine = set_up(template)
    assert engine.spec.stochastic and not set_up(program(tmp_path, SPEAKS)).spec.stochastic
    assert torch.equal(speak(engine, seed=60).audio, speak(engine, seed=60).audio)
    assert not torch.equal(speak(engine, seed=60).audio, speak(engine, seed=70).audio)


def test_channels_are_averaged(tmp_path: Path) -> None:
    engine = set_up(program(tmp_path, "speak(sys.argv[2], sys.argv[1], channels=2)\n"))
    assert speak(engine).audio[3] == pytest.approx((300 + 1300) / 2 / 32768)


FAILING: dict[str, tuple[str, str, str]] = {
    "status": (
        "print('first', file=sys.stderr)\nprint('no \\x1b[31mvoice ', file=sys.stderr)\nsys.exit(3)",
        "failed",
        r"status 3: no \x1b[31mvoice",
    ),
    "signal": ("os.kill(os.getpid(), 11)", "crashed", "signal 11"),
    "a rate of no speech": ("speak(sys.argv[2], 'abc', rate=700000)", "failed", "700000 Hz"),
    "no file": ("pass", "failed", "no file speech.wav"),
    "no file, said": ("print('out of ideas', file=sys.stderr)", "failed", "out of ideas"),
    "empty file": ("open(sys.argv[2], 'w')", "failed", "empty"),
    "garbage": ("open(sys.argv[2], 'w').write('la la la')", "failed", "cannot be read as audio"),
    "no samples": ("speak(sys.argv[2], '')", "failed", "no samples"),
    "cut short": ("speak(sys.argv[2], 'abc')\nos.truncate(sys.argv[2], 100)", "failed", "cut short"),
    "header cut": ("speak(sys.argv[2], 'abc')\nos.truncate(sys.argv[2], 20)", "failed", "cut short"),
    "another rate": ("speak(sys.argv[2], 'abc', rate=8000)", "failed", "8000 Hz, and the first sentence's had 16000"),
    "a link": ("os.symlink(__file__, sys.argv[2])", "failed", "no file speech.wav"),
    "a pipe": ("os.mkfifo(sys.argv[2])", "failed", "empty"),
    "a folder": ("os.mkdir(sys.argv[2])", "failed", "no file speech.wav"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILING)
def test_what_goes_wrong_is_a_status(tmp_path: Path, name: str) -> None:
    body, status, said = FAILING[name]
    engine = set_up(program(tmp_path, only_in("bad", body)))
    speeches = engine.synthesize([Request("a", "good", 0), Request("b", "bad", 0), Request("c", "good", 0)])
    assert [s.status for s in speeches] == ["ok", status, "ok"]
    assert said in str(speeches[1].reason) and str(speeches[1].reason).isprintable()
    assert not len(speeches[1].audio)


def test_texts_that_no_program_can_be_given(tmp_path: Path) -> None:
    engine = set_up(program(tmp_path, SPEAKS))
    texts = ["", " \n", "a\0b", "\ud800", "x" * 200_000]
    speeches = engine.synthesize([Request(str(n), text, 0) for n, text in enumerate(texts)])
    assert [s.status for s in speeches] == ["empty_text", "empty_text", "failed", "failed", "too_long"]


def test_a_slow_program_is_killed_with_its_children(tmp_path: Path) -> None:
    child = "import subprocess\np = subprocess.Popen(['sleep', '600'])\n"
    slow = child + f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{p.pid}}')\ntime.sleep(600)"
    engine = set_up(program(tmp_path, only_in("slow", slow)), time_limit=3.0)
    speech = speak(engine, "slow")
    assert speech.status == "timed_out" and "3 s" in str(speech.reason)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2 and wait_for(lambda: all(map(gone, pids)))


def test_a_child_that_a_program_leaves_behind_is_killed_and_not_waited_for(tmp_path: Path) -> None:
    leaves = "import subprocess\np = subprocess.Popen(['sleep', '600'])\n"
    leaves += f"open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid))\n"
    engine = set_up(program(tmp_path, leaves + SPEAKS))
    assert speak(engine).status == "ok"
    assert wait_for(lambda: gone(int((tmp_path / "pid").read_text())))


MEET = """\
if sys.argv[1].startswith("long"):
    open(os.path.join({folder!r}, sys.argv[1]), "w")
    end = time.time() + 30
    while len(os.listdir({folder!r})) < 3:
        assert time.time() < end
        time.sleep(0.01)
"""


def test_several_at_once_keep_their_order_and_share_the_time(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    engine = set_up(program(tmp_path, MEET.format(folder=str(tmp_path / "here")) + SPEAKS), jobs=3)
    texts = ["long1", "long22", "long333"]
    speeches = engine.synthesize([Request(text, text, 0) for text in texts])
    assert [s.id for s in speeches] == texts and [len(s.audio) // 160 for s in speeches] == [5, 6, 7]
    per_sample = [float(s.seconds or 0) / len(s.audio) for s in speeches]
    assert per_sample == pytest.approx([per_sample[0]] * 3)


def test_alone_and_in_any_batch_it_says_the_same(tmp_path: Path) -> None:
    template = program(
        tmp_path, "speak(sys.argv[2], sys.argv[1], pitch=50 + int(sys.argv[3]))\n", "{text} {wav} {seed}"
    )
    engine, several = set_up(template), set_up(template, jobs=3)
    requests = [Request(str(n), "x" * (n + 1), n) for n in range(5)]
    alone = [engine.synthesize([request])[0].audio for request in requests]
    for batch in (engine.synthesize(requests), several.synthesize(requests), engine.synthesize(requests[::-1])[::-1]):
        assert all(torch.equal(one, speech.audio) for one, speech in zip(alone, batch, strict=True))


def test_ctrl_c_kills_what_is_running(tmp_path: Path) -> None:
    for jobs in (1, 2):
        pids = tmp_path / f"pids{jobs}"
        pids.mkdir()
        slow = f"open(os.path.join({str(pids)!r}, str(os.getpid())), 'w')\ntime.sleep(600)"
        template = program(tmp_path, only_in("slow", slow))
        code = (
            "from evalkit.engines.base import Request, Setup\n"
            "from evalkit.engines.command.engine import Command\n"
            "engine = Command()\n"
            f"engine.set_up(Setup(options={{'template': {template!r}, 'jobs': {jobs}}}))\n"
            "engine.synthesize([Request(str(n), 'slow', 0) for n in range(5)])\n"
        )
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
        try:
            assert wait_for(lambda pids=pids, jobs=jobs: len(os.listdir(pids)) == jobs, 60)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
        assert "KeyboardInterrupt" in said
        running = [int(pid) for pid in os.listdir(pids)]
        assert len(running) == jobs and wait_for(lambda running=running: all(map(gone, running)))


def test_close_ends_what_is_running(tmp_path: Path) -> None:
    engine = set_up(program(tmp_path, only_in("slow", f"open({str(tmp_path / 'on')!r}, 'w')\ntime.sleep(600)")))
    found: list[Speech] = []
    thread = threading.Thread(target=lambda: found.append(speak(engine, "slow")))
    thread.start()
    assert wait_for((tmp_path / "on").exists)
    engine.close()
    thread.join(20)
    assert found[0].status == "crashed" and "signal 9" in str(found[0].reason)


def test_a_command_that_does_not_speak_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "x.onnx").touch()
    broken = program(
        tmp_path, "print('cannot read', sys.argv[3], file=sys.stderr)\nsys.exit(1)\n", "{text} {wav} models/x.onnx"
    )
    for template, said in (
        ("", "command: mytts --text {text} --out {wav}"),
        ("{text} x", "begin with the program"),
        ("no-such-program-here {text}", "There is no program 'no-such-program-here'"),
        ("./models {text}", "There is no program './models'"),
        (broken, "status 1: cannot read models/x.onnx (It runs in an empty folder: write {cwd}/models/x.onnx"),
    ):
        with pytest.raises(EvalkitError) as caught:
            set_up(template)
        assert said in str(caught.value)


def test_a_program_named_by_a_path_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "say.py").write_text(f"#!{sys.executable}\n{PREAMBLE}{SPEAKS}")
    (tmp_path / "say.py").chmod(0o755)
    for template in ("./say.py {text} {wav}", "{cwd}/say.py {text} {wav}"):
        assert speak(set_up(template)).status == "ok"


def test_what_is_known_of_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program(tmp_path, SPEAKS)
    template = f"{sys.executable} {{cwd}}/program0.py {{text}} {{wav}}"
    identity = dict(set_up(template).identity)
    assert identity == {
        "template": template,
        "program": Path(sys.executable).name,
        "sha256": sha256_file(Path(sys.executable)),
        "sha256 of {cwd}/program0.py": sha256_file(tmp_path / "program0.py"),
    }
    with (tmp_path / "program0.py").open("a") as file:
        file.write("# other\n")
    assert set_up(template).identity != identity


@pytest.mark.parametrize("word", ["{cwd}/m/model.bin", "--model={cwd}/m/model.bin", "{cwd}/m", "--model={cwd}/m/", "a"])
def test_a_model_counts_by_its_content_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """Else a new checkpoint would be given the figures of the old one."""
    for folder in ("one", "two"):
        (tmp_path / folder / "m").mkdir(parents=True)
        (tmp_path / folder / "m" / "model.bin").write_text("weights")
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "one" / "m" / name).touch()  # as in a checkpoint, whose weights are counted elsewhere
        (tmp_path / "two" / "m" / name).touch()
    template = program(tmp_path, SPEAKS, "{text} {wav} " + word)
    found = []
    for folder in ("one", "two"):
        monkeypatch.chdir(tmp_path / folder)
        found.append(dict(set_up(template).identity))
    (tmp_path / "two" / "m" / "model.bin").write_text("others")
    found.append(dict(set_up(template).identity))
    assert found[0] == found[1]
    assert (found[1] == found[2]) == (word == "a")


def test_files_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "w").write_text("1")
    template = program(tmp_path, SPEAKS, f"{{text}} {{wav}} {{cwd}}/a/w --second={tmp_path}/b/w")
    found = [dict(set_up(template).identity)]
    for folder in "ab":
        (tmp_path / folder / "w").write_text("2")
        found.append(dict(set_up(template).identity))
    assert all(one != other for n, one in enumerate(found) for other in found[:n])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("{cwd}/gone", "'{cwd}/gone' names no file and no folder"),
        ("--model={cwd}/gone", "names no file and no folder"),
        ("file:{cwd}/m", "names no file and no folder"),
        ("{cwd}", "names the whole folder"),
        ("--root={cwd}/..", "names the whole folder"),
    ],
)
def test_what_is_named_and_cannot_be_counted_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").touch()
    with pytest.raises(EvalkitError, match=re.escape(said)):
        set_up(program(tmp_path, SPEAKS, "{text} {wav} " + word))


def test_a_voice_that_a_name_leads_to_counts_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    digests = set()
    engine = set_up(program(tmp_path, SPEAKS, "{text} {wav} {cwd}/{voice}.bin"))
    for content in "ab":
        (tmp_path / "bob.bin").write_text(content)
        digests.add(engine.prepare_voice(Path("bob"), None).digest)
    assert len(digests) == 2


def test_a_full_disk_ends_the_run_and_blames_no_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = set_up(program(tmp_path, SPEAKS))

    def full(**options: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(EngineGoneError, match="No space left on device: mend that"):
        speak(engine)


def test_a_kill_minus_nine_leaves_no_program_and_its_folder_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids, temporary = tmp_path / "pids", tmp_path / "tmp"
    temporary.mkdir()
    child = "import subprocess\np = subprocess.Popen(['sleep', '600'])\n"
    slow = child + f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{p.pid}} ')\ntime.sleep(600)"
    template = program(tmp_path, only_in("slow", slow))
    code = (
        "from evalkit.engines.base import Request, Setup\n"
        "from evalkit.engines.command.engine import Command\n"
        "engine = Command()\n"
        f"engine.set_up(Setup(options={{'template': {template!r}}}))\n"
        "engine.synthesize([Request('a', 'slow', 0)])\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(temporary)})
    assert wait_for(lambda: pids.exists() and pids.read_text().endswith(" "), 60)
    owner.kill()
    owner.wait()
    assert wait_for(lambda: all(gone(int(pid)) for pid in pids.read_text().split()))
    assert len(list(temporary.iterdir())) == 1
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert speak(set_up(template)).status == "ok"
    assert list(temporary.iterdir()) == []


def test_a_voice_is_a_file_or_a_name(tmp_path: Path) -> None:
    body = "speak(sys.argv[2], os.path.basename(sys.argv[3]))\n"
    engine = set_up(program(tmp_path, body, "{text} {wav} {voice}"))
    assert engine.spec.needs_voice and not Command.spec.needs_voice
    assert speak(engine).status == "bad_voice"
    (tmp_path / "anna.wav").write_bytes(b"1")
    file, name = engine.prepare_voice(tmp_path / "anna.wav", None), engine.prepare_voice(Path("bob"), None)
    assert (file.name, name.name) == ("anna", "bob") and file.digest != name.digest
    assert engine.spec.sample_rate == 16000
    (speech,) = engine.synthesize([Request("a", "hello", 0, voice=file)])
    assert len(speech.audio) == len("anna.wav") * 160
    (tmp_path / "anna.wav").write_bytes(b"2")
    assert engine.prepare_voice(tmp_path / "anna.wav", None).digest != file.digest
    with pytest.raises(EvalkitError, match="no voice file"):
        engine.prepare_voice(tmp_path / "gone.wav", None)
    with pytest.raises(EvalkitError, match="takes no voice"):
        set_up(program(tmp_path, SPEAKS)).prepare_voice(Path("bob"), None)


def test_the_example_speaks_and_differs_by_its_seed(tmp_path: Path) -> None:
    heard = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        example = Command.example(folder, seed)
        assert example.checkpoint is None and len(example.texts) >= 4
        engine = set_up(example.settings[0].removeprefix("template="))
        heard.append(speak(engine, example.texts[0]).audio)
        assert 0.3 < len(heard[-1]) / engine.spec.sample_rate < 3
    assert not torch.equal(*heard)


def test_takes_no_weights_and_no_phonemes(tmp_path: Path) -> None:
    engine = set_up(program(tmp_path, SPEAKS))
    assert engine.weights() == {} and Command.spec.weights == "none"
    with pytest.raises(EvalkitError, match="takes no checkpoint"):
        engine.load({})
    with pytest.raises(EvalkitError, match="set_up"):
        Command().synthesize([])
    (speech,) = engine.synthesize([Request("a", "x", 0, Voice("v", "d"), phonemes="x")])
    assert speech.status == "failed"


def test_a_program_that_is_being_started_is_stopped_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its start and the moment at which anybody knows of it: there a stop once left it running."""
    programs = Programs()

    class Stopped(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: object, **others: object) -> None:
            super().__init__(*arguments, **others)  # type: ignore[call-overload]
            programs.stop()

    out, err = tmp_path / "out", tmp_path / "err"
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", Stopped)
        finished = programs.run(["sleep", "600"], tmp_path, None, out, err, 60)
    assert finished.exit_status == -signal.SIGKILL and not finished.timed_out
    assert programs.run(["true"], tmp_path, None, out, err, 60).exit_status == 0, "a stop is over when it is done"
