"""The parts of the F5-TTS engine that need none of its packages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from evalkit.checkpoints import recognise
from evalkit.engines.environments import requirements_of
from evalkit.engines.f5 import configuration, network, sampling, text
from evalkit.engines.f5.configuration import MEL, Configuration
from evalkit.engines.f5.engine import F5TTS
from evalkit.engines.f5.padding import MaskedAttention, MaskedGRN, Padding
from evalkit.engines.f5.vocoder import CLASSES, load_vocoder
from evalkit.errors import EvalkitError

WIDTH, HEADS = 8, 2
LENGTHS = (5, 9, 2)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_importing_the_engine_imports_none_of_its_packages() -> None:
    said = "import sys, evalkit.engines.f5.engine, evalkit.engines.f5.example;"
    said += "print([m for m in ('f5_tts', 'vocos', 'torchaudio', 'pydub', 'soundfile', 'yaml') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_its_checkpoints_are_recognised() -> None:
    layouts = {"f5": F5TTS.spec.layouts}
    keys = [*F5TTS.spec.layouts[0].markers, network.ROTARY]
    assert recognise(keys, layouts) == "f5"
    with pytest.raises(EvalkitError):
        recognise(["transformer.h.0.attn.weight"], layouts)


def test_requirements_are_complete_and_pinned() -> None:
    assert F5TTS.spec.environment is not None
    lines = requirements_of(F5TTS.spec.environment).read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pinned["torch"] == pinned["torchaudio"] == "2.11.0"
    assert {"numpy", "safetensors", "soundfile", "pyyaml"} <= set(pinned)
    for package, version in F5TTS.spec.environment.packages.items():
        assert pinned[package] == version


@pytest.mark.parametrize(
    ("given", "read"),
    [("Hello", "Hello.  "), ("Hello.", "Hello.  "), ("Hello. ", "Hello.  "), ("Why?", "Why?.  "), ("你好。", "你好。")],
)
def test_the_references_text_ends_as_the_package_ends_it(given: str, read: str) -> None:
    assert text.reference_text(given) == read


def test_frames_follow_the_references_rate_in_bytes() -> None:
    assert text.frames_for("x" * 30, "y" * 20, 100, 1.0) == 250
    assert text.frames_for("x" * 30, "y" * 20, 100, 2.0) == 175
    assert text.frames_for("é" * 15, "y" * 20, 100, 1.0) == 250
    assert text.frames_for("x" * 9, "y" * 20, 100, 2.0) == 100 + 150  # under ten bytes: 0.3, whatever was asked


def test_the_first_symbol_is_read_for_unknown_ones() -> None:
    vocabulary = text.Vocabulary({" ": 0, "a": 1, "ni3": 2})
    read = ["a", "☃", "ni3", "☃"]
    assert text.rows(read, vocabulary).tolist() == [1, 0, 2, 0]
    assert text.unknown_symbols(read, vocabulary) == ["☃"]
    assert vocabulary.unknown == " "


def _padding(lengths: tuple[int, ...]) -> Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def test_response_normalisation_does_not_see_padding() -> None:
    padding = Padding()
    grn = MaskedGRN(SimpleNamespace(gamma=torch.randn(1, 1, WIDTH), beta=torch.randn(1, 1, WIDTH)), padding)
    x = 3 * torch.randn(len(LENGTHS), max(LENGTHS), WIDTH)
    with padding.of(_padding(LENGTHS)):
        together = grn(x)
    for row, length, alone in zip(together, LENGTHS, x, strict=True):
        assert torch.allclose(row[:length], grn(alone[None, :length])[0], atol=1e-6)
    assert not torch.allclose(together, grn(x), atol=1e-2)


def test_attention_does_not_see_padding() -> None:
    layers = {name: nn.Linear(WIDTH, WIDTH) for name in ("to_q", "to_k", "to_v")}
    attn = SimpleNamespace(heads=HEADS, q_norm=None, k_norm=None, to_out=[nn.Linear(WIDTH, WIDTH)], **layers)
    attend = MaskedAttention(None)
    x = torch.randn(len(LENGTHS), max(LENGTHS), WIDTH)
    together = attend(attn, x, mask=_padding(LENGTHS))
    for row, length, alone in zip(together, LENGTHS, x, strict=True):
        assert torch.allclose(row[:length], attend(attn, alone[None, :length])[0], atol=1e-6)
        assert not row[length:].any()


class Flow:
    """Stands for the DiT: flow that depends on all inputs, with an unconditional half behind the conditional one."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.masks: list[Tensor | None] = []

    def clear_cache(self) -> None: ...

    def __call__(self, x: Tensor, cond: Tensor, text: Tensor, time: Tensor, mask: Any, **named: bool) -> Tensor:
        self.times.append(float(time))
        self.masks.append(mask)
        spelled = torch.where(text < 0, 0, text).sum(1)[:, None, None] * 0.01
        flow = torch.sin(x) * time + cond + spelled
        return torch.cat([flow, flow - 1]) if named["cfg_infer"] else flow


