"""The engine `cosyvoice` with small networks that have CosyVoice's names, threads and traps."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from cosyvoice_small import checkout, model_folder, sections
from torch import Tensor

from evalkit.checkpoints import canonical, fingerprint, recognise
from evalkit.engines.base import Request, Setup, Speech, Voice
from evalkit.engines.cosyvoice.engine import CosyVoice
from evalkit.errors import EvalkitError

TEXTS = ("hello there", "one more sentence", "hi", "the last of four. and it has two parts")
OURS = ("cosyvoice", "modelscope", "matcha", "tqdm")


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The checkout is imported, and then forgotten."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in OURS}
    for name in kept:
        del sys.modules[name]
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    sys.modules.update(kept)


@pytest.fixture(params=[2, 3])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def folder(tmp_path: Path, version: int) -> Path:
    return model_folder(tmp_path / "model", version, seed=3)


@pytest.fixture
def engine(tmp_path: Path, folder: Path, modules: None) -> CosyVoice:
    made = CosyVoice()
    made.set_up(Setup({"source": checkout(tmp_path / "source"), "model_dir": folder}))
    return made


@pytest.fixture
def voice(engine: CosyVoice, tmp_path: Path) -> Voice:
    return engine.prepare_voice(clip(tmp_path / "clip.wav"), "what is said")


def clip(path: Path, seed: int = 0, seconds: float = 3.0, rate: int = 16000) -> Path:
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, int(seconds * rate)), rate)
    return path


def given(folder: Path, *names: str) -> dict[str, Tensor]:
    """Canonical weights of a model folder's files, as a checkpoint with them is read."""
    raw = vars(sections(folder))
    return dict(canonical({key: value for name in names for key, value in raw[name].items()}).tensors)


def speak(engine: CosyVoice, voice: Voice | None, text: str = TEXTS[0], seed: int = 1, **options: Any) -> Speech:
    (speech,) = engine.synthesize([Request("a", text, seed, voice, options=options)])
    return speech


def test_speaks_and_says_what_it_is(engine: CosyVoice, voice: Voice, version: int) -> None:
    assert engine.spec.front_end == f"CosyVoice{version} text front end (no normaliser)"
    speeches = engine.synthesize([Request(str(n), text, n, voice) for n, text in enumerate(TEXTS)])
    assert [(s.id, s.status) for s in speeches] == [(str(n), "ok") for n in range(4)]
    assert [s.details["parts"] for s in speeches] == [1, 1, 1, 2]
    assert all(len(s.audio) == 960 * s.details["tokens"] for s in speeches)
    assert all(s.audio.dtype == torch.float32 and s.audio.abs().max() > 0.01 and s.seconds for s in speeches)


def test_the_spec_is_readable_without_cosyvoice() -> None:
    code = "import sys; import evalkit.engines.cosyvoice.engine as e; e.CosyVoice.spec; e.CosyVoice()\n"
    code += "print([m for m in ('cosyvoice', 'modelscope', 'torchaudio', 'whisper', 'soundfile') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_setting_up_leaves_the_process_as_it_was(tmp_path: Path, folder: Path, modules: None) -> None:
    source = checkout(tmp_path / "source")
    before = random.getstate(), torch.get_rng_state(), np.random.get_state()[1].tolist(), logging.getLogger().level  # type: ignore[index]
    CosyVoice().set_up(Setup({"source": source, "model_dir": folder}))
    assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[1])
    assert np.random.get_state()[1].tolist() == before[2] and logging.getLogger().level == before[3]  # type: ignore[index]


