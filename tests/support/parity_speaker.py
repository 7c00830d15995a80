"""The judges of speaker similarity against their references, one clip at a time; an AssertionError says they differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import yaml
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, cosine_similarity, linear, normalize, relu

from metrics.base import ClipBatch, ClipInfo
from metrics.fbank import fbank, frame_count, subtract_mean
from metrics.resnet_speaker import ARCHITECTURES, SpeakerResNet
from metrics.speaker_encoders import ResNetEncoder
from metrics.speaker_ge2e import Ge2eEncoder, embed
from metrics.speaker_similarity import SpeakerSimilarity
from metrics.speaker_speech import prepare


def padded(clips: Sequence[Tensor], extra: int = 1700) -> Tensor:
    """Clips in one tensor, longer than the longest of them; what is behind a clip is noise, to show any leak."""
    audio = 0.3 * torch.randn(len(clips), max(map(len, clips)) + extra, generator=torch.Generator().manual_seed(9))
    for row, clip in zip(audio, clips, strict=True):
        row[: len(clip)] = clip
    return audio


def kaldi_features(clip: Tensor) -> Tensor:
    """What wespeaker computes (`Speaker.compute_features`, without the mean), float32 [frames, 80]."""
    from torchaudio.compliance import kaldi

    return kaldi.fbank(32768 * clip[None], num_mel_bins=80, sample_frequency=16000, window_type="hamming")


def check_fbank(clips: Sequence[Tensor], tolerance: float = 1e-5) -> None:
    """Features of padded clips equal Kaldi's to `tolerance` x max(1, |x|), and less their mean likewise."""
    counts = torch.tensor([frame_count(len(clip)) for clip in clips])
    features = fbank(padded(clips))
    centred = subtract_mean(features, counts)
    for row, row_centred, clip, count in zip(features, centred, clips, counts.tolist(), strict=True):
        theirs = kaldi_features(clip)
        assert len(theirs) == count
        np.testing.assert_allclose(row[:count], theirs, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(row_centred[:count], theirs - theirs.mean(dim=0), rtol=tolerance, atol=3 * tolerance)
        assert not row_centred[count:].any()


class PlainResNet(nn.Module):
    """wespeaker's ResNet as it stands in its papers: no masks, a state dict instead of layers, equal lengths only."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.state = state

    def _convolution(self, x: Tensor, name: str, norm: str, stride: int = 1) -> Tensor:
        weight = self.state[f"{name}.weight"]
        x = conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        statistics = [self.state[f"{norm}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
        return batch_norm(x, *statistics)

    def _block(self, x: Tensor, name: str, stride: int) -> Tensor:
        bottleneck = f"{name}.conv3.weight" in self.state
        y, last = x, 3 if bottleneck else 2
        for layer in range(1, last + 1):
            here = stride if layer == (2 if bottleneck else 1) else 1
            y = self._convolution(y, f"{name}.conv{layer}", f"{name}.bn{layer}", here)
            y = relu(y) if layer < last else y
        if f"{name}.shortcut.0.weight" in self.state:
            x = self._convolution(x, f"{name}.shortcut.0", f"{name}.shortcut.1", stride)
        return relu(x + y)

    def forward(self, feats: Tensor) -> Tensor:
        """Embeddings [clips, dimensions] of features [clips, frames, 80]."""
        x = relu(self._convolution(feats.transpose(1, 2)[:, None], "conv1", "bn1"))
        for stage in (1, 2, 3, 4):
            index = 0
            while f"layer{stage}.{index}.conv1.weight" in self.state:
                x = self._block(x, f"layer{stage}.{index}", 2 if index == 0 and stage > 1 else 1)
                index += 1
        deviation = (x.var(dim=-1, unbiased=True) + 1e-7).sqrt()
        stats = torch.cat([x.mean(dim=-1).flatten(1), deviation.flatten(1)], dim=1)
        return linear(stats, self.state["seg_1.weight"], self.state["seg_1.bias"])


@lru_cache
def random_state(architecture: str, dimensions: int = 16) -> dict[str, Tensor]:
    """Random weights under wespeaker's names, with batch statistics that turn zeros into something else. Read only."""
    torch.manual_seed(0)
    network = SpeakerResNet(*ARCHITECTURES[architecture], dimensions)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def save_model(folder: Path, architecture: str = "ResNet18", dimensions: int = 16) -> dict[str, Tensor]:
    """Write a model as wespeaker's training does (its loss's weights included); returns the encoder's weights."""
    folder.mkdir(parents=True, exist_ok=True)
    state = random_state(architecture, dimensions)
    torch.save({**state, "projection.weight": torch.zeros(5, dimensions)}, folder / "avg_model.pt")
    arguments = {"feat_dim": 80, "embed_dim": dimensions, "pooling_func": "TSTP", "two_emb_layer": False}
    config = {"model": architecture, "model_args": arguments, "dataset_args": {"resample_rate": 16000}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return state


def plain_embedding(state: dict[str, Tensor], clip: Tensor) -> Tensor:
    """Embedding of length 1 of one clip, float32 [dimensions]: Kaldi's features, their mean away, the plain network."""
    features = kaldi_features(clip)
    return normalize(PlainResNet(state)((features - features.mean(dim=0))[None])[0], dim=0)


def check_wespeaker(clips: Sequence[Tensor], architecture: str = "ResNet18") -> None:
    """Embeddings of clips that share a masked pass equal those of the plain network one by one, to 1e-5."""
    state = random_state(architecture)
    network = SpeakerResNet(*ARCHITECTURES[architecture], 16)
    network.load_state_dict(state)
    ours = ResNetEncoder(network, torch.device("cpu")).embed(clips)
    for embedding, clip in zip(ours, clips, strict=True):
        np.testing.assert_allclose(embedding, plain_embedding(state, clip), atol=1e-5)


def resemblyzer_embedding(clip: Tensor) -> Tensor:
    """Embedding of one clip, float32 [256], by resemblyzer itself."""
    import resemblyzer

    return torch.from_numpy(_resemblyzer_encoder().embed_utterance(resemblyzer.preprocess_wav(clip.numpy())))


@lru_cache
def _resemblyzer_encoder() -> Any:
    import resemblyzer

    return resemblyzer.VoiceEncoder("cpu", verbose=False)


def check_ge2e(clips: Sequence[Tensor]) -> None:
    """Preparation equals resemblyzer's to 1e-6, and embeddings of all clips at once equal its own to 1e-5."""
    import resemblyzer

    speech = [prepare(clip) for clip in clips]
    for own, clip in zip(speech, clips, strict=True):
        theirs = resemblyzer.preprocess_wav(clip.numpy())
        assert len(own) == len(theirs)
        np.testing.assert_allclose(own, theirs, atol=1e-6)
    for own, clip in zip(embed(Ge2eEncoder.pretrained(), speech), clips, strict=True):
        np.testing.assert_allclose(own, resemblyzer_embedding(clip), atol=1e-5)


def check_similarity(
    metric: SpeakerSimilarity, alone: Callable[[Tensor], Tensor], clips: Sequence[Tensor], references: Sequence[Path]
) -> None:
    """Cosines are those of each clip's embedding with the mean of the references', each got by `alone`, to 1e-5."""
    infos = [ClipInfo(str(index), reference=tuple(references)) for index in range(len(clips))]
    scores = metric.score(ClipBatch.of(clips, 16000, infos))
    heard = [torch.from_numpy(soundfile.read(path, dtype="float32")[0]) for path in references]
    centroid = torch.stack([alone(clip) for clip in heard]).mean(dim=0)
    cosines = [float(cosine_similarity(alone(clip), centroid, dim=0)) for clip in clips]
    np.testing.assert_allclose(scores["speaker_cosine"], cosines, atol=1e-5)
    np.testing.assert_allclose(scores["speaker_similarity"], [(cosine + 1) / 2 for cosine in cosines], atol=1e-5)