def _drawn(sentences: list[sampling.Sentence], solver: sampling.Solver) -> tuple[list[Tensor], Flow]:
    flow = Flow()
    cfm = SimpleNamespace(device=torch.device("cpu"), transformer=flow)
    return sampling.sample(network.Network(Configuration("x", {}), cfm, Padding()), sentences, solver), flow


def _sentences() -> list[sampling.Sentence]:
    return [
        sampling.Sentence(torch.randn(given, 100), torch.arange(symbols), frames, seed)
        for given, symbols, frames, seed in ((4, 3, 9, 1), (6, 8, 14, 2), (4, 5, 14, 1))
    ]


SOLVER = sampling.Solver(steps=4, cfg_strength=2.0, sway=-1.0, epss=False)


def test_each_sentence_is_drawn_from_its_own_seed_and_length() -> None:
    sentences = _sentences()
    together, _ = _drawn(sentences, SOLVER)
    for sentence, mel in zip(sentences, together, strict=True):
        (alone,), _ = _drawn([sentence], SOLVER)
        assert mel.shape == (sentence.frames, 100)
        assert torch.allclose(mel, alone, atol=1e-5)
        assert torch.equal(mel[: len(sentence.reference)], sentence.reference)


def test_solver_is_euler_with_guidance_and_sway() -> None:
    sentence = _sentences()[0]
    (drawn,), flow = _drawn([sentence], SOLVER)
    even = torch.arange(5) / 4
    times = even - (torch.cos(torch.pi / 2 * even) - 1 + even)
    x = torch.randn(9, 100, generator=torch.Generator().manual_seed(1))
    reference = torch.cat([sentence.reference, torch.zeros(5, 100)])
    for now, later in pairwise(times):
        x = x + (later - now) * (torch.sin(x) * now + reference + 0.03 + 2.0)  # guidance: 2 * (flow - (flow - 1))
    assert torch.allclose(drawn[4:], x[4:], atol=1e-5)
    assert flow.times == pytest.approx(times[:-1].tolist(), abs=1e-6)


def test_a_batch_of_one_length_needs_no_mask() -> None:
    first, _, third = _sentences()
    _, flow = _drawn([third, third], SOLVER)
    assert all(mask is None for mask in flow.masks)
    _, flow = _drawn([first, third], SOLVER)
    assert [mask.sum(1).tolist() for mask in flow.masks if mask is not None] == [[9, 14]] * SOLVER.steps


@pytest.mark.parametrize("frames", [[], [5], [100, 90, 80, 79, 10], [3, 400, 390, 3, 310, 320], [7] * 40])
def test_batches_hold_every_sentence_once_and_little_padding(frames: list[int]) -> None:
    groups = sampling.batches(frames)
    assert sorted(place for group in groups for place in group) == list(range(len(frames)))
    for group in groups:
        assert min(frames[p] for p in group) >= sampling.FILLED * max(frames[p] for p in group)
    longest = [max(frames[p] for p in group) for group in groups]
    assert all(later < sampling.FILLED * former for former, later in pairwise(longest))  # and no more than needed


