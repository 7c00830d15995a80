"""The engines `espeak-ng` and `flite`: as installed where they are, and stand-ins that answer in the same way."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch
from speaking_programs import PREAMBLE

from evalkit.engines.base import Request, Setup, Speech, Voice
from evalkit.engines.command.installed import InstalledProgram
from evalkit.engines.espeak import EspeakNg
from evalkit.engines.flite import Flite
from evalkit.errors import EvalkitError
from metrics.phones import heard_phones

ENGINES: list[type[InstalledProgram]] = [EspeakNg, Flite]
SENTENCE = "Lakshmi met Arjun."

# What the adapters read of the real programs: their answers to questions about themselves, and how they are called.
STAND_INS = {
    "espeak-ng": """
if sys.argv[1:] == ["--version"]:
    print("eSpeak NG text-to-speech: 1.51  Data at: /usr/lib")
elif sys.argv[1:] == ["--voices"]:
    print("Pty Language       Age/Gender VoiceName          File                 Other Languages")
    print(" 2  en-us           --/M      English_(America)  gmw/en-US            (en 3)")
    print(" 5  hi              --/M      Hindi              inc/hi               ")
elif sys.argv[1:] == ["--voices=variant"]:
    print("Pty Language       Age/Gender VoiceName          File                 Other Languages")
    print(" 5  variant         --/F      female3            !v/f3                ")
    print(" 5  variant         --/M      Mr_Serious         !v/Mr serious        ")
else:
    given = dict(zip(sys.argv[1::1], sys.argv[2::1]))
    text = open(given["-f"], encoding="utf-8").read()
    print(" (hi)l\\u02c8\\u00e6k(en)\\n m\\u02c8\\u025bt" if text[0] != "?" else "")
    speak(given["-w"], text, rate=22050, pitch=int(given["-s"]))
""",
    "flite": """
if sys.argv[1:] == ["--version"]:
    print("  Carnegie Mellon University, Copyright (c) 1999-2016\\n  version: flite-2.2-current Sep 2018")
elif sys.argv[1:] == ["-lv"]:
    print("Voices available: kal slt ")
else:
    given = dict(zip(sys.argv[1::1], sys.argv[2::1]))
    text = open(given["-f"], encoding="utf-8").read()
    print("pau l ae k pau " if text[0] != "?" else "pau ")
    rate = 8000 if given["-voice"] == "kal" else 16000
    speak(given["-o"], text, rate, pitch=int(200 * float(given["--setf"].partition("=")[2])))