def test_a_seed_decides_and_nothing_else_does(engine: CosyVoice, voice: Voice) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = speak(engine, voice)
    assert torch.equal(torch.get_rng_state(), state)
    speak(engine, voice, "something else", seed=5)
    torch.manual_seed(2)
    assert torch.equal(speak(engine, voice).audio, first.audio)
    assert not torch.equal(speak(engine, voice, seed=2).audio, first.audio)
    requests = [Request(str(n), text, n, voice) for n, text in enumerate(TEXTS)]
    alone = [engine.synthesize([r])[0].audio for r in requests]
    together = engine.synthesize(requests[::-1])[::-1]
    assert all(torch.equal(a, b.audio) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("names", [("llm",), ("flow",), ("hift",), ("llm", "hift"), ("llm", "flow", "hift")])
def test_sections_are_laid_over_the_folders(
    engine: CosyVoice, voice: Voice, tmp_path: Path, version: int, names: tuple[str, ...]
) -> None:
    plain = speak(engine, voice)
    other = given(model_folder(tmp_path / "other", version, seed=9), *names)
    assert engine.load(other) == fingerprint(other)
    read = engine.weights()
    assert set(read) == set(other) and all(torch.equal(read[key], other[key]) for key in other)
    assert not torch.equal(speak(engine, voice).audio, plain.audio)
    kept = [name for name in ("llm", "flow", "hift") if name not in names]
    assert engine.notes == ((f"Of CosyVoice's networks, {' and '.join(kept)} come from model_dir.",) if kept else ())


def test_a_second_load_replaces_the_first_whole(engine: CosyVoice, voice: Voice, tmp_path: Path, version: int) -> None:
    other = model_folder(tmp_path / "other", version, seed=9)
    engine.load(given(other, "flow"))
    only_flow = speak(engine, voice)
    engine.load(given(other, "llm", "hift"))
    engine.load(given(other, "flow"))  # llm and hift must be the folder's again
    assert torch.equal(speak(engine, voice).audio, only_flow.audio)
    assert set(engine.weights()) == set(given(other, "flow"))


def test_the_folders_own_weights_change_nothing(engine: CosyVoice, voice: Voice, folder: Path) -> None:
    plain = speak(engine, voice)
    engine.load(given(folder, "llm", "flow", "hift"))
    assert torch.allclose(speak(engine, voice).audio, plain.audio, atol=1e-6)


def test_one_tensor_of_each_section_is_heard(engine: CosyVoice, voice: Voice, folder: Path) -> None:
    whole = given(folder, "llm", "flow", "hift")
    engine.load(whole)
    plain = speak(engine, voice)
    for key in ("llm_decoder.weight", "encoder.weight", "resblocks.0.weight", "conv_post.weight"):
        engine.load({**whole, key: whole[key] * 2})
        assert not torch.equal(speak(engine, voice).audio, plain.audio), key


def test_what_training_saves_beside_the_weights_is_left_out(engine: CosyVoice, tmp_path: Path, version: int) -> None:
    hift = given(model_folder(tmp_path / "other", version, seed=9), "hift")
    trained = {f"generator.{key}": value for key, value in hift.items()}
    trained |= {"epoch": torch.tensor(3), "step": torch.tensor(100), "discriminator.mpd.weight": torch.zeros(2)}
    assert engine.load(trained) == fingerprint(hift)
    assert set(engine.weights()) == set(hift)
    assert "Left out, since they are only for training: discriminator, epoch, step." in engine.notes
    with pytest.raises(EvalkitError, match=r"with and without 'generator\.'"):
        engine.load({**trained, "conv_pre.bias": hift["conv_pre.bias"]})


def test_weights_that_do_not_fit_change_nothing(engine: CosyVoice, voice: Voice, folder: Path) -> None:
    engine.load(given(folder, "llm"))
    plain, weights = speak(engine, voice), engine.weights()
    llm, flow = given(folder, "llm"), given(folder, "flow")
    key = "llm_decoder.weight"
    rest = {name: value for name, value in llm.items() if name != key}
    tied = {**llm, "llm.model.lm_head.weight": llm["llm.model.lm_head.weight"] + 1}
    for bad, said in (
        (rest, f"1 missing ({key})"),
        ({**llm, "llm_decoder.extra": torch.zeros(1)}, "1 extra (llm_decoder.extra)"),
        ({**llm, key: llm[key][:-1]}, f"1 of another shape ({key} [22, 8] instead of [23, 8])"),
        ({**rest, "llm_decoder.weights": llm[key]}, "1 missing (llm_decoder.weight); 1 extra (llm_decoder.weights)"),
        ({**llm, "input_embedding.weight": flow["input_embedding.weight"]}, "llm, flow: 8 missing"),
        ({"other.weight": torch.zeros(1)}, "no tensor of this CosyVoice's llm, flow, hift"),
        ({}, "no tensor"),
        (tied, "1 different under two names of one tensor (llm.model.model.embed_tokens.weight and llm.model.lm_head"),
    ):
        with pytest.raises(EvalkitError) as caught:
            engine.load(bad)
        assert said in str(caught.value)
        assert set(engine.weights()) == set(weights)
        assert all(torch.equal(engine.weights()[name], weights[name]) for name in weights)
        assert torch.equal(speak(engine, voice).audio, plain.audio)


def test_files_are_recognised(folder: Path) -> None:
    layouts = {"cosyvoice": CosyVoice.spec.layouts}
    for name in ("llm", "flow", "hift"):
        if name != "flow" or (folder / "cosyvoice2.yaml").exists():  # the small flow is that of version 2
            assert recognise(given(folder, name).keys(), layouts) == "cosyvoice"


def test_every_stream_begins_with_the_smallest_hop(engine: CosyVoice, voice: Voice) -> None:
    model = engine._tts.model
    for _ in range(3):
        model.asked_hops.clear()
        chunks = list(engine.stream(Request("a", "a text that is long enough to be streamed", 1, voice)))
        assert len(chunks) > 2 and all(len(chunk) for chunk in chunks)
        assert model.asked_hops[:2] == [25, 50]
        assert len(chunks[0]) == 25 * 2 * 480
    assert model.token_hop_len > 25


def test_a_stream_left_early_leaves_nothing_behind(engine: CosyVoice, voice: Voice) -> None:
    state = torch.get_rng_state()
    stream = engine.stream(Request("a", "a text that is long enough to be streamed", 1, voice))
    next(stream)
    stream.close()
    model = engine._tts.model
    assert not model.tts_speech_token_dict and not model.llm_end_dict and not model.hift_cache_dict
    assert torch.equal(torch.get_rng_state(), state)
    assert speak(engine, voice).status == "ok"


def test_a_language_model_that_fails_is_a_failure(engine: CosyVoice, voice: Voice) -> None:
    model = engine._tts.model
    good = speak(engine, voice)
    for tokens, said in ((5, "RuntimeError: no more tokens"), (0, "RuntimeError: no more tokens")):
        model.llm.fails_after = tokens
        speech = speak(engine, voice)
        assert speech.status == "failed" and said in str(speech.reason) and not len(speech.audio)
        with pytest.raises(EvalkitError, match=said):
            list(engine.stream(Request("a", TEXTS[1], 1, voice)))
        assert not model.tts_speech_token_dict
    model.llm.fails_after = None
    assert torch.equal(speak(engine, voice).audio, good.audio)


def test_a_language_model_without_an_end_is_said_to_be_truncated(engine: CosyVoice, voice: Voice) -> None:
    engine._tts.model.llm.ends = False
    speech = speak(engine, voice, "hello")
    assert speech.status == "truncated" and f"{20 * 5} tokens" in str(speech.reason)
    engine._tts.model.llm.ends = True
    assert speak(engine, voice, "hello").status == "ok"


def test_a_language_model_that_says_nothing_is_a_failure(engine: CosyVoice, voice: Voice) -> None:
    engine._generation._inference = lambda **given: iter(())  # type: ignore[union-attr]
    speech = speak(engine, voice)
    assert (speech.status, speech.reason) == ("failed", "The language model ended before its first token.")


def test_requests_that_cannot_be_spoken(engine: CosyVoice, voice: Voice) -> None:
    assert speak(engine, None).status == "bad_voice"
    assert speak(engine, Voice("other", "d", "d")).status == "bad_voice"
    assert speak(engine, voice, " ").status == "empty_text"
    assert speak(engine, voice, "...").status == "empty_text"
    assert speak(engine, voice, speed=9.0).status == "failed"
    assert speak(engine, voice, speed="fast").status == "failed"
    (speech,) = engine.synthesize([Request("a", "x", 0, voice, phonemes="x")])
    assert speech.status == "failed"
    with pytest.raises(EvalkitError, match="at speed 1 only"):
        list(engine.stream(Request("a", "hello", 0, voice, options={"speed": 1.5})))
    with pytest.raises(EvalkitError, match="needs a voice"):
        list(engine.stream(Request("a", "hello", 0)))
    assert len(speak(engine, voice, speed=2.0).audio) < len(speak(engine, voice).audio)


def test_broken_weights_are_not_finite(engine: CosyVoice, voice: Voice, folder: Path) -> None:
    hift = given(folder, "hift")
    engine.load({**hift, "conv_post.bias": torch.full_like(hift["conv_post.bias"], torch.nan)})
    assert speak(engine, voice).status == "not_finite"


def test_a_voice_is_its_clip_and_its_text(engine: CosyVoice, voice: Voice, tmp_path: Path, version: int) -> None:
    other_clip = engine.prepare_voice(clip(tmp_path / "b.wav", 1), "what is said")
    other_text = engine.prepare_voice(tmp_path / "clip.wav", "something else")
    assert len({voice.digest, other_clip.digest, other_text.digest}) == 3
    assert not torch.equal(speak(engine, other_clip).audio, speak(engine, voice).audio)
    prompts = engine._tts.frontend.spk2info[voice.digest]["prompt_text"]
    assert (99 in prompts) == (version == 3)  # <|endofprompt|>
    for path, text, said in (
        (tmp_path / "clip.wav", None, "give its text"),
        (tmp_path / "gone.wav", "x", "There is no clip"),
        (clip(tmp_path / "long.wav", seconds=31), "x", "31.0 s long"),
        (clip(tmp_path / "low.wav", rate=8000), "x", "8000 Hz"),
        (Path(__file__), "x", "cannot be read as audio"),
    ):
        with pytest.raises(EvalkitError, match=said):
            engine.prepare_voice(path, text)


def test_assets_that_cannot_be_used(tmp_path: Path, folder: Path, modules: None) -> None:
    source = checkout(tmp_path / "source")
    (tmp_path / "empty").mkdir()

    def refused(**assets: Path) -> str:
        with pytest.raises(EvalkitError) as caught:
            CosyVoice().set_up(Setup(assets))
        return str(caught.value)

    assert "--set source=FOLDER and --set model_dir=FOLDER" in refused()
    assert "is no checkout" in refused(source=folder, model_dir=folder)
    assert "is no model folder" in refused(source=source, model_dir=tmp_path / "empty")
    (folder / "flow.pt").rename(tmp_path / "flow.pt")
    assert "has no flow.pt" in refused(source=source, model_dir=folder)
    (folder / "flow.pt").write_bytes(b"damage")
    assert "cannot be made from" in refused(source=source, model_dir=folder)
    (tmp_path / "flow.pt").replace(folder / "flow.pt")
    with pytest.raises(EvalkitError, match="chose the device cpu, not cuda"):
        CosyVoice("cuda").set_up(Setup({"source": source, "model_dir": folder}))


def test_a_checkout_without_its_submodule_or_its_requirements(tmp_path: Path, folder: Path, modules: None) -> None:
    source = checkout(tmp_path / "source")
    matcha = source / "third_party" / "Matcha-TTS" / "matcha"
    matcha.rename(source / "elsewhere")
    with pytest.raises(EvalkitError, match="git submodule update --init"):
        CosyVoice().set_up(Setup({"source": source, "model_dir": folder}))
    (source / "elsewhere").rename(matcha)
    (source / "modelscope.py").write_text("import a_package_that_nobody_has\n")
    with pytest.raises(EvalkitError, match=r"a_package_that_nobody_has.*--set python=PATH"):
        CosyVoice().set_up(Setup({"source": source, "model_dir": folder}))


def test_nothing_works_before_set_up(tmp_path: Path) -> None:
    for use in (
        lambda: CosyVoice().synthesize([]),
        lambda: CosyVoice().load({}),
        lambda: CosyVoice().weights(),
        lambda: CosyVoice().prepare_voice(tmp_path, "x"),
    ):
        with pytest.raises(EvalkitError, match="set_up"):
            use()