def _network() -> network.Network:
    cfm = nn.Module()
    cfm.transformer = nn.Module()
    cfm.transformer.text_embed = nn.Module()
    cfm.transformer.text_embed.text_embed = nn.Embedding(4, 3)
    cfm.transformer.proj_out = nn.Linear(3, 3)
    cfm.transformer.rotary_embed = nn.Module()
    cfm.transformer.rotary_embed.register_buffer("inv_freq", 1 / 10000 ** (torch.arange(0, 8, 2) / 8))
    return network.Network(Configuration("F5TTS_Base", {}), cfm.requires_grad_(False), Padding())


@pytest.mark.parametrize(
    ("change", "said"),
    {
        "missing": (lambda w: w.pop("transformer.proj_out.bias"), "1 missing (transformer.proj_out.bias)"),
        "extra": (lambda w: w.update({"transformer.more": torch.zeros(1)}), "1 extra (transformer.more)"),
        "shape": (
            lambda w: w.update({"transformer.proj_out.bias": torch.zeros(4)}),
            "transformer.proj_out.bias [4] instead of [3]",
        ),
        "renamed": (lambda w: w.update(proj=w.pop("transformer.proj_out.bias")), "1 missing"),
        "vocabulary": (lambda w: w.update({network.EMBEDDING: torch.zeros(9, 3)}), "a vocabulary of 8 symbols"),
        "table": (lambda w: w[network.ROTARY].mul_(1.02), "is not the table"),
    }.values(),
)
def test_strict_loading_refuses_and_loads_nothing(change: Any, said: str) -> None:
    net = _network()
    before = {key: tensor.clone() for key, tensor in net.state().items()}
    weights = {key: tensor.clone() if "inv_freq" in key else tensor + 1 for key, tensor in before.items()}
    change(weights)
    with pytest.raises(EvalkitError) as refused:
        network.load_strictly(net, weights)
    assert said in str(refused.value)
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state().items())
    assert ("F5TTS_Base" in str(refused.value)) == (said not in ("a vocabulary of 8 symbols", "is not the table"))


def test_strict_loading_copies_what_was_given() -> None:
    net = _network()
    weights = {key: tensor + 1 for key, tensor in net.state().items() if key != network.ROTARY}
    loaded, notes = network.load_strictly(net, weights | {network.LEGACY[1]: torch.ones(3)})
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(net.state()[key], tensor) for key, tensor in weights.items())
    assert len(notes) == 1 and network.LEGACY[1] in notes[0]


def _configuration(**changes: Any) -> dict[str, Any]:
    arch = {"dim": 64, "depth": 2, "heads": 2, "attn_backend": "flash_attn", "attn_mask_enabled": False}
    model: dict[str, Any] = {"backbone": "DiT", "arch": arch, "mel_spec": dict(MEL)}
    return {"model": model | changes}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a": 1}, "not of the package's form"),
        (_configuration(backbone="UNetT"), "DiT only"),
        (_configuration(mel_spec=dict(MEL) | {"mel_spec_type": "bigvgan"}), "mel_spec_type 'bigvgan'"),
        (_configuration(arch={"dim": "64"}), "whole numbers"),
        (_configuration(arch={"depth": 4}), "whole numbers"),
    ],
)
def test_a_configuration_of_another_kind_is_refused(tmp_path: Path, content: Any, said: str) -> None:
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(EvalkitError, match=said):
        configuration.read(tmp_path / "c.yaml")


def test_a_configuration_keeps_what_decides_the_network(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(_configuration()))
    assert configuration.read(tmp_path / "c.yaml").arch == {"dim": 64, "depth": 2, "heads": 2}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"head": {"class_path": "os.system", "init_args": {"hop_length": 256}}}, "head os.system"),
        ({"backbone": {"class_path": CLASSES["backbone"], "init_args": {"input_channels": 80}}}, "input_channels 80"),
        ({"head": None}, "not of the form"),
    ],
)
def test_a_vocoder_of_other_classes_or_frames_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    sizes = {
        "feature_extractor": {"sample_rate": 24000, "n_mels": 100, "hop_length": 256},
        "backbone": {"input_channels": 100},
        "head": {"hop_length": 256},
    }
    content = {part: {"class_path": name, "init_args": sizes[part]} for part, name in CLASSES.items()}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content | change))
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(EvalkitError, match=said):
        load_vocoder(tmp_path)
