"""The MOS predictors, with random weights of the real classes, against those classes asked directly."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from metrics.base import ClipBatch, ClipInfo
from metrics.mos_squim import SquimObjective, SquimSubjective
from metrics.mos_wvmos import WvMos, build

RATE = 16000


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the networks be built small, so that a test writes kilobytes instead of 380 megabytes."""
    import torchaudio.models
    import transformers

    assert transformers.Wav2Vec2Model  # imported now: its lazy import would put the config that is replaced here back
    small = {"num_hidden_layers": 1, "intermediate_size": 64, "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 8}
    monkeypatch.setattr(transformers, "Wav2Vec2Config", partial(transformers.Wav2Vec2Config, **small))
    objective = partial(
        torchaudio.models.squim_objective_model,
        feat_dim=16,
        win_len=64,
        d_model=16,
        nhead=2,
        hidden_dim=16,
        num_blocks=1,
        rnn_type="LSTM",
        chunk_size=71,
    )
    monkeypatch.setattr(torchaudio.models, "squim_objective_base", objective)
    layers = [(16, 10, 5)] + [(16, 3, 2)] * 4 + [(16, 2, 2)] * 2
    tiny = partial(
        torchaudio.models.wav2vec2_model,
        extractor_mode="group_norm",
        extractor_conv_layer_config=layers,
        extractor_conv_bias=False,
        encoder_embed_dim=32,
        encoder_projection_dropout=0.0,
        encoder_pos_conv_kernel=8,
        encoder_pos_conv_groups=2,
        encoder_num_layers=1,
        encoder_num_heads=2,
        encoder_attention_dropout=0.0,
        encoder_ff_interm_features=64,
        encoder_ff_interm_dropout=0.0,
        encoder_dropout=0.0,
        encoder_layer_norm_first=False,
        encoder_layer_drop=0.0,
        aux_num_out=None,
    )
    monkeypatch.setattr(torchaudio.models, "tiny_wav2vec2", tiny, raising=False)
    subjective = partial(torchaudio.models.squim_subjective_model, "tiny_wav2vec2", feat_dim=32, proj_dim=8, att_dim=5)
    monkeypatch.setattr(torchaudio.models, "squim_subjective_base", subjective)


def write_wvmos(path: Path) -> torch.nn.ModuleDict:
    """A checkpoint as Lightning writes one, with tensors of other things beside the network's."""
    torch.manual_seed(1)
    network = build().eval()
    state = {f"model.{name}": tensor for name, tensor in network.state_dict().items()} | {"loss.w": torch.ones(1)}
    torch.save({"state_dict": state, "epoch": 3}, path)
    return network


def write_squim(path: Path, model: str) -> torch.nn.Module:
    import torchaudio.models

    torch.manual_seed(2)
    network: torch.nn.Module = getattr(torchaudio.models, f"squim_{model}_base")().eval()
    torch.save(network.state_dict(), path)
    return network


def batch_of(clips: Sequence[Tensor], reference: Sequence[Path] = ()) -> ClipBatch:
    return ClipBatch.of(clips, RATE, [ClipInfo(str(n), reference=tuple(reference)) for n in range(len(clips))])


def check_wvmos(clips: Sequence[Tensor], folder: Path) -> None:
    """The package's arithmetic: transformers' feature extractor, encoder, head, mean over frames."""
    from transformers import Wav2Vec2FeatureExtractor

    network: Any = write_wvmos(folder / "wv_mos.ckpt")
    ours = WvMos(weights=str(folder / "wv_mos.ckpt")).score(batch_of(clips))["wvmos"]
    for clip, value in zip(clips, ours, strict=True):
        read = Wav2Vec2FeatureExtractor()(clip.numpy(), return_tensors="pt", sampling_rate=RATE).input_values
        with torch.no_grad():
            expected = network["dense"](network["encoder"](read)["last_hidden_state"]).mean(dim=[1, 2]).item()
        assert abs(value - expected) < 1e-5, (value, expected)


def check_squim(clips: Sequence[Tensor], folder: Path) -> None:
    network = write_squim(folder / "objective.pth", "objective")
    ours = SquimObjective(weights=str(folder / "objective.pth")).score(batch_of(clips))
    for index, clip in enumerate(clips):
        with torch.no_grad():
            stoi, pesq, si_sdr = (float(value) for value in network(clip[None]))
        for column, expected in {"squim_stoi": stoi, "squim_pesq": pesq, "squim_si_sdr_db": si_sdr}.items():
            assert abs(ours[column][index] - expected) < 1e-5, (column, ours[column][index], expected)


def check_squim_mos(clips: Sequence[Tensor], folder: Path) -> None:
    """The reference is a stereo file at another rate, longer and louder than the clips."""
    import numpy as np
    import soundfile
    import soxr

    network = write_squim(folder / "subjective.pth", "subjective")
    noise = np.random.default_rng(0).standard_normal((24000 * 2, 2)).astype(np.float32).cumsum(axis=0) / 400
    soundfile.write(folder / "reference.wav", noise, 24000, subtype="FLOAT")
    reference = torch.from_numpy(soxr.resample(noise.mean(axis=1), 24000, RATE, quality="HQ"))
    batch = batch_of(clips, [folder / "reference.wav"])
    ours = SquimSubjective(weights=str(folder / "subjective.pth")).score(batch)["squim_mos"]
    for clip, value in zip(clips, ours, strict=True):
        with torch.no_grad():
            expected = float(network(clip[None], reference[None]))
        assert abs(value - expected) < 1e-5, (value, expected)
