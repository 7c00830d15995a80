"""`evalkit run` with an engine in a worker, with voices, files and phonemes, and without a checkpoint."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import QUICK, VOICES, Call
from safetensors.torch import save_file
from speech_server import leave, speech_server, tone, wav

from evalkit.engines.environments import MARKER
from evalkit.engines.http.engine import Http
from evalkit.files import sha256_file
from evalkit.runs.folder import open_run
from evalkit.runs.log import UtteranceLog
from evalkit.runs.table import read_scores
from evalkit.suites import load_suite

SENTENCES = ("the first sentence", "exit", "a third sentence", "the last sentence of all")


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The engine `hostile` is installed, and its environment is made; returns its checkpoint."""
    site = tmp_path / "site"
    info = site / "hostile-1.0.dist-info"
    package = site / "hostile_requirements"
    for folder in (info, package):
        folder.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[evalkit.engines]\nhostile = hostile_engine:Hostile\n")
    (package / "__init__.py").touch()
    (package / "requirements.txt").write_text("# nothing\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("EVALKIT_ENGINES", str(tmp_path / "engines"))
    python = tmp_path / "engines" / "hostile" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    record = {"requirements_sha256": sha256_file(package / "requirements.txt"), "made": "today"}
    (python.parents[1] / MARKER).write_text(json.dumps(record))
    save_file({"pitch.hertz": torch.tensor(440.0)}, tmp_path / "pitch.safetensors")
    yield tmp_path / "pitch.safetensors"
    sys.modules.pop("hostile_requirements", None)


def suite(folder: Path, texts: tuple[str, ...] = SENTENCES) -> str:
    path = folder / "suite.jsonl"
    path.write_text("".join(json.dumps({"id": f"s{n}", "text": text}) + "\n" for n, text in enumerate(texts)))
    return str(path)


def only_run(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def test_a_crash_is_a_status_and_the_run_goes_on(hostile: Path, tmp_path: Path, evalkit: Call) -> None:
    done = evalkit("run", hostile, "--suite", suite(tmp_path), "--metrics", QUICK, "--out", tmp_path / "runs")
    assert done.exit_code == 3, done.output
    assert "Only 3 of 4 utterances could be scored (1 crashed)" in done.output
    assert "evalkit: hostile: loaded anew" in done.output
    run = open_run(only_run(tmp_path / "runs"))
    rows = {row["item"]: row for row in read_scores(run.scores_path)}
    assert [rows[f"s{n}"]["status"] for n in range(4)] == ["ok", "crashed", "ok", "ok"]
    assert "exit status 3: the last words of the engine" in rows["s1"]["reason"]
    assert rows["s0"]["phonemes"] == "the first sentence"
    engine = run.manifest()["engine"]
    assert engine["runs_in"]["process"] == "worker" and engine["notes"] == ["loaded anew"]


def test_files_and_the_voice_are_part_of_the_system(hostile: Path, tmp_path: Path, evalkit: Call) -> None:
    (tmp_path / "words.txt").write_text("a b c")
    (tmp_path / "voice.bin").write_text("v")
    texts = suite(tmp_path, ("one sentence", "another one"))
    base = ("run", hostile, "--suite", texts, "--metrics", QUICK, "--out", tmp_path / "runs")
    found = set()
    for change in (lambda: None, lambda: (tmp_path / "words.txt").write_text("d"), lambda: None):
        change()
        done = evalkit(*base, "--voice", tmp_path / "voice.bin", "--voice-text", "what is said")
        assert done.exit_code == 0, done.output
        found |= set((tmp_path / "runs").iterdir())
    assert len(found) == 2  # another file is another system; the same again is the same run
    done = evalkit(*base)
    assert len(list((tmp_path / "runs").iterdir())) == 3
    manifests = [open_run(run).manifest() for run in (tmp_path / "runs").iterdir()]
    assert {m["voice"] and m["voice"]["name"] for m in manifests} == {"voice.bin", None}
    assert all(m["engine"]["files"]["words"] == str(tmp_path / "words.txt") for m in manifests)


def test_phonemes_of_another_run_are_spoken(hostile: Path, tmp_path: Path, evalkit: Call) -> None:
    texts = suite(tmp_path, ("one sentence", "another one"))
    base = ("run", hostile, "--suite", texts, "--metrics", QUICK)
    assert evalkit(*base, "--out", tmp_path / "a").exit_code == 0
    first = only_run(tmp_path / "a")
    done = evalkit(*base, "--phonemes-from", first, "--out", tmp_path / "b")
    assert done.exit_code == 0, done.output
    assert only_run(tmp_path / "b").name.rpartition("-")[2] != first.name.rpartition("-")[2]
    rows = read_scores(open_run(only_run(tmp_path / "b")).scores_path)
    assert {row["item"]: row["phonemes"] for row in rows} == {"s0": "one sentence", "s1": "another one"}
    rewritten = suite(tmp_path, ("one sentence", "other words for the same item"))
    done = evalkit(
        "run", hostile, "--suite", rewritten, "--metrics", QUICK, "--phonemes-from", first, "--out", tmp_path / "d"
    )
    assert done.exit_code == 2 and "has other sentences for s1: take a run of this suite" in done.output
    done = evalkit("run", VOICES / "merged.pth", "--suite", texts, "--phonemes-from", first, "--out", tmp_path / "e")
    assert done.exit_code == 2 and "The engine 'tinytts' takes no phonemes: leave --phonemes-from out" in done.output
    other = suite(tmp_path, ("one sentence", "another one", "a new one"))
    done = evalkit(
        "run", hostile, "--suite", other, "--metrics", QUICK, "--phonemes-from", first, "--out", tmp_path / "c"
    )
    assert done.exit_code == 2 and "has no phonemes for s2" in done.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--engine", "hostile: something"], "the engine 'hostile' takes nothing behind a colon"),
        (["--set", "wordz=x"], "the engine 'hostile' has no option 'wordz'"),
        (["--set", "words=/no/such/file"], "--set words=/no/such/file: there is no such file or folder"),
        (["--voice", "x.wav", "--voice-text", "no/such.txt"], "--voice-text no/such.txt: the file cannot be read"),
    ],
)
def test_wrong_arguments_are_one_sentence(
    hostile: Path, tmp_path: Path, evalkit: Call, arguments: list[str], sentence: str
) -> None:
    done = evalkit("run", hostile, "--suite", suite(tmp_path), "--out", tmp_path / "runs", *arguments)
    assert done.exit_code == 2 and sentence in done.output, done.output
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("given", [(), ("--voice-text", "WORDS")])
def test_the_text_of_a_voice_is_utf_8(hostile: Path, tmp_path: Path, evalkit: Call, given: tuple[str, ...]) -> None:
    (tmp_path / "clip.txt").write_bytes("Déjà vu".encode("latin-1"))
    arguments = (
        *("--voice", tmp_path / "clip.wav"),
        *(tmp_path / "clip.txt" if one == "WORDS" else one for one in given),
    )
    done = evalkit("run", hostile, "--suite", suite(tmp_path), "--out", tmp_path / "runs", *arguments)
    assert done.exit_code == 2 and "clip.txt is not UTF-8 at byte 1" in done.output, done.output