""",
}


@pytest.fixture(params=ENGINES, ids=lambda kind: kind.program)
def stand_in(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[InstalledProgram]:
    kind: type[InstalledProgram] = request.param
    script = tmp_path / kind.program
    script.write_text(f"#!{sys.executable} -SE\n{PREAMBLE}{STAND_INS[kind.program]}", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    return kind


@pytest.fixture(params=ENGINES, ids=lambda kind: kind.program)
def installed(request: pytest.FixtureRequest) -> InstalledProgram:
    kind: type[InstalledProgram] = request.param
    if shutil.which(kind.program) is None:
        pytest.skip(f"{kind.program} is not installed: {kind.install}")
    return set_up(kind)


def set_up(kind: type[InstalledProgram], **options: object) -> InstalledProgram:
    engine = kind()
    engine.set_up(Setup(options=options))
    return engine


def speak(engine: InstalledProgram, text: str = SENTENCE, **options: object) -> Speech:
    (speech,) = engine.synthesize([Request("a", text, 0, options=options)])
    return speech


def test_says_what_it_is_and_what_it_read(stand_in: type[InstalledProgram]) -> None:
    engine = set_up(stand_in)
    assert engine.spec.front_end in ("espeak-ng 1.51", "flite 2.2-current")
    assert set(engine.identity) == {"program", "version", "sha256"} and len(engine.identity["sha256"]) == 64
    speech = speak(engine)
    assert speech.status == "ok" and speech.phonemes in ("lˈæk mˈɛt", "pau l ae k pau")
    assert len(speech.audio) == len(SENTENCE) * engine.spec.sample_rate // 100
    assert speak(engine, "?").status == "unknown_symbols"


def test_options_reach_the_program(stand_in: type[InstalledProgram]) -> None:
    engine = set_up(stand_in)
    faster = {"speed": 200} if stand_in is EspeakNg else {"speed": 2.0}
    assert not torch.equal(speak(engine).audio, speak(engine, **faster).audio)
    assert torch.equal(speak(set_up(stand_in, **faster)).audio, speak(engine, **faster).audio)
    statuses = [speak(engine, **bad).status for bad in ({"speed": "fast"}, {"speed": -1}, {"voice": "nobody"})]
    assert statuses == ["failed"] * 3


def test_a_voice_with_another_rate_is_not_mixed_in(
    stand_in: type[InstalledProgram],
) -> None:
    engine = set_up(stand_in)
    if stand_in is Flite:
        assert "8000 Hz" in str(speak(engine, voice="kal").reason)
        assert set_up(stand_in, voice="kal").spec.sample_rate == 8000
    else:
        assert speak(engine, voice="hi+f3").status == "ok"
        assert speak(engine, voice="gmw/en-US").status == "ok"


def test_a_voice_that_is_not_there_is_refused(stand_in: type[InstalledProgram]) -> None:
    # flite itself would take its own voice instead, or download one from an address.
    for voice in ("slx", "http://example.com/voice.flitevox", "en-uz"):
        with pytest.raises(EvalkitError, match="Unknown voice"):
            set_up(stand_in, voice=voice)


def test_a_variant_that_is_not_there_is_refused(stand_in: type[InstalledProgram]) -> None:
    """espeak-ng itself would speak without it and say nothing."""
    if stand_in is not EspeakNg:
        pytest.skip("flite knows no variants")
    for voice in ("en-us+f3", "hi+Mr serious", "en-us+13"):
        assert speak(set_up(stand_in, voice=voice)).status == "ok"
    for voice in ("en-us+zz9", "en-us+F3", "en-us+", "en-us+12", "en-us+f3+f3"):
        with pytest.raises(EvalkitError, match=r"nknown variant of espeak-ng's voices"):
            set_up(stand_in, voice=voice)


@pytest.mark.parametrize("kind", ENGINES)
def test_not_installed_is_one_sentence(
    kind: type[InstalledProgram], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EvalkitError, match=f"apt install {kind.program}"):
        set_up(kind)
    (tmp_path / kind.program).write_text("#!/bin/sh\necho no; exit 1\n")
    (tmp_path / kind.program).chmod(0o755)
    with pytest.raises(EvalkitError, match="does not name its version"):
        set_up(kind)
    with pytest.raises(EvalkitError, match="set_up"):
        kind().synthesize([])


def test_takes_no_weights_voice_or_phonemes(stand_in: type[InstalledProgram], tmp_path: Path) -> None:
    engine = set_up(stand_in)
    assert engine.weights() == {} and engine.spec.weights == "none"
    with pytest.raises(EvalkitError, match="takes no checkpoint"):
        engine.load({})
    with pytest.raises(EvalkitError, match="--set voice="):
        engine.prepare_voice(tmp_path, None)
    requests = [Request("a", "x", 0, phonemes="x"), Request("b", "x", 0, Voice("v", "d")), Request("c", "", 0)]
    assert [s.status for s in engine.synthesize(requests)] == ["failed", "bad_voice", "empty_text"]


def test_the_installed_program_speaks(installed: InstalledProgram) -> None:
    assert installed.spec.front_end.split()[1][0].isdigit()
    example = type(installed).example(Path(), 0)  # type: ignore[attr-defined]
    speeches = installed.synthesize([Request(str(n), text, n) for n, text in enumerate(example.texts)])
    for speech in speeches:
        assert speech.status == "ok"
        assert 0.3 < len(speech.audio) / installed.spec.sample_rate < 4 and speech.audio.abs().max() > 0.05
    again = installed.synthesize([Request("x", example.texts[1], 9)])[0]
    assert torch.equal(again.audio, speeches[1].audio)
    slow = {"speed": 100} if isinstance(installed, EspeakNg) else {"speed": 0.5}
    assert len(speak(installed, **slow).audio) > 1.3 * len(speak(installed).audio)


def test_the_phonemes_of_the_installed_program_are_readable(installed: InstalledProgram) -> None:
    heard = heard_phones(str(speak(installed, "She met a man").phonemes))
    spoken = [phones for phones in heard if phones != {"|"}]
    for phone, options in zip(["SH", "IH", "M", "EH", "T", "AH", "M", "AE", "N"], spoken, strict=True):
        assert phone in options


def test_hindi_words_are_read_without_marks_of_language(installed: InstalledProgram) -> None:
    if isinstance(installed, EspeakNg):
        speech = speak(installed, "नमस्ते hello", voice="hi")
        assert speech.status == "ok" and "(" not in str(speech.phonemes) and str(speech.phonemes)
    else:
        assert speak(installed, "☃").status == "unknown_symbols"
