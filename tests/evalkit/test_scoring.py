"""The engine of scoring: cache, memory, resampling, decoding ahead."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch

from evalkit.pipeline.execute import made_ahead
from evalkit.pipeline.judges import Choice, passports
from evalkit.pipeline.plan import Utterance
from evalkit.pipeline.resampling import DESCRIPTION, resample_on_device
from evalkit.pipeline.score_cache import ScoreCache, cache_path, clip_key
from evalkit.pipeline.scoring import Scorer
from evalkit.pipeline.sources import Clip, FileSource
from evalkit.suites import Item
from metrics import ClipBatch, ClipInfo, Column, Entity, MetricSpec, Passport, Scores
from metrics.recordings import resample
from metrics.wer_pocketsphinx import PocketsphinxWer

RATE = 16000


class Peak:
    """Peak of a clip; counts what it is given. `room`: padded samples that fit into its memory."""

    spec = MetricSpec(
        "peak", "1", (Column("peak", "", "higher", (0, 1), "peak"),), RATE, frozenset({"reference"}), "none", "here"
    )

    def __init__(self, room: int = 10**9, threshold: float = 0.0) -> None:
        self.room, self.threshold = room, threshold
        self.scored: list[str] = []
        self.refused: list[int] = []

    def score(self, batch: ClipBatch) -> Scores:
        if batch.audio.numel() > self.room:
            self.refused.append(len(batch))
            raise torch.OutOfMemoryError("out of memory")
        self.scored += [info.id for info in batch.info]
        scores = Scores(self.spec, len(batch))
        for index, info in enumerate(batch.info):
            if info.text == "boom":
                raise ValueError("a bug")
            if info.text == "quiet":
                scores.refuse(index, "too quiet")
            elif info.text != "mute":
                scores["peak"][index] = float(batch.clip(index).abs().max())
                scores.details[index]["threshold"] = self.threshold
        return scores

    def passport(self) -> Passport:
        return Passport("peak", "1", "none", parameters={"threshold": self.threshold})

    @classmethod
    def unavailable(cls) -> str | None:
        return None


def clips(count: int) -> list[torch.Tensor]:
    return [torch.full((RATE // 10 + 10 * n,), (n + 1) / 100) for n in range(count)]


def infos(texts: Sequence[str]) -> list[ClipInfo]:
    return [ClipInfo(f"c{n}", text=text) for n, text in enumerate(texts)]


def score(metric: Peak, audio: Sequence[torch.Tensor], info: Sequence[ClipInfo], path: Path) -> list[float | None]:
    with Scorer([Choice("peak", metric)], cache=ScoreCache(path)) as scorer:  # type: ignore[arg-type]
        return [one.values["peak"] for one in scorer.score(audio, RATE, info)]


def test_the_same_audio_is_scored_once_and_every_other_thing_anew(tmp_path: Path) -> None:
    path, audio, info = tmp_path / "scores.sqlite", clips(3), infos(["a", "b", "c"])
    first = Peak()
    values = score(first, audio, info, path)
    assert values == pytest.approx([0.01, 0.02, 0.03]) and first.scored == ["c0", "c1", "c2"]

    again = Peak()
    assert score(again, audio, [replace(one, id=f"other-{one.id}") for one in info], path) == values
    assert again.scored == [], "names do not matter, content does"

    other = Peak()
    assert score(other, [audio[0], audio[1] * 2, audio[2]], info, path) == pytest.approx([0.01, 0.04, 0.03])
    assert other.scored == ["c1"], "a clip with other samples"
    score(retold := Peak(), audio, [info[0], replace(info[1], text="B!"), info[2]], path)
    assert retold.scored == ["c1"], "another text"
    reference = tmp_path / "reference.wav"
    soundfile.write(reference, audio[0].numpy(), RATE)
    score(compared := Peak(), audio, [replace(info[0], reference=(reference,)), *info[1:]], path)
    assert compared.scored == ["c0"], "another reference, which this metric looks at"
    score(tuned := Peak(threshold=0.5), audio, info, path)
    assert tuned.scored == ["c0", "c1", "c2"], "another passport"


def test_what_only_a_column_needs_is_in_the_key_too(tmp_path: Path) -> None:
    reference = tmp_path / "reference.wav"
    soundfile.write(reference, clips(1)[0].numpy(), RATE)
    plain = ClipInfo("c", text="Call Asha.")
    named = replace(plain, entities=(Entity("Asha", ("AA1 SH AA0",)),))
    spelled = replace(plain, entities=(Entity("Asha", ("AA1 SH AA0",), spellings=("Aasha",)),))
    wer = PocketsphinxWer()  # needs the text; its column entity_wer the entities, and an accepted spelling changes all
    assert len({clip_key("metric", "audio", wer, info) for info in (plain, named, spelled)}) == 3
    assert clip_key("metric", "audio", wer, replace(plain, reference=(reference,))) == clip_key(
        "metric", "audio", wer, plain
    ), "a reference, which it does not look at"

    for need, other in (("reference", {"reference": (reference,)}), ("phonemes", {"phonemes": "AA1"})):
        metric = Peak()
        column = replace(Peak.spec.columns[0], needs=frozenset({need}))  # type: ignore[arg-type]
        metric.spec = replace(Peak.spec, needs=frozenset(), columns=(column,))
        keys = {clip_key("metric", "audio", metric, info) for info in (plain, replace(plain, **other))}  # type: ignore[arg-type]
        assert len(keys) == 2, need


def test_refusals_are_kept_and_faults_are_not(tmp_path: Path) -> None:
    path, audio = tmp_path / "scores.sqlite", clips(3)
    info = infos(["quiet", "boom", "mute"])
    score(Peak(), audio, info, path)
    score(again := Peak(), audio, info, path)
    assert "c0" not in again.scored and {"c1", "c2"} <= set(again.scored)
    with Scorer([Choice("peak", Peak())], cache=ScoreCache(path)) as scorer:  # type: ignore[arg-type]
        one = scorer.score(audio[:1], RATE, info[:1])[0]
    assert one.values == {"peak": None} and one.missing == {"peak": "too quiet"}


def test_a_broken_cache_costs_time_and_no_score(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    path.write_bytes(b"this is no database" * 100)
    cache = ScoreCache(path)
    assert cache.problem is not None and "--no-cache" in cache.problem
    assert score(Peak(), clips(2), infos(["a", "b"]), path) == pytest.approx([0.01, 0.02])
    unwritable = tmp_path / "file"
    unwritable.write_text("")
    assert ScoreCache(unwritable / "scores.sqlite").problem is not None


def test_tests_have_a_cache_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert cache_path().is_relative_to(tmp_path_factory.getbasetemp())


def test_out_of_memory_halves_remembers_and_changes_nothing() -> None:
    audio, info = clips(16), infos(["x"] * 16)
    longest = len(audio[-1])
    metric = Peak(room=4 * longest)
    with Scorer([Choice("peak", metric)]) as scorer:  # type: ignore[arg-type]
        values = [one.values["peak"] for one in scorer.score(audio, RATE, info)]
        assert values == pytest.approx([float(clip.abs().max()) for clip in audio])
        failures = len(metric.refused)
        assert failures > 0
        again = [one.values["peak"] for one in scorer.score(audio, RATE, info)]
    assert again == values and len(metric.refused) == failures, "it runs out of memory once, not in every batch"


def test_the_resampler_stands_in_the_passport_and_the_two_differ_little() -> None:
    speechlike = torch.sin(torch.arange(24000) * 0.13) * torch.hann_window(24000)
    choices = [Choice("peak", Peak())]  # type: ignore[arg-type]
    assert passports(choices, DESCRIPTION["soxr"]) != passports(choices, DESCRIPTION["device"])
    one, other = resample(speechlike, 24000, RATE), resample_on_device(speechlike, 24000, RATE)
    assert len(one) == len(other) == RATE
    assert not torch.equal(one, other) and float((one - other).abs().max()) < 1e-3
    assert resample(speechlike, RATE, RATE) is speechlike is resample_on_device(speechlike, RATE, RATE)
    with Scorer(choices, resampler="device") as scorer:
        values = scorer.score([speechlike], 24000, infos(["x"]))[0].values
    assert values["peak"] == pytest.approx(float(other.abs().max()), abs=1e-6)


class Place(Peak):
    """Remembers the batches that it is handed."""

    def __init__(self, cpu_only: bool) -> None:
        super().__init__()
        self.spec = replace(Peak.spec, cpu_only=cpu_only)
        self.batches: list[ClipBatch] = []

    def score(self, batch: ClipBatch) -> Scores:
        self.batches.append(batch)
        return Scores(self.spec, len(batch))


def test_clips_are_copied_to_the_device_once_and_stay_in_main_memory_for_who_works_there() -> None:
    metrics = {"a": Place(False), "b": Place(False), "c": Place(True), "d": Place(True)}
    choices = [Choice(name, metric) for name, metric in metrics.items()]  # type: ignore[arg-type]
    with Scorer(choices, device="meta") as scorer:  # a device without memory: nothing can be computed there by mistake
        scorer.score(clips(2), RATE, infos(["x", "y"]))
    (a,), (b,), (c,), (d,) = (metric.batches for metric in metrics.values())
    assert a.audio.device.type == "meta" and c.audio.device.type == "cpu"
    assert a.audio._base is b.audio._base is not None and c.audio._base is d.audio._base is not None


class Recorder:
    """A source that says when it was asked for which batch."""

    ahead = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.second = threading.Event()

    def clips(self, batch: Sequence[Utterance]) -> list[Clip]:
        self.asked += [utterance.id for utterance in batch]
        if batch[0].id == "u1":
            self.second.set()
        return [Clip(torch.zeros(1), RATE, read=utterance.id) for utterance in batch]


def planned(count: int) -> list[list[Utterance]]:
    return [[Utterance(f"u{n}", Item(f"u{n}", "", "", (), ()), 0, 0, 1.0)] for n in range(count)]


def test_the_next_batch_is_made_while_this_one_is_worked_on_and_no_more_than_that() -> None:
    source = Recorder()
    seen = []
    for batch, clips_ in made_ahead(planned(4), source):
        if batch[0].id == "u0":
            assert source.second.wait(10), "batch 1 is made before batch 0 is done"
            assert "u2" not in source.asked, "audio of two batches at most is in memory"
        seen.append((batch[0].id, clips_[0].read))
    assert seen == [(f"u{n}", f"u{n}") for n in range(4)]
    assert list(made_ahead([], source)) == []


def test_files_are_read_in_order_whatever_becomes_of_each(tmp_path: Path) -> None:
    for n in range(8):
        soundfile.write(tmp_path / f"{n}.wav", [0.1 * (n + 1)] * RATE, RATE, subtype="FLOAT")
    (tmp_path / "3.wav").write_bytes(b"not audio")
    batch = [Utterance(f"u{n}", Item(f"u{n}", "", "", (), ()), 0, 0, 1.0, tmp_path / f"{n}.wav") for n in range(8)]
    made = FileSource().clips(batch)
    assert [clip.status for clip in made] == ["ok"] * 3 + ["unreadable"] + ["ok"] * 4
    peaks = [float(clip.audio.max()) if clip.status == "ok" else math.nan for clip in made]
    assert peaks == pytest.approx([0.1 * (n + 1) if n != 3 else math.nan for n in range(8)], nan_ok=True)
