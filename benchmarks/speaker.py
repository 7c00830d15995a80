"""Speaker embeddings of many clips: evalkit's batches against a loop over the reference tools, one file at a time.

    EVALKIT_REAL_AUDIO=FOLDER OMP_NUM_THREADS=1 .venv/bin/python benchmarks/speaker.py [--clips 12] [--rounds 3]

References: resemblyzer's `preprocess_wav` and `embed_utterance`; torchaudio's Kaldi features and a forward pass of the
same ResNet34 (random weights), as wespeaker's command line does it. One thread, CPU time, ours and theirs in turn; the
result is the ratio of the medians, and beside it the largest difference between the embeddings.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import soundfile
import torch
from torch import Tensor
from torch.nn.functional import normalize

from metrics.resnet_speaker import ARCHITECTURES, SpeakerResNet
from metrics.speaker_encoders import ResNetEncoder
from metrics.speaker_ge2e import Ge2eEncoder, embed
from metrics.speaker_speech import prepare

Embed = Callable[[Sequence[Tensor]], Tensor]


def resemblyzer_pair() -> tuple[Embed, Embed]:
    import resemblyzer

    ours, theirs = Ge2eEncoder.pretrained(), resemblyzer.VoiceEncoder("cpu", verbose=False)

    def loop(clips: Sequence[Tensor]) -> Tensor:
        speech = [resemblyzer.preprocess_wav(clip.numpy()) for clip in clips]
        return torch.stack([torch.from_numpy(theirs.embed_utterance(samples)) for samples in speech])

    return lambda clips: embed(ours, [prepare(clip) for clip in clips]), loop


def wespeaker_pair() -> tuple[Embed, Embed]:
    from torchaudio.compliance import kaldi

    torch.manual_seed(0)
    network = SpeakerResNet(*ARCHITECTURES["ResNet34"], 256).eval().requires_grad_(False)
    same = SpeakerResNet(*ARCHITECTURES["ResNet34"], 256)
    same.load_state_dict(network.state_dict())
    encoder = ResNetEncoder(same, torch.device("cpu"))

    def loop(clips: Sequence[Tensor]) -> Tensor:
        features = [kaldi.fbank(32768 * clip[None], num_mel_bins=80, window_type="hamming") for clip in clips]
        centred = [(rows - rows.mean(dim=0))[None] for rows in features]
        return normalize(torch.cat([network(rows, torch.tensor([rows.shape[1]])) for rows in centred]), dim=1)

    return encoder.embed, loop


def cpu_seconds(work: Embed, clips: Sequence[Tensor]) -> float:
    start = time.process_time()
    work(clips)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--audio", type=Path, default=os.environ.get("EVALKIT_REAL_AUDIO"), help="folder of recordings")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.audio is None:
        parser.error("give --audio FOLDER, or set EVALKIT_REAL_AUDIO")
    torch.set_num_threads(1)
    files = sorted(Path(arguments.audio, "librispeech").rglob("*.flac"))[: arguments.clips]
    clips = [torch.from_numpy(soundfile.read(file, dtype="float32")[0]) for file in files]
    print(f"{len(clips)} clips, {sum(map(len, clips)) / 16000:.0f} s of speech, {arguments.rounds} rounds, one thread")
    for name, (ours, loop) in {"resemblyzer": resemblyzer_pair(), "wespeaker ResNet34": wespeaker_pair()}.items():
        difference = float((ours(clips) - loop(clips)).abs().max())
        rounds = [(cpu_seconds(ours, clips), cpu_seconds(loop, clips)) for _ in range(arguments.rounds)]
        quick, slow = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{name}: {slow / quick:.2f}x the loop; embeddings differ by at most {difference:.1e}")


if __name__ == "__main__":
    main()
