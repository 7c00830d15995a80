"""The loop of a run with engines and metrics that misbehave: nobody's failure costs anybody else's score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evalkit.engines import EngineSpec, Layout, Request, Speech, Voice
from evalkit.errors import EvalkitError
from evalkit.pipeline.audio import quantise, read_audio, unusable, write_flac
from evalkit.pipeline.execute import execute
from evalkit.pipeline.judges import Choice, columns_of
from evalkit.pipeline.plan import Utterance, batches, seed_of, select_items, utterances
from evalkit.pipeline.scoring import NO_REASON, Scorer
from evalkit.pipeline.sources import EngineSource
from evalkit.runs.folder import RunFolder
from evalkit.runs.log import UtteranceLog
from evalkit.suites import Item
from metrics import ClipBatch, ClipInfo, Column, MetricSpec, Passport, Scores

RATE = 16000


def item(name: str, text: str = "Hello there.", tags: tuple[str, ...] = ()) -> Item:
    return Item(id=name, text=text, spoken=text, entities=(), tags=tags)


def tone(seconds: float, level: float = 0.5) -> torch.Tensor:
    return level * torch.sin(torch.arange(int(seconds * RATE)) * 0.1)


@dataclass
class Engine:
    """Speaks a tone; what goes wrong is written in the text."""

    spec: EngineSpec = field(
        default_factory=lambda: EngineSpec("fake", "1", (Layout("fake", ("a",)),), RATE, "none", max_batch=8)
    )
    room: int = 8  # items that fit into memory
    sizes: list[int] = field(default_factory=list)

    def load(self, weights: Mapping[str, torch.Tensor]) -> str:
        return "digest"

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        return Voice("fake", "digest")

    def synthesize(self, requests: Sequence[Request]) -> list[Speech]:
        self.sizes.append(len(requests))
        if len(requests) > self.room:
            raise torch.cuda.OutOfMemoryError("out of memory")
        if any("explode" in request.text for request in requests):
            raise RuntimeError("a bug in the engine")
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Speech:
        audio = {"silence": torch.zeros(RATE), "click": tone(0.01), "nan": torch.full((RATE,), math.nan)}
        if request.text == "refuse":
            return Speech(request.id, status="unknown_symbols", reason="No.")
        return Speech(request.id, audio.get(request.text, tone(1.0)), seconds=0.1)


class Level:
    """Mean absolute level; raises on a clip marked so, and leaves one without a value or a reason."""

    spec = MetricSpec(
        "level", "1", (Column("level", "", "higher", (0, 1), "level"), Column("wer", "", "lower", (0, 9), "", 1.0)),
        None, frozenset(), "none", "this test",
    )  # fmt: skip

    def __init__(self, device: str = "cpu") -> None:
        self.batch_sizes: list[int] = []

    def score(self, batch: ClipBatch) -> Scores:
        self.batch_sizes.append(len(batch))
        if any("poison" in str(info.text) for info in batch.info):
            raise ValueError("a bug in the metric")
        scores = Scores(self.spec, len(batch))
        for index, info in enumerate(batch.info):
            scores["wer"][index] = 0.0
            scores["level"][index] = math.nan if info.text == "mute" else float(batch.clip(index).abs().mean())
        return scores

    def passport(self) -> Passport:
        return Passport("level", "1", "none")

    @classmethod
    def unavailable(cls) -> str | None:
        return None


def carry_out(tmp_path: Path, texts: Sequence[str], engine: Engine | None = None) -> dict[str, dict[str, object]]:
    engine = engine or Engine()
    choices = [Choice("level", Level())]
    planned = utterances([item(f"i{n}", text) for n, text in enumerate(texts)], 1, 0)
    log = UtteranceLog(tmp_path / "log.jsonl")
    source = EngineSource(engine, None, {}, engine.spec.max_batch)
    with Scorer(choices) as scorer:
        execute(
            *(
                batches(planned, 8, 60.0),
                source,
                scorer,
                columns_of(choices),
                RunFolder(tmp_path),
                log,
                lambda n, s: None,
            )
        )
    return {row["text"]: row for row in UtteranceLog(tmp_path / "log.jsonl").rows}


def test_every_failure_of_the_engine_is_a_status_of_its_own_item(tmp_path: Path) -> None:
    rows = carry_out(tmp_path, ["fine", "refuse", "silence", "click", "nan", "explode", "fine too"])
    assert {text: row["status"] for text, row in rows.items()} == {
        "fine": "ok", "fine too": "ok", "refuse": "unknown_symbols", "silence": "silent", "click": "too_short",
        "nan": "not_finite", "explode": "failed",
    }  # fmt: skip
    assert "a bug in the engine" in str(rows["explode"]["reason"])
    for text in ("refuse", "silence", "click", "nan", "explode"):
        assert rows[text]["level"] is None and rows[text]["missing"] == {"level": rows[text]["reason"]}
        assert rows[text]["wer"] == 1.0, "nothing was said: every word is wrong, and it stays in the mean"
        assert rows[text]["audio"] is None
    assert rows["fine"]["rtf"] == pytest.approx(0.1)


def test_out_of_memory_halves_the_batch_and_remembers(tmp_path: Path) -> None:
    engine = Engine(room=2)
    rows = carry_out(tmp_path, [f"text {n}" for n in range(16)], engine)
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert engine.sizes.count(8) == 1 and engine.sizes[-1] <= 2


def test_a_metric_that_raises_costs_its_own_clip_only(tmp_path: Path) -> None:
    rows = carry_out(tmp_path, ["one", "two", "poison", "three"])
    assert rows["poison"]["level"] is None
    assert "a bug in the metric" in rows["poison"]["missing"]["level"]  # type: ignore[index]
    assert rows["poison"]["details"] == {"metric_crashed": True}
    assert all(rows[text]["level"] is not None for text in ("one", "two", "three"))


def test_nan_is_never_silent(tmp_path: Path) -> None:
    rows = carry_out(tmp_path, ["mute", "loud"])
    assert rows["mute"]["level"] is None and rows["mute"]["missing"] == {"level": NO_REASON}
    assert rows["loud"]["missing"] == {}


class Telling(Engine):
    """Tells of each clip what no log can hold."""

    def _one(self, request: Request) -> Speech:
        speech = super()._one(request)
        told: dict[str, dict[str, Any]] = {
            "seconds": {"seconds": math.nan},
            "detail": {"details": {"deep": [{"loss": math.inf}]}},
            "tensor": {"details": {"loss": torch.tensor(1.0)}},
            "phonemes": {"phonemes": "h\ud800"},
            "reason": {"status": "failed", "reason": "It stopped at \ud800."},
        }
        return replace(speech, **told.get(request.text, {}))


def test_what_cannot_be_recorded_costs_its_own_clip_only(tmp_path: Path) -> None:
    texts = ("fine", "seconds", "detail", "tensor", "phonemes", "reason")
    rows = carry_out(tmp_path, texts, Telling())
    assert {text: row["status"] for text, row in rows.items()} == {
        "fine": "ok",
        **dict.fromkeys(texts[1:], "failed"),
    }
    for text in texts[1:5]:
        assert "cannot be recorded" in str(rows[text]["reason"]) and rows[text].get("rtf") is None
    assert rows["reason"]["reason"] == r"It stopped at \ud800."


def test_rerun_adds_nothing(tmp_path: Path) -> None:
    first = carry_out(tmp_path, ["one", "two"])
    engine = Engine()
    assert carry_out(tmp_path, ["one", "two"], engine) == first
    assert engine.sizes == []


def test_two_metrics_with_one_column_are_refused() -> None:
    with pytest.raises(EvalkitError, match="'level' and 'other' both write"):
        columns_of([Choice("level", Level()), Choice("other", Level())])


def test_scores_of_a_batch_equal_scores_one_by_one() -> None:
    clips = [tone(0.5), tone(1.3, 0.1), tone(0.9, 0.9)]
    info = [ClipInfo(str(n), text="x") for n in range(3)]
    with Scorer([Choice("level", Level())]) as scorer:
        together = scorer.score(clips, RATE, info)
        alone = [scorer.score([clip], RATE, [one])[0] for clip, one in zip(clips, info, strict=True)]
    assert [one.values["level"] for one in together] == pytest.approx([one.values["level"] for one in alone], abs=1e-6)


def test_what_is_stored_is_what_was_scored(tmp_path: Path) -> None:
    audio = quantise(torch.randn(5000) * 0.5)
    write_flac(tmp_path / "a.flac", audio, RATE)
    read, rate = read_audio(tmp_path / "a.flac")
    assert rate == RATE and torch.equal(read, audio)
    assert float(audio.max()) <= 32767 / 32768 and float(audio.min()) >= -1


def test_unusable_audio() -> None:
    assert unusable(tone(1.0), RATE) is None
    assert unusable(tone(1.0, 0.0005), RATE)[0] == "silent"  # type: ignore[index]
    assert unusable(tone(0.05), RATE)[0] == "too_short"  # type: ignore[index]
    assert unusable(torch.tensor([math.inf] * RATE), RATE)[0] == "not_finite"  # type: ignore[index]


def test_plan_does_not_depend_on_order_and_fills_by_seconds() -> None:
    items = [item(f"i{n:02}", "word " * (n % 7 + 1)) for n in range(40)]
    planned = utterances(items, 2, 5)
    assert batches(planned, 16, 60.0) == batches(list(reversed(planned)), 16, 60.0)
    made = batches(planned, 16, 60.0)
    assert sorted(u.id for batch in made for u in batch) == sorted(u.id for u in planned)
    assert all(len(batch) <= 16 and batch[0].expected_s * len(batch) <= 60 for batch in made)
    assert made[0][0].expected_s == max(u.expected_s for u in planned)


def test_rates_are_never_mixed_in_a_batch() -> None:
    planned = [Utterance(f"u{n}", item(f"u{n}"), 0, 0, 1.0, sample_rate=(16000, 44100)[n % 2]) for n in range(6)]
    assert [len({u.sample_rate for u in batch}) for batch in batches(planned, 8, 60.0)] == [1, 1]


def test_seed_belongs_to_the_utterance() -> None:
    assert seed_of(0, "a", 0) == seed_of(0, "a", 0)
    assert len({seed_of(s, i, r) for s in (0, 1) for i in ("a", "b") for r in (0, 1)}) == 8
    assert 0 <= seed_of(0, "a", 0) < 2**31


def test_items_are_selected_by_id_and_tag() -> None:
    items = [item("a1", tags=("kind:place",)), item("a2", tags=("kind:person",)), item("b1", tags=("kind:place",))]
    assert [i.id for i in select_items(items, ["a*"], None)] == ["a1", "a2"]
    assert [i.id for i in select_items(items, ["kind:place"], 1)] == ["a1"]
    with pytest.raises(EvalkitError, match="did you mean 'a1'"):
        select_items(items, ["a11"], None)
