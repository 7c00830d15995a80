"""All bundled metrics: evalkit against a loop that gives each file to each reference tool, one after the other.

    .venv/bin/python benchmarks/bundled.py [FOLDER] [--clips 16] [--rounds 3]

FOLDER holds audio (a.txt beside a.wav, where there is one); without it the recordings that EVALKIT_REAL_AUDIO names.
Each measurement is a process of its own, with one thread per library; the two arms alternate. Each arm is run on N
clips and on 2 N: the difference is what N clips cost (the slope), the rest is the time to load. The loop has what
evalkit's users would call instead: speechmos.dnsmos.run, the numpy WADA-SNR, resemblyzer, pocketsphinx with its large
language model, silero-vad's get_speech_timestamps, librosa's frame RMS. The pronunciation and prosody metrics have no
such tool and take no part, neither here nor there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
METRICS = ("dnsmos", "wada_snr", "speaker_similarity", "wer", "pauses", "energy", "signal")
NOTHING_SAID = "the quick brown fox"  # stands in where a clip has no transcript: the counting costs the same
COLUMNS = ("dnsmos_ovrl", "dnsmos_p808", "wada_snr_db", "speaker_cosine", "heard")  # that both arms give
CLOSE_ENOUGH = {"dnsmos_ovrl": 1e-3, "dnsmos_p808": 1e-3, "wada_snr_db": 1e-3, "speaker_cosine": 1e-4}


def main() -> None:
    arguments = parse()
    clips = audio_files(Path(arguments.folder))
    if arguments.arm:
        clips = [clips[n % len(clips)] for n in range(arguments.clips)]
        arm = ARMS[arguments.arm]
        began, cpu = time.perf_counter(), processor_seconds()
        with Peak() as peak:
            rows = arm(clips, arguments)
        measured = {"wall": time.perf_counter() - began, "cpu": processor_seconds() - cpu, "peak": peak.bytes}
        print(json.dumps({"rows": rows, "audio_s": sum(row.pop("seconds") for row in rows), **measured}))
        return
    compare(arguments)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=os.environ.get("EVALKIT_REAL_AUDIO", "fixtures/audio/readings"))
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--arm", choices=tuple(ARMS), help=argparse.SUPPRESS)
    return parser.parse_args()


def compare(arguments: argparse.Namespace) -> None:
    arms = ["evalkit", "loop"]
    runs: dict[tuple[str, int], list[dict[str, Any]]] = {(arm, k): [] for arm in arms for k in (1, 2)}
    for _ in range(arguments.rounds):
        for (arm, times), found in runs.items():
            found.append(measure(arm, arguments, arguments.clips * times))
    audio = runs["evalkit", 1][0]["audio_s"]
    print(
        f"{arguments.clips} and {2 * arguments.clips} clips, {audio:.0f} s of audio and twice that, "
        f"{arguments.rounds} rounds"
    )
    for clock, said in (("wall", "elapsed time, evalkit uses every core"), ("cpu", "processor time")):
        middle = {key: statistics.median(run[clock] for run in found) for key, found in runs.items()}
        slope = {arm: middle[arm, 2] - middle[arm, 1] for arm in arms}
        load = {arm: middle[arm, 1] - slope[arm] for arm in arms}
        print(f"{said}: loop / evalkit = {slope['loop'] / slope['evalkit']:.2f} per clip", end="; ")
        share = load["evalkit"] / slope["evalkit"] * audio
        print(f"evalkit takes as long to load as for {share:.0f} s of audio")
    for times in (1, 2):
        peak = max(run["peak"] for run in runs["evalkit", times]) / 2**20
        print(f"peak memory of evalkit with {times * arguments.clips} clips: {peak:.0f} MiB")
    parity(runs["evalkit", 1][0]["rows"], runs["loop", 1][0]["rows"])


def parity(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    for column in COLUMNS:
        pairs = [(one[column], other[column]) for one, other in zip(ours, theirs, strict=True)]
        if column == "heard":
            print(f"parity {column}: {sum(a == b for a, b in pairs)} of {len(pairs)} transcripts are the same")
            continue
        largest = max(abs(a - b) for a, b in pairs if a is not None and b is not None)
        verdict = "" if largest <= CLOSE_ENOUGH[column] else " (TOO MUCH)"
        print(f"parity {column}: differs by at most {largest:.1e}{verdict}")


def measure(arm: str, arguments: argparse.Namespace, clips: int) -> dict[str, Any]:
    command = [
        sys.executable,
        __file__,
        arguments.folder,
        "--arm",
        arm,
        "--clips",
        str(clips),
        "--device",
        arguments.device,
    ]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **ONE_THREAD})
    if answer.returncode:
        sys.exit(f"The arm {arm} failed:\n{answer.stderr}")
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def with_evalkit(clips: list[Path], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The path of `evalkit score`, without a run folder: read ahead, batch, score."""
    from evalkit.pipeline.execute import clip_info, made_ahead
    from evalkit.pipeline.judges import choose
    from evalkit.pipeline.plan import Utterance, batches
    from evalkit.pipeline.run import BATCH_SECONDS, FILES_PER_BATCH
    from evalkit.pipeline.scoring import Scorer
    from evalkit.pipeline.sources import FileSource
    from evalkit.suites import Item

    planned = [
        Utterance(str(n), Item(str(n), said(path), said(path), (), ()), 0, 0, seconds(path), path, 16000, (clips[0],))
        for n, path in enumerate(clips)
    ]
    rows: dict[str, dict[str, Any]] = {}
    judges = choose(METRICS, "bundled", arguments.device)
    made = batches(planned, FILES_PER_BATCH[arguments.device], BATCH_SECONDS[arguments.device])
    with Scorer(judges, arguments.device) as scorer:
        for batch, found in made_ahead(made, FileSource()):
            scored = scorer.score([clip.audio for clip in found], found[0].sample_rate, [clip_info(u) for u in batch])
            for utterance, one in zip(batch, scored, strict=True):
                rows[utterance.id] = {name: one.values.get(name, one.details.get(name)) for name in COLUMNS}
                rows[utterance.id]["seconds"] = utterance.expected_s
    return [rows[str(n)] for n in range(len(clips))]