def test_without_checkpoint_and_engine_the_sentence_says_what_is_missing(tmp_path: Path, evalkit: Call) -> None:
    done = evalkit("run", "--out", tmp_path / "runs")
    assert done.exit_code == 2 and "Name a checkpoint, or an engine that needs none" in done.output


def test_tinytts_takes_no_voice(tmp_path: Path, evalkit: Call) -> None:
    done = evalkit("run", VOICES / "merged.pth", "--voice", "x.wav", "--out", tmp_path / "runs")
    assert done.exit_code == 2 and "has one voice, which is in its weights: leave --voice out" in done.output


def test_an_environment_that_is_not_made_is_named(
    hostile: Path, tmp_path: Path, evalkit: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hostile_engine import Hostile

    from evalkit.engines import Environment

    needy = replace(Hostile.spec, environment=Environment("needy", {"no-such": "1.0"}, "hostile_requirements:x"))
    monkeypatch.setattr(Hostile, "spec", needy)
    done = evalkit("run", hostile, "--suite", suite(tmp_path), "--out", tmp_path / "runs")
    assert done.exit_code == 2
    assert "needs no-such 1.0, in an environment of its own: evalkit engines add hostile." in done.output
    listed = evalkit("engines", "list", "--json")
    assert {row["engine"]: row["runs in"] for row in json.loads(listed.stdout)}["hostile"] == "nowhere"


@pytest.mark.parametrize(("is_clip", "status"), [(True, 0), (False, 2)])
def test_the_reference_clip_is_the_voice_where_a_voice_is_a_clip(
    hostile: Path, tmp_path: Path, evalkit: Call, monkeypatch: pytest.MonkeyPatch, is_clip: bool, status: int
) -> None:
    import soundfile
    from hostile_engine import Hostile

    monkeypatch.setattr(
        Hostile, "spec", replace(Hostile.spec, needs_voice=True, voice_is_clip=is_clip, environment=None)
    )
    soundfile.write(
        tmp_path / "clip.wav", torch.randn(16000, generator=torch.Generator().manual_seed(0)).numpy(), 16000
    )
    texts = suite(tmp_path, ("one sentence",))
    done = evalkit(
        *("run", hostile, "--suite", texts, "--metrics", QUICK, "--out", tmp_path / "runs"),
        *("--reference", tmp_path / "clip.wav"),
    )
    assert done.exit_code == status, done.output
    if status:
        assert "The engine 'hostile' needs a voice, any file: name it with --voice." in done.output
    else:
        assert open_run(only_run(tmp_path / "runs")).manifest()["voice"]["name"] == "clip.wav"


@pytest.mark.parametrize(
    ("engine", "arguments", "sentence"),
    [
        ("espeak-ng", ["--voice", "en-gb"], "copies no voice: name one of its own with --set voice=NAME"),
        ("espeak-ng", ["--voice-text", "Hello."], "'espeak-ng' is given none: leave it out."),
        ("flite", ["--voice", ""], "--voice '' names no voice: name one, or leave it out"),
        ("command: {say}", ["--voice-text", "Hello."], "leave it out, or name the voice with --voice"),
        ("command: {say}", ["--voice", "bob"], "This command takes no voice"),
        ("audio: {clips}", ["--latency"], "so there is no latency to measure: leave --latency out"),
    ],
)
def test_what_an_engine_without_weights_does_not_take(
    tmp_path: Path, evalkit: Call, engine: str, arguments: list[str], sentence: str
) -> None:
    program = engine.partition(":")[0]
    if program not in ("command", "audio") and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    (tmp_path / "s0.wav").write_bytes(wav_of(1.0))
    say = f"{sys.executable} {saying(tmp_path)} {{text}} {{wav}}"
    done = evalkit(
        *("run", "--engine", engine.replace("{say}", say).replace("{clips}", str(tmp_path)), *arguments),
        *("--suite", suite(tmp_path, ("one",)), "--metrics", QUICK, "--out", tmp_path / "runs"),
    )
    assert done.exit_code == 2 and sentence in done.output, done.output
    assert not (tmp_path / "runs").exists()


def test_what_another_start_may_not_meet_again_is_tried_again_and_nothing_else(tmp_path: Path, evalkit: Call) -> None:
    calls = tmp_path / "calls"
    script = saying(
        tmp_path,
        f"open({str(calls)!r}, 'a').write(sys.argv[1] + ';')\n"
        f"if sys.argv[1] == 'two' and not os.path.exists({str(tmp_path / 'mended')!r}):\n    os.kill(os.getpid(), 9)\n"
        "if sys.argv[1] == 'three':\n    sys.exit(1)\n",
    )
    base = (
        *("run", "--engine", f"command: {sys.executable} {script} {{text}} {{wav}}", "--metrics", QUICK),
        *("--suite", suite(tmp_path, ("one", "two", "three")), "--out", tmp_path / "runs"),
    )
    found = []
    for mended in (False, False, True, True):
        if mended:
            (tmp_path / "mended").touch()
        calls.unlink(missing_ok=True)
        assert evalkit(*base).exit_code == 3
        run = open_run(only_run(tmp_path / "runs"))
        rows = {row["item"]: row for row in read_scores(run.scores_path)}
        assert len(UtteranceLog(run.log_path).rows) == len(rows) == 3
        assert run.summary()["coverage"]["ok"] == sum(row["status"] == "ok" for row in rows.values())
        spoken = [text for text in calls.read_text().split(";")[1:] if text]  # the first is the test sentence
        found.append(([rows[f"s{n}"]["status"] for n in range(3)], sorted(spoken), rows["s0"]["total_s"]))
    time = found[0][2]
    assert found == [
        (["ok", "crashed", "failed"], ["one", "three", "two"], time),
        (["ok", "crashed", "failed"], ["two"], time),
        (["ok", "ok", "failed"], ["two"], time),
        (["ok", "ok", "failed"], [], time),
    ]


def test_a_server_that_dies_ends_the_run_which_goes_on_later(
    tmp_path: Path, evalkit: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Http, "spec", replace(Http.spec, max_batch=1))
    texts = suite(tmp_path, ("one", "two of them", "three of them now", "four of them, in the end"))
    with speech_server() as first:
        address = first.address
        base = ("run", "--engine", address, "--suite", texts, "--metrics", QUICK, "--out", tmp_path / "runs")
        first.replies = [*[first.usual] * 3, leave]
        done = evalkit(*base)
    assert done.exit_code == 2 and "Nothing answers at" in done.output, done.output
    with speech_server(int(address.rpartition(":")[2])) as second:
        assert evalkit(*base).exit_code == 0
        assert sorted(body["input"] for body in second.bodies[1:]) == ["one", "two of them"]


def wav_of(seconds: float) -> bytes:
    return wav(tone(seconds))


def saying(folder: Path, first: str = "") -> Path:
    """A program that speaks for a second, after what it does `first`."""
    script = folder / "say.py"
    script.write_text(
        f"import os, sys, wave\n{first}"
        "with wave.open(sys.argv[2], 'wb') as file:\n"
        "    file.setparams((1, 2, 8000, 0, 'NONE', ''))\n"
        "    file.writeframes(bytes(range(1, 251)) * 64)\n"
    )
    return script


def test_how_a_program_is_run_is_no_part_of_what_is_measured(tmp_path: Path, evalkit: Call) -> None:
    """The time limit and the number of programs at once change nothing of what is spoken: the run is continued."""
    script = tmp_path / "say.py"
    script.write_text(
        "import sys, wave\n"
        "with wave.open(sys.argv[2], 'wb') as file:\n"
        "    file.setparams((1, 2, 8000, 0, 'NONE', ''))\n"
        "    file.writeframes(bytes(range(1, 255)) * 30 * len(sys.argv[1]))\n"
    )
    command = f"command: {sys.executable} {script} {{text}} {{wav}}"
    base = ("run", "--engine", command, "--suite", suite(tmp_path, ("one", "two")), "--metrics", QUICK)
    for settings in ((), ("--set", "time_limit=30"), ("--set", "jobs=2")):
        done = evalkit(*base, "--out", tmp_path / "runs", *settings)
        assert done.exit_code == 0, done.output
    manifest = open_run(only_run(tmp_path / "runs")).manifest()
    assert manifest["checkpoint"] is None and "template" in manifest["engine"]["options"]
    script.write_text(script.read_text().replace("* 30", "* 31"))
    assert evalkit(*base, "--out", tmp_path / "runs").exit_code == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2  # another program is another system


def test_an_engine_is_given_the_names_of_a_suite_with_their_readings(
    hostile: Path, tmp_path: Path, evalkit: Call
) -> None:
    done = evalkit(
        *("run", hostile, "--suite", "indian-names", "--limit", 1, "--metrics", QUICK, "--out", tmp_path / "runs")
    )
    assert done.exit_code == 0, done.output
    (row,) = read_scores(open_run(only_run(tmp_path / "runs")).scores_path)
    item = load_suite("indian-names").items[0]
    assert row["phonemes"] == " ".join(entity.accepted[0] for entity in item.entities) != ""
