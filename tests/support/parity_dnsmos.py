"""What DNSMOS is held to: speechmos itself, and the windows of a clip scored one by one by its own networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

import metrics.dnsmos_shared as shared
from metrics.base import ClipBatch, ClipInfo, Scores
from metrics.dnsmos import DnsMos
from metrics.dnsmos_nets import load_nets
from metrics.dnsmos_onnx import OnnxNets
from metrics.dnsmos_p808 import p808_features
from metrics.dnsmos_torch import TorchNets
from metrics.dnsmos_weights import P808_FILE, p835_file, read_weights, weight_files
from metrics.dnsmos_windows import WINDOW, window_starts
from metrics.precision import full_float32

COLUMNS = ("ovrl", "sig", "bak", "p808")
_REFERENCES: dict[tuple[bytes, bool, bool], dict[str, float]] = {}


def noise(samples: int, seed: int = 0) -> Tensor:
    """Noise whose loudness and colour change, so that no stretch of it is like another."""
    random = np.random.default_rng(seed)
    steps = random.uniform(-50, -15, samples // 4000 + 2)
    level = 10 ** (np.interp(np.arange(samples) / 4000, np.arange(len(steps)), steps) / 20)
    white = random.standard_normal(samples + 1)
    coloured = white[1:] + np.sin(np.arange(samples) / 9000) * white[:-1]
    return torch.from_numpy((level * coloured).clip(-1, 1).astype(np.float32))


def batch(clips: Sequence[Tensor]) -> ClipBatch:
    return ClipBatch.of(clips, 16000, [ClipInfo(f"clip-{index}") for index in range(len(clips))])


def judge(personalised: bool) -> Any:
    """The judge of speechmos with one thread."""
    import onnxruntime
    from speechmos import dnsmos

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    folder = find_spec("speechmos").submodule_search_locations[0]  # type: ignore[union-attr, index]
    files = (f"{'p' if personalised else ''}dnsmos_models/sig_bak_ovr.onnx", "dnsmos_models/model_v8.onnx")
    made = object.__new__(dnsmos.DNSMOS)
    made.onnx_sess, made.p808_onnx_sess = (
        onnxruntime.InferenceSession(f"{folder}/{file}", options, providers=["CPUExecutionProvider"]) for file in files
    )
    return made


def of_speechmos(clip: Tensor, personalised: bool = False) -> dict[str, float]:
    """What speechmos says of a clip, computed once."""
    return _remember(clip, personalised, False, lambda: judge(personalised)(clip.numpy(), 16000, personalised))


def of_loop(clip: Tensor, personalised: bool = False) -> dict[str, float]:
    """The mean over every whole window on the grid of one second, each scored by speechmos as a clip of its own."""

    def compute() -> dict[str, float]:
        audio, theirs = clip.numpy(), judge(personalised)
        while len(audio) < WINDOW:
            audio = np.append(audio, audio)
        rows = []
        while len(audio) >= WINDOW:
            rows.append(theirs(audio[:WINDOW], 16000, personalised))
            audio = audio[16000:]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    return _remember(clip, personalised, True, compute)


def _remember(
    clip: Tensor, personalised: bool, every: bool, compute: Callable[[], dict[str, float]]
) -> dict[str, float]:
    key = (clip.numpy().tobytes(), personalised, every)
    if key not in _REFERENCES:
        _REFERENCES[key] = compute()
    return _REFERENCES[key]


def windows_of_speechmos(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The windows that speechmos gives to its network for a clip."""
    from speechmos import dnsmos

    seen: list[NDArray[np.float32]] = []

    def p835(_: None, inputs: dict[str, Any]) -> list[Any]:
        seen.append(inputs["input_1"][0])
        return [np.zeros((1, 3))]

    spy = object.__new__(dnsmos.DNSMOS)
    spy.onnx_sess = SimpleNamespace(run=p835)
    spy.p808_onnx_sess = SimpleNamespace(run=lambda *_: [np.zeros((1, 1))])
    spy.audio_melspec = lambda audio: np.zeros((900, 120))
    spy(samples, 16000, False)
    return seen


def check_windows(samples: int) -> None:
    """The windows are those of speechmos, sample by sample."""
    clip = np.random.default_rng(samples).uniform(-1, 1, samples).astype(np.float32)
    theirs = windows_of_speechmos(clip)
    stretch = shared.Stretch(torch.from_numpy(clip), (0,))
    starts = window_starts(samples, "compat")
    assert len(starts) == len(theirs), "another number of windows"
    for start, window in zip(starts, theirs, strict=True):
        np.testing.assert_array_equal(stretch.samples(start, start + WINDOW), window)


def check_scores(clips: Sequence[Tensor], *, personalised: bool = False, every: bool = False) -> None:
    """A batch of clips scores as speechmos does, or as the loop over all windows."""
    metric = DnsMos(threads=1, windows="all" if every else "compat", personalised=personalised)
    scores = metric.score(batch(clips))
    for index, clip in enumerate(clips):
        theirs = of_loop(clip, personalised) if every else of_speechmos(clip, personalised)
        for name in COLUMNS:
            assert scores[f"dnsmos_{name}"][index] == pytest.approx(theirs[f"{name}_mos"], abs=1e-5), (index, name)