def with_loop(clips: list[Path], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Each file read once, then given to one reference tool after the other."""
    import soundfile

    tools = list(reference_tools(clips[0]))
    rows = []
    for path in clips:
        audio, rate = soundfile.read(path, dtype="float32")
        row: dict[str, Any] = {"seconds": len(audio) / rate}
        for tool in tools:
            row |= tool(audio, path)
        rows.append(row)
    return rows


def reference_tools(reference: Path) -> Iterable[Callable[[Any, Path], dict[str, Any]]]:
    import jiwer
    import librosa
    import numpy as np
    import soundfile
    from pocketsphinx import Decoder
    from resemblyzer import VoiceEncoder, preprocess_wav
    from silero_vad import get_speech_timestamps, load_silero_vad
    from speechmos import dnsmos

    from metrics.pocketsphinx_decoder import to_pcm
    from metrics.wada_table import DB_FIRST, PUBLISHED_G

    encoder, vad, decoder = VoiceEncoder("cpu", verbose=False), load_silero_vad(onnx=True), Decoder(loglevel="FATAL")
    speaker = encoder.embed_utterance(preprocess_wav(soundfile.read(reference, dtype="float32")[0]))
    table = np.maximum.accumulate(np.array(PUBLISHED_G))

    def quality(audio: Any, path: Path) -> dict[str, Any]:
        scores = dnsmos.run(audio, 16000)
        return {"dnsmos_ovrl": float(scores["ovrl_mos"]), "dnsmos_p808": float(scores["p808_mos"])}

    def wada(audio: Any, path: Path) -> dict[str, Any]:
        level = np.maximum(np.abs(audio / np.abs(audio).max()), 1e-10)
        statistic = np.log(level.mean()) - np.log(level).mean()
        steps = np.arange(DB_FIRST, DB_FIRST + len(table))
        return {"wada_snr_db": float(np.interp(statistic, table, steps))}

    def similarity(audio: Any, path: Path) -> dict[str, Any]:
        return {"speaker_cosine": float(encoder.embed_utterance(preprocess_wav(audio)) @ speaker)}

    def words(audio: Any, path: Path) -> dict[str, Any]:
        decoder.start_utt()
        decoder.process_raw(to_pcm(audio), full_utt=True)
        decoder.end_utt()
        heard = decoder.hyp().hypstr if decoder.hyp() else ""
        jiwer.process_words(said(path), heard), jiwer.process_characters(said(path), heard)
        return {"heard": heard}

    def pauses(audio: Any, path: Path) -> dict[str, Any]:
        import torch

        get_speech_timestamps(torch.from_numpy(audio), vad)
        return {}

    def energy(audio: Any, path: Path) -> dict[str, Any]:
        librosa.amplitude_to_db(librosa.feature.rms(y=audio, frame_length=400, hop_length=160))
        return {}

    return quality, wada, similarity, words, pauses, energy


def audio_files(folder: Path) -> list[Path]:
    import soundfile

    found = sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".flac"))
    usable = [path for path in found if soundfile.info(path).samplerate == 16000]
    if not usable:
        sys.exit(f"{folder} holds no audio at 16 kHz: name another folder.")
    return usable


def said(path: Path) -> str:
    beside = path.with_suffix(".txt")
    return beside.read_text().strip() if beside.is_file() else NOTHING_SAID


def seconds(path: Path) -> float:
    import soundfile

    return float(soundfile.info(path).duration)


def processor_seconds() -> float:
    """Of this process and of the worker processes that ended."""
    own, workers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime


class Peak:
    """The most that this process and its workers held at once, looked at every 50 ms."""

    def __init__(self) -> None:
        self.bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        own = psutil.Process()
        while not self._stop.wait(0.05):
            held = 0
            for process in (own, *own.children(recursive=True)):
                with contextlib.suppress(psutil.Error):  # it may be gone by now
                    held += process.memory_info().rss
            self.bytes = max(self.bytes, held)


ARMS = {"evalkit": with_evalkit, "loop": with_loop}

if __name__ == "__main__":
    main()
