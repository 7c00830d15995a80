"""Parts of the Kokoro engine that need torch only: the configuration, the loader, masks and groups."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from evalkit.engines.base import Request, Voice
from evalkit.engines.kokoro import network
from evalkit.engines.kokoro.blocks import adain, mask_of, run_lstm
from evalkit.engines.kokoro.config import read_config
from evalkit.engines.kokoro.engine import Kokoro
from evalkit.engines.kokoro.speaking import MAX_FRAMES, MAX_PADDING, groups
from evalkit.errors import EvalkitError


def test_the_release_is_built_in() -> None:
    config = read_config(None)
    assert (config.hop, len(config.symbols), config.values["n_token"]) == (600, 114, 178)
    assert [config.symbols[s] for s in " ʈɖɳɽʂʰʋ"] == [16, 132, 80, 113, 129, 130, 162, 136]


def changed(**changes: Any) -> dict[str, Any]:
    return {**read_config(None).values, **changes}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read"),
        ("{", "not JSON"),
        ("[]", "no JSON object"),
        (json.dumps({"model_type": "qwen2"}), "lacks n_token, hidden_dim"),
        (json.dumps(changed(style_dim=64)), "style_dim 64"),
        (json.dumps(changed(n_layer=-1)), "positive whole number"),
        (json.dumps(changed(vocab={"ab": 3})), "single characters"),
        (json.dumps(changed(vocab={"a": 178})), "1 to 177"),
        (" " * (2**20 + 1), "larger"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: str | None, sentence: str) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(EvalkitError, match=sentence) as raised:
        read_config(path)
    assert str(path) in str(raised.value)


class Small(nn.Module):
    """Five sections, one of them with an InstanceNorm such as the package's."""

    def __init__(self) -> None:
        super().__init__()
        for section in network.SECTIONS:
            setattr(self, section, nn.Linear(2, 3))
        self.decoder = nn.Sequential(nn.Conv1d(2, 3, 1), nn.InstanceNorm1d(3, affine=True))


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    affine = network.affine_names(model)
    return {k: torch.randn(t.shape, generator=generator) for k, t in model.state_dict().items() if k not in affine}


def test_norms_that_a_checkpoint_lacks_are_one_and_zero_again() -> None:
    model = Small()
    weights = weights_of(model)
    network.load_strictly(model, {**weights, "decoder.1.weight": torch.full((3,), 7.0)})
    assert model.state_dict()["decoder.1.weight"].tolist() == [7.0] * 3
    network.load_strictly(model, weights)
    assert model.state_dict()["decoder.1.weight"].tolist() == [1.0] * 3
    assert model.state_dict()["decoder.1.bias"].tolist() == [0.0] * 3
    back = network.read_back(model, list(weights))
    assert all(torch.equal(back[key], tensor) for key, tensor in weights.items())


def test_nothing_is_loaded_when_something_does_not_fit() -> None:
    model = Small()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    weights = weights_of(model)
    bad = {k: t for k, t in weights.items() if not k.startswith("bert_encoder.")}
    with pytest.raises(EvalkitError, match=r"1 whole section missing \(bert_encoder\); 2 tensors missing"):
        network.load_strictly(model, bad)
    with pytest.raises(EvalkitError, match=r"1 tensor unknown to Kokoro \(decoder.9.weight\)"):
        network.load_strictly(model, {**weights, "decoder.9.weight": torch.zeros(1)})
    with pytest.raises(EvalkitError, match=r"bert.weight \[2, 3\] instead of \[3, 2\]"):
        network.load_strictly(model, {**weights, "bert.weight": weights["bert.weight"].T})
    with pytest.raises(EvalkitError, match="not float32"):
        network.load_strictly(model, {**weights, "bert.bias": torch.zeros(3, dtype=torch.int64)})
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


def test_only_known_sections_are_left_out() -> None:
    tensors = {
        "style_encoder.a": torch.zeros(1),
        "mpd.a": torch.zeros(1),
        "mpd.b": torch.zeros(1),
        "vocoder.a": torch.zeros(1),
    }
    counting = {network.COUNTING: torch.arange(512)[None]}
    found = network.sort_out({**tensors, **counting})
    assert list(found.spoken) == ["vocoder.a"]
    assert found.left_out == {"style_encoder": 1, "mpd": 2}
    assert list(network.sort_out({network.COUNTING: torch.arange(1, 513)[None]}).spoken) == [network.COUNTING]


