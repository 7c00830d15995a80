"""The standard judge of speaker similarity: its files, what it refuses to load, and its scores."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from parity_speaker import PlainResNet, check_similarity, plain_embedding, save_model
from torch import Tensor

from metrics.base import ClipBatch, Metric
from metrics.packages import sha256
from metrics.speaker_wespeaker import WespeakerSimilarity
from metrics.speaker_wespeaker_files import find_model

yaml = pytest.importorskip("yaml")
pytest.importorskip("torchaudio")

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, State]:
    """A model of random weights and its folder, never changed by a test."""
    folder = tmp_path_factory.mktemp("wespeaker") / "random-resnet18"
    return folder, save_model(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(scope="module")
def references(voice: Callable[..., Tensor], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    folder = tmp_path_factory.mktemp("speaker")
    for seed in range(2):
        soundfile.write(folder / f"{seed}.flac", voice(0.8 + 0.2 * seed, seed=seed).numpy(), 16000)
    return tuple(sorted(folder.iterdir()))


def export(state: State, path: Path, **names: Any) -> Path:
    """Write a network as wespeaker's export_onnx.py does."""
    pytest.importorskip("onnx")
    settings = {"input_names": ["feats"], "output_names": ["embs"]}
    settings["dynamic_axes"] = {"feats": {0: "B", 1: "T"}, "embs": {0: "B"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        network = PlainResNet(state).eval()
        torch.onnx.export(network, (torch.ones(1, 200, 80),), path, opset_version=14, dynamo=False, **settings | names)
    return path


def edit(folder: Path, **changes: Any) -> None:
    """Change the configuration; `section__key` is a key in a section."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for name, value in changes.items():
        *section, key = name.split("__")
        target = config.setdefault(section[0], {}) if section else config
        target[key] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def clips_of(voice: Callable[..., Tensor]) -> list[Tensor]:
    return [voice(0.6, seed=3), voice(1.1, pitch=180, seed=4), voice(0.6, seed=5), voice(0.601, seed=6)]


def test_scores_are_the_plain_networks(
    state: tuple[Path, State], references: tuple[Path, ...], voice: Callable[..., Tensor]
) -> None:
    path, weights = state
    metric = WespeakerSimilarity(model=str(path))
    check_similarity(metric, lambda clip: plain_embedding(weights, clip), clips_of(voice), references)


def test_an_onnx_file_scores_like_its_checkpoint(
    state: tuple[Path, State], references: tuple[Path, ...], voice: Callable[..., Tensor], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    _, weights = state
    file = export(weights, tmp_path / "voxceleb_resnet18.onnx")
    assert find_model(tmp_path) == find_model(file)
    metric = WespeakerSimilarity(model=str(file))
    check_similarity(metric, lambda clip: plain_embedding(weights, clip), clips_of(voice), references)
    passport = metric.passport()
    assert (passport.judge, passport.parameters["runtime"]) == ("wespeaker ONNX", "onnxruntime float32")
    assert passport.weights_sha256 == {file.name: sha256(file)}
    assert "onnxruntime" in passport.packages


@pytest.mark.parametrize("kind", ["checkpoint", "onnx"])
def test_alone_or_in_any_batch_order_and_padding(
    kind: str,
    state: tuple[Path, State],
    references: tuple[Path, ...],
    voice: Callable[..., Tensor],
    batch_of: Callable[..., ClipBatch],
    tmp_path: Path,
) -> None:
    path = state[0] if kind == "checkpoint" else export(state[1], tmp_path / "model.onnx")
    metric = WespeakerSimilarity(model=str(path))
    clips = clips_of(voice)
    together = metric.score(batch_of(clips, reference=references))
    turned = batch_of(clips[::-1], reference=references)
    audio = torch.nn.functional.pad(turned.audio, (0, 5000))
    padded = metric.score(ClipBatch(audio, turned.lengths, 16000, turned.info))
    for index, clip in enumerate(clips):
        alone = metric.score(batch_of([clip], reference=references))
        for column, values in together.items():
            assert values[index] == pytest.approx(alone[column][0], abs=1e-5)
            assert values[index] == pytest.approx(padded[column][::-1][index], abs=1e-5)


def test_a_clip_that_cannot_be_scored_leaves_the_others_alone(
    state: tuple[Path, State],
    references: tuple[Path, ...],
    voice: Callable[..., Tensor],
    batch_of: Callable[..., ClipBatch],
) -> None:
    metric = WespeakerSimilarity(model=str(state[0]))
    speech = voice(0.6)
    broken = speech.clone()
    broken[100] = torch.nan
    clips = [speech, torch.zeros(0), broken, torch.zeros(9000), voice(0.49), 1e-5 * speech]
    scores = metric.score(batch_of(clips, reference=references))
    alone = metric.score(batch_of([speech], reference=references))
    assert scores["speaker_cosine"][0] == pytest.approx(alone["speaker_cosine"][0], abs=1e-5)
    assert not scores.reasons[0]
    words = ["no samples", "not finite", "silent", "has 0.49 s of speech; at least 0.5 s", "silent"]
    for reasons, word in zip(scores.reasons[1:], words, strict=True):
        assert all(word in reasons[column] for column in scores)
    assert metric.score(batch_of([]))["speaker_cosine"] == []


def test_passport_names_what_a_score_depends_on(state: tuple[Path, State], folder: Path) -> None:
    metric = WespeakerSimilarity(model=str(state[0]))
    passport = metric.passport()
    assert isinstance(metric, Metric)
    assert passport.judge == "wespeaker ResNet18"
    assert set(passport.weights_sha256) == {"avg_model.pt", "config.yaml"}
    assert set(metric.spec.options) <= set(passport.parameters)
    assert passport == WespeakerSimilarity(model=f"{state[0]}/../{state[0].name}").passport(), (
        "where it lies is no matter"
    )
    torch.save(
        torch.load(folder / "avg_model.pt", weights_only=True) | {"seg_1.bias": torch.ones(16)}, folder / "avg_model.pt"
    )
    assert passport != WespeakerSimilarity(model=str(folder)).passport()


def test_without_weights_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EVALKIT_JUDGES", str(tmp_path))
    assert "evalkit fetch wespeaker:resnet34-lm" in (WespeakerSimilarity.unavailable() or "")
    assert "resnet43-lm" in (WespeakerSimilarity.unavailable(model="resnet43-lm") or "")
    assert "is no model of wespeaker" in (WespeakerSimilarity.unavailable(model=__file__) or "")
    with pytest.raises(ValueError, match="evalkit fetch wespeaker:resnet34-lm"):
        WespeakerSimilarity().passport()
    with pytest.raises(ValueError, match="has no name"):
        WespeakerSimilarity(model="")


def test_a_model_that_is_there_is_available(state: tuple[Path, State]) -> None:
    assert WespeakerSimilarity.unavailable(model=str(state[0])) is None


def load(folder: Path) -> None:
    find_model(folder).encoder(torch.device("cpu"))


def resave(folder: Path, change: Callable[[State], Any]) -> None:
    state = torch.load(folder / "avg_model.pt", weights_only=True)
    torch.save(change(state), folder / "avg_model.pt")


def test_a_wrapped_state_dict_is_read(folder: Path) -> None:
    resave(folder, lambda state: {"state_dict": state, "epoch": 5})
    load(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: {k: v for k, v in state.items() if "layer2.0" not in k}, "layer2.0.conv1.weight.* more missing"),
        (lambda state: state | {"seg_2.weight": torch.zeros(1)}, "seg_2.weight not expected"),
        (lambda state: {f"module.{k}": v for k, v in state.items()}, "missing; module.conv1.weight"),
        (lambda state: state | {"seg_1.bias": torch.zeros(17)}, "seg_1.bias of another shape"),
        (lambda state: state | {"bn1.weight": torch.full((32,), torch.nan)}, "bn1.weight not finite"),
        (lambda state: list(state.values()), "is no state dict"),
    ],
)
def test_weights_of_another_network_are_refused(folder: Path, change: Callable[[State], Any], words: str) -> None:
    resave(folder, change)
    with pytest.raises(ValueError, match=rf"avg_model.pt.*{words}"):
        load(folder)


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.getcwd, ()


def test_a_checkpoint_that_runs_code_is_refused(folder: Path) -> None:
    torch.save({"conv1.weight": Harmful()}, folder / "avg_model.pt")
    with pytest.raises(ValueError, match=r"holds posix.getcwd, which could run code"):
        load(folder)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_checkpoint_is_refused(folder: Path, content: bytes) -> None:
    (folder / "avg_model.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"avg_model.pt (is not|cannot be) read"):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "CAMPPlus"}, "model CAMPPlus, and evalkit runs ResNet18, ResNet34"),
        ({"model": ["ResNet34"]}, "model .*ResNet34.*evalkit runs"),
        ({"model_args__pooling_func": "ASTP"}, "pooling_func ASTP"),
        ({"model_args__two_emb_layer": True}, "two_emb_layer True"),
        ({"model_args__feat_dim": 40}, "feat_dim 40"),
        ({"model_args__embed_dim": None}, "no model_args.embed_dim"),
        ({"model_args": None}, "feat_dim None"),
        ({"dataset_args__frontend": "s3prl"}, "frontend s3prl"),
        ({"dataset_args__resample_rate": 8000}, "resample_rate 8000"),
    ],
)
def test_a_network_that_is_not_supported_is_refused(folder: Path, changes: dict[str, Any], words: str) -> None:
    edit(folder, **changes)
    with pytest.raises(ValueError, match=words):
        find_model(folder)
    assert words.split(maxsplit=1)[0] in (WespeakerSimilarity.unavailable(model=str(folder)) or "")


@pytest.mark.parametrize("content", ["a: [", "just words", ""])
def test_a_configuration_that_cannot_be_read_is_named(folder: Path, content: str) -> None:
    (folder / "config.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"config.yaml (cannot be read|is no configuration)"):
        find_model(folder)


def test_a_folder_without_a_model_is_refused(folder: Path) -> None:
    (folder / "config.yaml").unlink()
    with pytest.raises(ValueError, match=r"config.yaml cannot be read"):
        find_model(folder)
    (folder / "avg_model.pt").rename(folder / "model.pt")
    for path in (folder, folder / "model.pt", folder / "absent"):
        with pytest.raises(ValueError, match="is no model of wespeaker"):
            find_model(path)


def test_an_onnx_network_of_another_kind_is_refused(state: tuple[Path, State], tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    export(state[1], tmp_path / "fixed.onnx", dynamic_axes={})
    export(state[1], tmp_path / "renamed.onnx", output_names=["embedding"])
    (tmp_path / "text.onnx").write_text("not a network")
    for name, words in {"fixed": r"\[1, 200, 80\].*--num_frames", "renamed": "embedding", "text": "as an ONNX"}.items():
        with pytest.raises(ValueError, match=rf"{name}.onnx.*{words}"):
            load(tmp_path / f"{name}.onnx")
    with pytest.raises(ValueError, match="is no model of wespeaker"):
        load(tmp_path)  # which of them?
