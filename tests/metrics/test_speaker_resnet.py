"""wespeaker's ResNets: their parameters, and masked batches against the plain network one clip at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from parity_speaker import PlainResNet, check_wespeaker, random_state
from torch import Tensor, nn

from metrics.fbank import fbank
from metrics.mel import mel_power
from metrics.resnet_speaker import ARCHITECTURES, SpeakerResNet
from metrics.speaker_encoders import Encoder, groups
from metrics.speaker_ge2e import embed

fake_tensor = pytest.importorskip("torch._subclasses.fake_tensor")


@pytest.mark.parametrize(("name", "millions"), [("ResNet34", 6.63), ("ResNet221", 23.79), ("ResNet293", 28.62)])
def test_sizes_are_those_that_wespeaker_publishes(name: str, millions: float) -> None:
    with torch.device("meta"):
        network = SpeakerResNet(*ARCHITECTURES[name], 256)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert int(parameters / 1e4) / 100 == millions  # cut off, not rounded, in examples/voxceleb/v2/README.md


def wespeaker_keys(blocks: tuple[int, ...], convolutions: int, first_has_shortcut: bool) -> Iterator[str]:
    def norm(name: str) -> Iterator[str]:
        yield from (f"{name}.{key}" for key in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"))

    yield "conv1.weight"
    yield from norm("bn1")
    for stage, count in enumerate(blocks, start=1):
        for index in range(count):
            block = f"layer{stage}.{index}"
            for layer in range(1, convolutions + 1):
                yield f"{block}.conv{layer}.weight"
                yield from norm(f"{block}.bn{layer}")
            if index == 0 and (stage > 1 or first_has_shortcut):
                yield f"{block}.shortcut.0.weight"
                yield from norm(f"{block}.shortcut.1")
    yield from ("seg_1.weight", "seg_1.bias")


def test_names_are_those_of_wespeaker() -> None:
    with torch.device("meta"):
        basic, bottleneck = (SpeakerResNet(*ARCHITECTURES[name], 256) for name in ("ResNet34", "ResNet221"))
    assert list(basic.state_dict()) == list(wespeaker_keys((3, 4, 6, 3), 2, first_has_shortcut=False))
    assert list(bottleneck.state_dict()) == list(wespeaker_keys((6, 16, 48, 3), 3, first_has_shortcut=True))
    assert basic.seg_1.weight.shape == (256, 2 * 256 * 10)
    assert basic.layer4[0].conv1.weight.shape == (256, 128, 3, 3)
    assert bottleneck.layer2[0].conv3.weight.shape == (256, 64, 1, 1)


@pytest.mark.parametrize("architecture", ["ResNet18", "ResNet50"])
def test_frames_behind_a_clip_change_nothing(architecture: str) -> None:
    state = random_state(architecture)
    network = SpeakerResNet(*ARCHITECTURES[architecture], 16).eval()
    network.load_state_dict(state)
    counts = torch.tensor([9, 31, 40, 41])
    features = 3 * torch.randn(4, 60, 80, generator=torch.Generator().manual_seed(1))
    masked = features.masked_fill(torch.arange(60)[None, :, None] >= counts[:, None, None], 0)
    with torch.inference_mode():
        together = network(masked, counts)
        for embedding, clip, count in zip(together, features, counts.tolist(), strict=True):
            alone = PlainResNet(state)(clip[None, :count])[0]
            torch.testing.assert_close(embedding, alone, rtol=1e-5, atol=1e-5)


def test_embeddings_of_synthetic_clips_equal_the_plain_network(voice: Callable[..., Tensor]) -> None:
    pytest.importorskip("torchaudio")
    clips = [voice(0.8), voice(0.5, seed=1), voice(1.1, seed=2, pitch=190), voice(0.5, seed=3), voice(0.11, seed=4)]
    check_wespeaker(clips)
    check_wespeaker(clips[:2], "ResNet50")


def test_embeddings_of_real_clips_equal_the_plain_network(real_clip: Callable[[str], Tensor]) -> None:
    pytest.importorskip("torchaudio")
    names = ["librispeech/1688/1688-142285-0002.flac", "librispeech/3005/3005-163389-0004.flac"]
    check_wespeaker([real_clip(name)[: 16000 * seconds] for name, seconds in zip(names, (2, 3), strict=True)])


def test_groups_hold_every_clip_once_within_the_limit() -> None:
    counts = [10, 500, 300, 10, 90, 1200, 300, 11]
    for equal in (False, True):
        found = list(groups(counts, 1000, equal=equal))
        assert sorted(index for group in found for index in group) == list(range(len(counts)))
        for group in found:
            longest = max(counts[index] for index in group)
            assert longest * len(group) <= 1000 or len(group) == 1
            assert not equal or {counts[index] for index in group} == {longest}
    assert list(groups(counts, 1000, equal=False)) == [[5], [1, 2], [6, 4, 7], [0, 3]]
    assert list(groups([], 1000, equal=False)) == []


def on_fake_gpu(module: nn.Module) -> nn.Module:
    """The module with parameters that claim to be on a GPU, which need none."""
    for part in module.modules():
        for name, tensor in part._parameters.items():
            if tensor is not None:
                part._parameters[name] = nn.Parameter(torch.empty(tensor.shape, device="cuda"), requires_grad=False)
        for name, tensor in part._buffers.items():
            if tensor is not None:
                part._buffers[name] = torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")
    return module.eval()


def test_on_a_gpu_every_operation_finds_its_tensors_there() -> None:
    """With tensors that only have shapes and devices: torch refuses an operation between two devices."""

    class OnGpu(Encoder):
        equal_lengths = False

        def _forward(self, features: Tensor, counts: Tensor) -> Tensor:
            assert features.device.type == "cuda"
            return on_fake_gpu(SpeakerResNet(*ARCHITECTURES["ResNet18"], 16))(features, counts)

    class Ge2eWithoutLstm(nn.Module):  # which cannot be simulated
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(40, 16)

        def forward(self, mels: Tensor) -> Tensor:
            return self.linear(mels.mean(dim=1))

    fbank(torch.zeros(1, 400))  # both kinds of filters are computed once and kept: not with tensors that are empty
    mel_power(torch.zeros(1, 400), sample_rate=16000, n_fft=400, hop=160, n_mels=40)
    with fake_tensor.FakeTensorMode(allow_non_fake_inputs=True):
        with pytest.raises(RuntimeError, match="two different devices"):
            torch.rand(2, 3, device="cuda") + torch.rand(2, 3)
        clips = [torch.rand(9000, device="cuda"), torch.rand(30000)]
        assert OnGpu(torch.device("cuda")).embed(clips).device.type == "cpu"
        assert embed(on_fake_gpu(Ge2eWithoutLstm()), clips).device.type == "cpu"
