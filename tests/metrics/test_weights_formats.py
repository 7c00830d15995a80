"""Files of the real formats, with random weights, fetched from a mirror on loopback and read by the real packages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from weights_judges import Recorder, publish_whisper
from weights_server import WeightsServer, serve

from metrics.weights import catalogue, download, require
from metrics.weights.catalogue import parse
from metrics.weights.fetch import fetch


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WeightsServer]:
    """Cuts every answer after 700,000 bytes, so that all but the smallest files arrive in pieces."""
    monkeypatch.setenv("EVALKIT_JUDGES", str(tmp_path / "judges"))
    monkeypatch.delenv("EVALKIT_JUDGES_LOCK", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "WAIT_S", 0.0)
    with serve(WeightsServer(closes_after=700_000)) as running:
        yield running
    catalogue.package_table.cache_clear()


def publish(mirror: WeightsServer, folder: Path, judge_id: str) -> None:
    """Lay a folder's files out as a judges folder does."""
    for file in folder.iterdir():
        mirror.files[f"/{judge_id.replace(':', '/')}/{file.name}"] = file.read_bytes()


def test_openai_whisper(mirror: WeightsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whisper = pytest.importorskip("whisper")
    from whisper.model import ModelDimensions, Whisper

    torch.manual_seed(0)
    model = Whisper(ModelDimensions(80, 1500, 64, 2, 1, 51864, 448, 64, 2, 1)).eval()
    torch.nn.init.normal_(model.decoder.positional_embedding)  # the class leaves it as the memory was
    original = tmp_path / "tiny.en.pt"
    torch.save({"dims": asdict(model.dims), "model_state_dict": model.state_dict()}, original)
    path = publish_whisper(monkeypatch, tmp_path, original.read_bytes(), mirror.address)
    mirror.files[path] = original.read_bytes()

    fetch(parse("whisper:tiny.en"), Recorder())

    assert len(mirror.ranges_of(path)) > 1
    loaded = whisper.load_model(str(require("whisper", "tiny.en").path), device="cpu")
    mel, tokens = torch.randn(1, 80, 3000), torch.tensor([[50257, 50362]])
    with torch.inference_mode():
        torch.testing.assert_close(loaded(mel, tokens), model(mel, tokens), rtol=0, atol=0)


def test_wespeaker(mirror: WeightsServer, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    torch.manual_seed(0)
    state = {
        "conv1.weight": torch.randn(32, 1, 3, 3),
        "layer4.2.bn2.num_batches_tracked": torch.tensor(7),
        "seg_1.weight": torch.randn(256, 5120),
        "projection.weight": torch.randn(17, 256),
    }
    config = {"model": "ResNet34", "model_args": {"embed_dim": 256, "feat_dim": 80, "pooling_func": "TSTP"}}
    folder = tmp_path / "exp"
    folder.mkdir()
    torch.save(state, folder / "avg_model.pt")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    publish(mirror, folder, "wespeaker:resnet34-lm")

    fetched = fetch(parse("wespeaker:resnet34-lm"), Recorder(), mirror=mirror.address)

    path = require("wespeaker", "resnet34-lm").path
    assert set(fetched.weights.sha256) == {"avg_model.pt", "config.yaml"}
    loaded = torch.load(path / "avg_model.pt", weights_only=True)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    assert yaml.safe_load((path / "config.yaml").read_text()) == config


def test_wav2vec2(mirror: WeightsServer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "a": 4, "ə": 5}
    model = transformers.Wav2Vec2ForCTC(
        transformers.Wav2Vec2Config(
            vocab_size=len(vocabulary),
            hidden_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            conv_dim=(48, 48),
            conv_kernel=(10, 8),
            conv_stride=(5, 4),
            num_feat_extract_layers=2,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=4,
            mask_time_prob=0.0,
        )
    ).eval()
    folder = tmp_path / "saved"
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    publish(mirror, folder, "wav2vec2:lv-60-espeak")

    fetched = fetch(parse("wav2vec2:lv-60-espeak"), Recorder(), mirror=mirror.address)

    assert {"config.json", "vocab.json", "model.safetensors"} <= set(fetched.weights.sha256)
    path = require("wav2vec2", "lv-60-espeak").path
    loaded = transformers.Wav2Vec2ForCTC.from_pretrained(path, local_files_only=True).eval()
    audio = torch.randn(2, 4000)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(audio).logits, model(audio).logits, rtol=0, atol=0)
    assert json.loads((path / "vocab.json").read_text(encoding="utf-8")) == vocabulary