def check_shared_rows(clip: Tensor, starts: Sequence[int], *, max_chunk: int) -> None:
    """What windows share, and redo at their edges, is what each gives alone, at half and at a quarter of the rate.

    starts: first frames of windows; max_chunk: frames that the wide convolutions get at a time.
    """
    nets = load_nets(False, torch.device("cpu"), 1)
    nets.chunk_frames = max_chunk
    weights = read_weights(weight_files(False)[p835_file(False)])
    parts = shared.stretches(clip, starts)
    half = shared._front(nets, parts)
    quarter = shared._middle(nets, half)
    assert len(half.at) == len(quarter.at) == len(starts)
    for window, start in enumerate(starts):
        samples = clip[(start * 160 + torch.arange(WINDOW)) % len(clip)]
        real, imaginary = (samples.unfold(0, 320, 160)[:900] @ nets.stft).chunk(2, dim=1)
        rows = (real.square() + imaginary.square()).clamp_min(1e-12).log10()[None, None]
        for index, (weight, bias) in enumerate(weights.convolutions[:5]):
            rows = F.conv2d(rows, torch.from_numpy(weight), torch.from_numpy(bias), padding=1).relu()
            if index >= 3:
                rows = F.max_pool2d(rows, 2)
                ours = (half, quarter)[index - 3]
                whole = ours.rows(0, ours.length, torch.tensor([window])).transpose(1, 2)
                torch.testing.assert_close(whole, rows, atol=2e-5, rtol=1e-4)


def check_p808_features(clip: Tensor, starts: Sequence[int]) -> None:
    """The mels of windows are those that speechmos computes of each."""
    from speechmos import dnsmos

    theirs = object.__new__(dnsmos.DNSMOS)
    (stretch,) = shared.stretches(clip, starts)
    features = p808_features(stretch)
    assert features.shape == (len(starts), 900, 120)
    for start, window in zip(starts, features, strict=True):
        samples = stretch.samples(start * 160, start * 160 + WINDOW).numpy()
        np.testing.assert_allclose(window, theirs.audio_melspec(samples[:-160]), atol=2e-4)


def check_batch(clips: Sequence[Tensor]) -> None:
    """A clip scores the same, to the last bit, alone and in a batch, whatever the padding."""
    metric = DnsMos(threads=1)
    together = metric.score(batch(clips))
    for index, clip in enumerate(clips):
        alone = metric.score(batch([clip]))
        assert {name: values[0] for name, values in alone.items()} == {
            name: values[index] for name, values in together.items()
        }


def check_torch(clips: Sequence[Tensor], *, personalised: bool = False) -> None:
    """torch, as on a GPU, in passes of many pieces of several clips, agrees with onnxruntime."""
    ours = _window_mos_by("torch", clips, personalised)
    theirs = _window_mos_by("onnxruntime", clips, personalised)
    for column, values in ours.items():
        assert values == pytest.approx(theirs[column], abs=1e-4), column


def _window_mos_by(runtime: str, clips: Sequence[Tensor], personalised: bool) -> Scores:
    files = weight_files(personalised)
    p835 = read_weights(files[p835_file(personalised)])
    nets: OnnxNets | TorchNets
    if runtime == "torch":
        nets = TorchNets(p835, read_weights(files[P808_FILE]), torch.device("cpu"))
        nets.chunk_frames, nets.pieces_per_pass = 400, 3
    else:
        nets = OnnxNets(p835, files[P808_FILE], threads=1)
    metric = DnsMos(personalised=personalised)
    metric._nets = nets
    return metric.score(batch(clips))


def check_devices(clips: Sequence[Tensor]) -> None:
    """Everything is computed where the clips are, as on a GPU: torch's device without data mixes with no other."""
    device, files = torch.device("meta"), weight_files(personalised=False)
    nets = TorchNets(read_weights(files[p835_file(False)]), read_weights(files[P808_FILE]), device)
    parts = [shared.Stretch(clip.to(device), (0, 100)) for clip in clips]
    features = torch.cat([p808_features(part) for part in parts])
    for answer, columns in ((shared.p835(nets, parts), 3), (nets.p808(features), 1)):
        assert (answer.device, answer.shape) == (device, (2 * len(clips), columns))


def check_full_float32() -> None:
    """Within it TF32 is off even where the caller turned it on, and the caller's choice is put back."""
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = (matmul.fp32_precision, conv.fp32_precision)
    try:
        matmul.fp32_precision = conv.fp32_precision = "tf32"
        with torch.autocast("cpu", dtype=torch.bfloat16), full_float32(torch.device("cpu")):
            assert (matmul.fp32_precision, conv.fp32_precision) == ("ieee", "ieee")
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
        assert (matmul.fp32_precision, conv.fp32_precision) == ("tf32", "tf32")
    finally:
        matmul.fp32_precision, conv.fp32_precision = before
