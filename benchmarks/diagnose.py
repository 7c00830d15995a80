"""How fast `evalkit diagnose` measures a training set, and where the time goes.

    OMP_NUM_THREADS=1 python benchmarks/diagnose.py [--data FOLDER] [--device cpu] [--workers 1] [--dnsmos-clips 4]

Without --data the set is made of the fixtures' reference clips at many levels, so that no two clips have the same
content. Prints hours of audio per minute, of every clip by every metric and with DNS-MOS of a sample of each speaker's,
and the share of each metric in the time that scoring takes. There is no reference tool to stand beside.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from evalkit.diagnostics.corpus.decoding import decode_all
from evalkit.diagnostics.corpus.opening import Corpus, open_corpus
from evalkit.diagnostics.training.embeddings import Embedder
from evalkit.diagnostics.training.fingerprints import fingerprint
from evalkit.diagnostics.training.measuring import METRICS, PITCH_CLIPS, Files, Measurer
from evalkit.pipeline.engine_setup import pick_device
from evalkit.pipeline.judges import choose

REFERENCES = Path(__file__).parents[1] / "fixtures" / "audio" / "reference"


class Timed:
    """A metric or an encoder that adds up the processor time of its calls."""

    def __init__(self, inner: Any, name: str, spent: dict[str, float]) -> None:
        self._inner, self._name, self._spent = inner, name, spent

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in ("score", "embed"):
            return found

        def timed(*arguments: Any) -> Any:
            began = time.thread_time()
            try:
                return found(*arguments)
            finally:
                self._spent[self._name] = self._spent.get(self._name, 0.0) + time.thread_time() - began

        return timed


def made_set(folder: Path, copies: int) -> Path:
    for path in sorted(REFERENCES.glob("*/*.flac")):
        audio, rate = soundfile.read(path, dtype="float32")
        place = folder / path.parent.name
        place.mkdir(parents=True, exist_ok=True)
        for number in range(copies):
            quieter = audio * np.float32(10 ** (-0.02 * number))
            soundfile.write(place / f"{path.stem}-{number}.flac", quieter, rate, subtype="PCM_16")
    return folder


def measure(
    corpus: Corpus, device: str, workers: int, sampled: Mapping[str, int]
) -> tuple[float, float, dict[str, float]]:
    """Seconds of audio, seconds that it took, and processor seconds per part."""
    spent: dict[str, float] = {}
    choices = [
        replace(choice, metric=Timed(choice.metric, choice.name, spent)) if choice.metric else choice
        for choice in choose(METRICS, "bundled", device)
    ]
    embedder: Any = Timed(Embedder(device, "bundled"), "voices", spent)
    embedder.dimension  # noqa: B018  (loads the encoder)
    with tempfile.TemporaryDirectory() as folder:
        measurer = Measurer(Files(Path(folder)), choices, embedder, device, sampled)
        began = time.perf_counter()
        listed = measurer.measure(corpus.clips(), workers, lambda clips, seconds: None)
        return listed.seconds, time.perf_counter() - began, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--dnsmos-clips", type=int, default=4)
    parser.add_argument("--copies", type=int, default=8, help="levels of each reference clip, without --data")
    given = parser.parse_args()
    device = pick_device(given.device)
    with tempfile.TemporaryDirectory() as folder:
        corpus = open_corpus(given.data or made_set(Path(folder) / "set", given.copies))
        began = time.thread_time()
        clips = [one for one in decode_all(corpus.clips(), 0) if one.samples is not None]
        decoding = time.thread_time() - began
        began = time.thread_time()
        for one in clips:
            fingerprint(one.samples)
        printing = time.thread_time() - began
        for name, sampled in (("every clip", {}), ("a sample", {"dnsmos": given.dnsmos_clips})):
            audio_s, elapsed, spent = measure(corpus, device, given.workers, {"prosody": PITCH_CLIPS} | sampled)
            spent |= {"decoding": decoding, "fingerprints": printing}
            print(
                f"DNS-MOS of {name}: {audio_s / 60:.1f} min of audio at {audio_s / elapsed:.2f} x real time, "
                f"{audio_s / elapsed / 60:.3f} h per minute"
            )
            whole = sum(spent.values())
            for part, seconds in sorted(spent.items(), key=lambda item: -item[1]):
                print(f"  {part:20} {100 * seconds / whole:5.1f} %")
    print(f"{device}, {os.cpu_count()} cores, {platform.processor() or platform.machine()}, {given.workers} worker(s)")


if __name__ == "__main__":
    main()