def test_groups_hold_every_sentence_once_with_little_padding() -> None:
    generator = torch.Generator().manual_seed(5)
    lengths = torch.randint(3, 1200, (200,), generator=generator).tolist()
    found = groups(lengths)
    assert sorted(index for group in found for index in group) == list(range(200))
    for group in found:
        members = [lengths[index] for index in group]
        full = max(members) * len(members)
        assert sum(members) >= (1 - MAX_PADDING) * full
        assert full <= MAX_FRAMES
    assert groups([5] * 32) == [list(range(32))]
    assert groups([]) == []
    assert groups([100, 50]) == [[0], [1]]
    assert [len(group) for group in groups([MAX_FRAMES // 2] * 3)] == [2, 1]


class Norm(nn.Module):
    """AdaIN as the package has it, one sentence at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm1d(6, affine=True)
        self.fc = nn.Linear(4, 12)

    def forward(self, x: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        gamma, beta = self.fc(style)[..., None].chunk(2, dim=1)
        found: torch.Tensor = (1 + gamma) * self.norm(x) + beta
        return found


def test_a_padded_sentence_is_normalised_over_its_own_length() -> None:
    generator = torch.Generator().manual_seed(6)
    norm = Norm().double()
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.normal_(generator=generator)
    lengths = [9, 4, 7]
    x = torch.randn(3, 6, 9, generator=generator, dtype=torch.float64) + 30
    style = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    mask = mask_of(lengths, x)
    assert mask is not None
    with torch.no_grad():
        together = adain(norm, x * mask, style, mask)
        for row, length in enumerate(lengths):
            alone = adain(norm, x[row : row + 1, :, :length], style[row : row + 1], None)
            torch.testing.assert_close(together[row, :, :length], alone[0], atol=1e-9, rtol=0)
            assert not together[row, :, length:].any()
    assert mask_of([4, 4], x) is None


def test_the_backward_direction_starts_at_each_sentences_end() -> None:
    torch.manual_seed(7)
    lstm = nn.LSTM(3, 2, batch_first=True, bidirectional=True)
    x = torch.randn(2, 6, 3)
    with torch.no_grad():
        together = run_lstm(lstm, x, [6, 3])
        for row, length in enumerate([6, 3]):
            alone = run_lstm(lstm, x[row : row + 1, :length], [length])
            torch.testing.assert_close(together[row, :length], alone[0], atol=1e-6, rtol=0)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Kokoro:
    """An engine that has no network: what comes before it can be asked all the same."""
    engine = Kokoro()
    engine._config = read_config(None)
    engine._front_end = SimpleNamespace(read=lambda text, phonemes: phonemes.get(text, "sˈʌn"))  # type: ignore[assignment]
    monkeypatch.setattr(engine, "_loaded", nn.Module)
    return engine


VOICE = Voice("v", "d", torch.arange(510.0)[:, None, None].expand(510, 1, 256))


def request(text: str = "sun", **changes: Any) -> Request:
    return Request("a", text, 1, **{"voice": VOICE, **changes})


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (request(voice=None), "bad_voice"),
        (request(voice=Voice("v", "d", torch.zeros(3))), "bad_voice"),
        (request(" ... "), "empty_text"),
        (request(phonemes=" "), "empty_text"),
        (request(phonemes="☃☃"), "unknown_symbols"),
        (request(phonemes="a" * 511), "too_long"),
        (request(options={"speed": 3}), "failed"),
        (request(options={"speed": None}), "failed"),
    ],
)
def test_what_cannot_be_spoken_gets_a_status_and_a_reason(engine: Kokoro, asked: Request, status: str) -> None:
    [speech] = engine.synthesize([asked])
    assert speech.status == status
    assert speech.reason


def test_the_row_of_the_pack_counts_symbols_that_are_dropped(engine: Kokoro) -> None:
    ready: Any = engine._prepare(request(phonemes="sˈ☃ʌn☃"))
    assert ready.sentence.style.tolist() == [5.0] * 256  # six symbols
    assert (ready.phonemes, ready.dropped) == ("sˈʌn", "☃")
    assert ready.sentence.ids == [0, 61, 156, 138, 56, 0]


def test_a_suites_readings_are_spoken_when_asked_for(engine: Kokoro) -> None:
    asked = request(readings={"sun": "S AE1 N"})
    assert engine._prepare(asked).phonemes == "sˈʌn"  # type: ignore[union-attr]
    engine._options = {**engine._options, "entities": "suite"}
    assert engine._prepare(asked).phonemes == "sˈæn"  # type: ignore[union-attr]
    assert engine._prepare(request(readings={"sun": "☃"})).status == "failed"  # type: ignore[union-attr]


def test_a_text_that_the_front_end_fails_on_gets_a_status(engine: Kokoro) -> None:
    engine._front_end = SimpleNamespace(read=lambda text, phonemes: 1 / 0)  # type: ignore[assignment]
    [speech] = engine.synthesize([request()])
    assert speech.status == "failed"
    assert speech.reason == "The front end cannot read this text: division by zero."
